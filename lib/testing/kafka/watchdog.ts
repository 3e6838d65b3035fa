/** Runs a command that cannot outlive this process: not on exit, not on Ctrl-C, not on kill -9. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/**
 * A shell between us and the broker. It reads its standard input, a pipe nobody writes to: the pipe ends when our process
 * is gone, however it went, and then the command is killed and `$1` (a folder, may be empty) removed. No signal
 * handler of ours is involved, so nothing can be forgotten. The guard ignores TERM before it kills: otherwise the outer
 * shell, woken by that kill, could end the guard before it exits with 7, and the folder would stay.
 */
export const WATCHDOG = `
folder=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
echo "watchdog: pid $child"
exec 2>/dev/null
( while read -r line <&3; do :; done; trap '' TERM; kill -KILL $child; exit 7 ) &
guard=$!
trap 'kill -TERM $child' TERM
wait $child; code=$?
while kill -0 $child; do wait $child; code=$?; done
kill -TERM $guard
wait $guard
if [ $? -eq 7 ] && [ -n "$folder" ]; then rm -rf "$folder"; fi
exit $code
`

/** A command under the watchdog. */
export interface Guarded {
  /** Of the command itself, not of the shell around it. */
  readonly pid: number
  readonly exited: Promise<number | null>
  /** Sends a signal to the command; does nothing when it has ended. */
  signal(name: NodeJS.Signals): void
  /** Sends a signal that ends it, and waits for the end. */
  end(name: NodeJS.Signals): Promise<void>
}

/**
 * Starts `command` with `args`. Its output goes to `onLine`. It does not keep our event loop alive.
 * @throws the spawn error, or an Error when the command ends before it has a pid.
 */
export async function spawnGuarded(
  command: string,
  args: readonly string[],
  options: { folder?: string; env?: NodeJS.ProcessEnv; onLine: (line: string) => void }
): Promise<Guarded> {
  // Detached: the terminal's Ctrl-C reaches us only, and we (or our end) decide about the broker.
  const child = spawn('sh', ['-c', WATCHDOG, 'watchdog', options.folder ?? '', command, ...args], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: options.env ?? process.env
  })
  child.stdin.on('error', () => {}) // the shell may be gone already
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  exited.catch(() => {})
  const pid = await pidOf(child, options.onLine)
  letGo(child)
  // While the shell lives it has not reaped the command, so the pid cannot belong to somebody else.
  const signal = (name: NodeJS.Signals): void => {
    if (child.exitCode === null && child.signalCode === null) process.kill(pid, name)
  }
  return {
    pid,
    exited,
    signal,
    async end(name) {
      child.ref()
      signal(name)
      await exited
    }
  }
}

function pidOf(child: ChildProcess, onLine: (line: string) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`The watchdog shell ended at once with code ${code}`)))
    createInterface({ input: child.stderr! }).on('line', onLine)
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const match = /^watchdog: pid (\d+)$/.exec(line)
      if (match) resolve(Number(match[1]))
      else onLine(line)
    })
  })
}

/** A forgotten stop() must not hang the program: neither the child nor its pipes count for the event loop. */
function letGo(child: ChildProcess): void {
  child.unref()
  for (const stream of [child.stdin, child.stdout, child.stderr]) (stream as unknown as { unref(): void }).unref()
}
