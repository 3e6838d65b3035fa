/** Processes of the job, seen from the demo: start, tasks they hold, drain, kill -9. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export type WorkerMessage = { ready: true } | { tasks: number } | { failed: string }

export interface Worker {
  readonly number: number
  readonly alive: boolean
  /** Tasks it runs now, and the most it ever had. */
  readonly tasks: number
  readonly mostTasks: number
  readonly ready: Promise<void>
  /** Finish, commit, leave the group; resolves when the process has ended with status 0. */
  drain(): Promise<void>
  /** For the way out: asked to drain, killed when that takes longer than five seconds. Never rejects. */
  end(): Promise<void>
  /** SIGKILL: no chance to say goodbye. */
  kill(): void
}

export function startWorker(options: {
  number: number
  brokers: string[]
  prefix: string
  stateDir: string
  died(error: Error): void
}): Worker {
  const args = [options.brokers.join(','), options.prefix, options.stateDir]
  const child: ChildProcess = fork(fileURLToPath(new URL('./worker.ts', import.meta.url)), args, {
    execArgv: ['--import', 'tsx']
  })
  let alive = true
  let expected = false
  let tasks = 0
  let mostTasks = 0
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  const ready = new Promise<void>((resolve) => {
    child.on('message', (message: WorkerMessage) => {
      if ('ready' in message) resolve()
      if ('tasks' in message) {
        tasks = message.tasks
        mostTasks = Math.max(mostTasks, tasks)
      }
      if ('failed' in message) options.died(new Error(`process ${options.number}: ${message.failed}`))
    })
  })
  void exited.then((code) => {
    alive = false
    if (!expected) options.died(new Error(`process ${options.number} ended with status ${code}`))
  })
  return {
    number: options.number,
    get alive() {
      return alive
    },
    get tasks() {
      return tasks
    },
    get mostTasks() {
      return mostTasks
    },
    ready,
    async drain() {
      expected = true
      child.kill('SIGTERM')
      const code = await exited
      if (code !== 0) throw new Error(`process ${options.number} did not drain: status ${code}`)
    },
    async end() {
      if (!alive) return
      expected = true
      child.kill('SIGTERM')
      const limit = setTimeout(() => child.kill('SIGKILL'), 5_000)
      await exited
      clearTimeout(limit)
    },
    kill() {
      expected = true
      alive = false
      child.kill('SIGKILL')
    }
  }
}
