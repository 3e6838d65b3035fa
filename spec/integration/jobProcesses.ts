/** Starts programs of a job as child processes, listens to them, and leaves none behind. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { until } from '../../lib/testing/until.ts'
import type { JobArguments, JobMessage } from './jobProcess.ts'

const program = fileURLToPath(new URL('./jobProcess.ts', import.meta.url))

export class JobProcess {
  live: string[] = []
  stderr = ''
  readonly exited: Promise<number | null>
  /** It runs its job, or has ended. A signal before that would meet no handler. */
  readonly started: Promise<unknown>
  readonly child: ChildProcess
  #gaps: Record<string, number> | undefined

  constructor(args: JobArguments) {
    this.child = fork(program, [JSON.stringify(args)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc']
    })
    this.child.stderr!.on('data', (bytes: Buffer) => {
      this.stderr += bytes.toString()
      if (process.env.JOB_LOG) process.stderr.write(bytes)
    })
    this.child.on('message', (message: JobMessage) => {
      if (message.type === 'state') this.live = message.live.sort()
      else this.#gaps = message.gaps
    })
    this.exited = once(this.child, 'exit').then(([code]) => code as number | null)
    this.started = Promise.race([once(this.child, 'message'), this.exited])
  }

  mark(): void {
    this.child.send('mark')
  }

  /** Longest time without a record since `mark`, by partition, ms. */
  async gaps(): Promise<Record<string, number>> {
    this.#gaps = undefined
    this.child.send('gaps')
    return until(() => this.#gaps)
  }

  async terminate(): Promise<number | null> {
    await this.started
    this.child.kill('SIGTERM')
    return this.exited
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited
  }
}

/** Every task is live exactly once, spread within one. */
export const balanced = (tasks: number, ...processes: JobProcess[]): Promise<unknown> =>
  until(
    () => {
      const failed = processes.find((p) => p.child.exitCode !== null)
      if (failed) throw new Error(`a process ended: ${failed.stderr}`)
      const all = processes.flatMap((p) => p.live)
      const counts = processes.map((p) => p.live.length)
      return all.length === tasks && new Set(all).size === tasks && Math.max(...counts) - Math.min(...counts) <= 1
    },
    {
      timeoutMs: 45_000,
      what: () => `${tasks} tasks spread: ${processes.map((p) => `[${p.live}] ${p.stderr}`).join(' ')}`
    }
  )
