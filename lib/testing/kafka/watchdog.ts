/** Runs a broker under a small shell script, so that it cannot outlive us: not on exit, Ctrl-C or kill -9. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'

/**
 * The shell between us and the broker; `$1` is a folder to remove at the end (may be empty), the rest is the command.
 * It takes orders from its standard input. That pipe ends when our process is gone, however it went: then the command
 * is killed, the folder removed, and the shell ends. No signal handler of ours is involved, so none can be forgotten.
 *
 * What bites without the details: (1) TERM reaches the runner before it knows its child: the child would live on,
 * therefore `ended` is looked at after the fork; (2) a runner that writes to us when we are gone would die of PIPE
 * before it kills its child, therefore PIPE is ignored.
 */
export const WATCHDOG = `
folder=$1; shift
trap '' PIPE
exec 4>&2 2>/dev/null
run() {
  child=; ended=
  trap 'ended=1; if [ -n "$child" ]; then kill -KILL "$child"; fi' TERM
  "$@" </dev/null 2>&4 4>&- &
  child=$!
  if [ -n "$ended" ]; then kill -KILL "$child"; fi
  echo "watchdog: pid $child"
  wait "$child"; code=$?
  while kill -0 "$child"; do wait "$child"; code=$?; done
  echo "watchdog: ended $code"
}
runner=
while read -r order name pid; do
  case $order in
    start) run "$@" & runner=$! ;;
    signal) kill -"$name" "$pid"; echo "watchdog: sent $pid" ;;
  esac
done
if [ -n "$runner" ]; then kill -TERM "$runner"; fi
wait
if [ -n "$folder" ]; then rm -rf "$folder"; fi
`

/** How orders reach the shell and how its end is brought about. */
export interface WatchdogLine {
  /** Writes one line to its standard input. */
  send(line: string): void
  /** Closes its standard input and resolves when it has ended. */
  close(): Promise<void>
  /** While true, the open line keeps our event loop alive. */
  hold(on: boolean): void
}

interface Deferred<T> {
  promise: Promise<T>
  resolve(value: T): void
  reject(error: Error): void
}

function deferred<T>(): Deferred<T> {
  const parts = {} as Deferred<T>
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}

/** A command under the watchdog: started, hurt and started again; for good gone with close() or with our process. */
export class Watchdog {
  #line: WatchdogLine
  #onLine: (line: string) => void
  #pid: number | undefined // while the command runs
  #run = deferred<number | null>() // of the latest start
  #started: Deferred<void> | undefined
  #sending: Deferred<void>[] = [] // signals ordered and not yet reported, in order
  #closed: Promise<void> | undefined

  constructor(line: WatchdogLine, onLine: (line: string) => void) {
    this.#line = line
    this.#onLine = onLine
  }

  /** Of the command itself, while it runs. */
  get pid(): number | undefined {
    return this.#pid
  }

  /** Resolves with the exit code when the command of the latest start ends; null when the shell was lost. */
  get exited(): Promise<number | null> {
    return this.#run.promise
  }

  /** Starts the command (again) and resolves when it has a process. */
  async start(): Promise<void> {
    this.#run = deferred()
    this.#started = deferred()
    await this.#holding(async () => {
      this.#line.send('start')
      await this.#started!.promise
    })
  }

  /** Sends a signal to the command, and resolves when it was sent; does nothing when the command has ended. */
  signal(name: 'KILL' | 'TERM' | 'STOP' | 'CONT'): Promise<void> {
    if (this.#pid === undefined) return Promise.resolve()
    const sent = deferred<void>()
    this.#sending.push(sent)
    return this.#holding(() => {
      this.#line.send(`signal ${name} ${this.#pid}`)
      return sent.promise
    })
  }

  /** Sends a signal that ends the command, and waits for the end. */
  async end(name: 'KILL' | 'TERM'): Promise<void> {
    if (this.#pid === undefined) return
    await this.#holding(async () => {
      await this.signal(name)
      await this.exited
    })
  }

  close(): Promise<void> {
    this.#closed ??= this.#holding(() => this.#line.close())
    return this.#closed
  }

  /** Takes a line of output: the shell's own reports, or the command's words. */
  heard(text: string): void {
    const report = /^watchdog: (pid|sent|ended) (\d+)$/.exec(text)
    if (report?.[1] === 'pid') {
      this.#pid = Number(report[2])
      this.#started?.resolve()
    } else if (report?.[1] === 'sent') {
      this.#sending.shift()?.resolve()
    } else if (report) {
      this.#pid = undefined
      this.#run.resolve(Number(report[2]))
    } else {
      this.#onLine(text)
    }
  }

  /** The shell is gone: nothing runs any more. */
  lost(error?: Error): void {
    this.#pid = undefined
    this.#started?.promise.catch(() => {})
    this.#started?.reject(error ?? new Error('The watchdog shell ended'))
    this.#run.resolve(null)
    for (const sent of this.#sending.splice(0)) sent.resolve()
  }

  async #holding<T>(work: () => Promise<T>): Promise<T> {
    this.#line.hold(true)
    try {
      return await work()
    } finally {
      this.#line.hold(false)
    }
  }
}

/**
 * A watchdog as a child process of ours; the command does not run yet. A forgotten close() does not hang the program:
 * neither the child nor its pipes count for the event loop, except while something is awaited.
 */
export function localWatchdog(
  command: string,
  args: readonly string[],
  options: { folder?: string; onLine: (line: string) => void }
): Watchdog {
  // Detached: the terminal's Ctrl-C reaches us only, and we (or our end) decide about the broker.
  const shell = spawn('sh', ['-c', WATCHDOG, 'watchdog', options.folder ?? '', command, ...args], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe']
  })
  const pipes = [shell.stdin, shell.stdout, shell.stderr] as unknown as Socket[]
  const gone = once(shell, 'close').catch(() => {})
  const line: WatchdogLine = {
    send: (text) => shell.stdin.write(`${text}\n`),
    async close() {
      shell.stdin.end()
      await gone
    },
    hold(on) {
      for (const end of [shell, ...pipes])
        if (on) end.ref()
        else end.unref()
    }
  }
  const watchdog = new Watchdog(line, options.onLine)
  shell.stdin.on('error', () => {}) // the shell may be gone already
  shell.on('error', (error) => watchdog.lost(error))
  shell.on('close', () => watchdog.lost())
  createInterface({ input: shell.stderr }).on('line', (text) => watchdog.heard(text))
  createInterface({ input: shell.stdout }).on('line', (text) => watchdog.heard(text))
  line.hold(false)
  return watchdog
}
