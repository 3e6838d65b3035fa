/** The standbys of one runtime: which there are follows from the assignment. One that fails is tried again and takes nothing down. */
import { MillraceError } from '../../lib/errors.ts'
import { backoffMs, exponential } from '../../lib/supervise/backoff.ts'
import type { Logger, TaskPlan } from '../../lib/task/port.ts'
import { followTask, type StandbyEnv } from '../../lib/task/standby.ts'
import { delay, type Random } from '../../lib/time.ts'

const RETRY = exponential('1s', '1m')

export interface StandbysOptions {
  readonly env: StandbyEnv & { readonly random: Random; readonly logger: Logger }
  /** After each write: offsets of the changelogs that it still has to read. */
  readonly onLag: (task: string, lag: number) => void
}

interface Standby {
  readonly stop: AbortController
  /** By store; empty until something is known. */
  readonly lags: Map<string, number>
  readonly stores: number
}

export class Standbys {
  readonly #options: StandbysOptions
  readonly #running = new Map<string, Standby>()
  /** Of each task that ever was one here: free for the task again. */
  readonly #ended = new Map<string, Promise<void>>()

  constructor(options: StandbysOptions) {
    this.#options = options
  }

  has(task: string): boolean {
    return this.#running.has(task)
  }

  /** Tasks whose copy is at the end of its changelogs, as far as is known. */
  get ready(): string[] {
    return [...this.#running].filter(([, standby]) => lagOf(standby) === 0).map(([task]) => task)
  }

  /** From now on these. @param free when a task that ran here has let go of its directory */
  follow(plans: readonly TaskPlan[], free: (task: string) => Promise<unknown> | undefined): void {
    const wanted = new Set(plans.map(({ id }) => id))
    for (const id of this.#running.keys()) if (!wanted.has(id)) this.#stop(id)
    for (const plan of plans) if (!this.#running.has(plan.id)) this.#start(plan, free(plan.id))
  }

  /** Ends the standby, if there is one; resolves when its directory is free. */
  async release(task: string): Promise<void> {
    this.#stop(task)
    await this.#ended.get(task)
  }

  async close(): Promise<void> {
    this.follow([], () => undefined)
    await Promise.all(this.#ended.values())
  }

  #stop(task: string): void {
    this.#running.get(task)?.stop.abort(new MillraceError(`The standby of task ${task} was stopped.`, 'ERR_STATE'))
    this.#running.delete(task)
  }

  #start(plan: TaskPlan, free: Promise<unknown> | undefined): void {
    const stop = new AbortController()
    const stores = plan.subtopology.stores.filter(({ logged }) => logged).length
    const before = Promise.all([free, this.#ended.get(plan.id)])
    const standby = { stop, lags: new Map<string, number>(), stores }
    this.#running.set(plan.id, standby)
    this.#ended.set(
      plan.id,
      before.then(() => this.#run(plan, standby))
    )
  }

  /** Never rejects. */
  async #run(plan: TaskPlan, standby: Standby): Promise<void> {
    const { env, onLag } = this.#options
    const { id } = plan
    const { signal } = standby.stop
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await followTask(plan, env, signal, ({ store, from, restored, end }) => {
          standby.lags.set(store, end - from - restored)
          const lag = lagOf(standby)
          if (lag === 0) attempt = 0
          if (lag !== undefined) onLag(id, lag)
        })
      } catch (error) {
        standby.lags.clear()
        if (error === signal.reason) return
        const retryMs = backoffMs(RETRY, attempt, env.random)
        env.logger.warn({ task: id, error, retryMs }, `The standby of task ${id} failed; it is opened again`)
        await delay(env.clock, retryMs, signal).catch(() => {})
      }
    }
  }
}

/** Over its stores; undefined until all have told. */
function lagOf({ lags, stores }: Standby): number | undefined {
  if (lags.size < stores) return undefined
  let lag = 0
  for (const one of lags.values()) lag += one
  return lag
}
