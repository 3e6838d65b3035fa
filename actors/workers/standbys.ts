/** The standbys of one runtime: which there are follows from the assignment. One that fails is tried again and takes nothing down. */
import { MillraceError } from '../../lib/errors.ts'
import { backoffMs, exponential } from '../../lib/supervise/backoff.ts'
import type { Logger, TaskPlan } from '../../lib/task/port.ts'
import { followTask, type Held, type StandbyEnv } from '../../lib/task/standby.ts'
import { delay, type Random } from '../../lib/time.ts'

const RETRY = exponential('1s', '1m')

export interface StandbysOptions {
  readonly env: StandbyEnv & { readonly random: Random; readonly logger: Logger }
  /** After each write: offsets of the changelogs that it still has to read. */
  readonly onLag: (task: string, lag: number) => void
}

type Free = (task: string) => Promise<unknown> | undefined

interface Standby {
  readonly plan: TaskPlan
  readonly stop: AbortController
  /** The task itself waits for what it has open. */
  wanted: boolean
  /** By store; empty until something is known. */
  readonly lags: Map<string, number>
  readonly stores: number
}

export class Standbys {
  readonly #options: StandbysOptions
  readonly #running = new Map<string, Standby>()
  /** Of each task that ever was one here: the directory is free, or comes with it. */
  readonly #ended = new Map<string, Promise<Held | undefined>>()
  /** Who waits for what a standby has open, by task. */
  readonly #askers = new Map<string, object>()

  constructor(options: StandbysOptions) {
    this.#options = options
  }

  /** Tasks whose copy is at the end of its changelogs, as far as is known. */
  get ready(): string[] {
    return [...this.#running].filter(([, standby]) => lagOf(standby) === 0).map(([task]) => task)
  }

  /**
   * From now on these.
   * @param kept tasks whose standbys go on if there are some: the task itself is to open here
   * @param free when a task that ran here has let go of its directory
   */
  follow(plans: readonly TaskPlan[], { kept, free }: { kept: ReadonlySet<string>; free: Free }): void {
    const wanted = new Set(plans.map(({ id }) => id))
    for (const id of this.#running.keys()) if (!wanted.has(id) && !kept.has(id)) this.#stop(id)
    for (const plan of plans) if (!this.#running.has(plan.id)) this.#start(plan, free(plan.id))
  }

  /** Ends the standby, if there is one. @returns what it had open; undefined when that is nothing, or made for another plan: then it is closed */
  async takeOver(plan: TaskPlan): Promise<Held | undefined> {
    const standby = this.#running.get(plan.id)
    if (standby) standby.wanted = standby.plan.subtopology === plan.subtopology
    this.#stop(plan.id)
    const ended = this.#ended.get(plan.id)
    const asker = {}
    this.#askers.set(plan.id, asker)
    const held = await ended
    // Only the last: a run that asked before it was given up, since it took too long to close.
    if (this.#askers.get(plan.id) !== asker) return undefined
    this.#askers.delete(plan.id)
    // Once: what the task has closed must not be found again. A new standby may wait for it already.
    if (this.#ended.get(plan.id) === ended) this.#ended.delete(plan.id)
    return held
  }

  async close(): Promise<void> {
    for (const id of this.#running.keys()) this.#stop(id)
    await Promise.all(this.#ended.values())
  }

  #stop(task: string): void {
    this.#running.get(task)?.stop.abort(new MillraceError(`The standby of task ${task} was stopped.`, 'ERR_STATE'))
    this.#running.delete(task)
  }

  #start(plan: TaskPlan, free: Promise<unknown> | undefined): void {
    const stores = plan.subtopology.stores.filter(({ logged }) => logged).length
    const standby = { plan, stop: new AbortController(), wanted: false, lags: new Map<string, number>(), stores }
    const before = Promise.all([free, this.#ended.get(plan.id)])
    this.#running.set(plan.id, standby)
    this.#ended.set(
      plan.id,
      before.then(() => this.#run(standby))
    )
  }

  /** Never rejects. */
  async #run(standby: Standby): Promise<Held | undefined> {
    const { env, onLag } = this.#options
    const { plan, stop, lags } = standby
    const { id } = plan
    for (let attempt = 0; !stop.signal.aborted; attempt++) {
      try {
        const held = await followTask(plan, env, stop.signal, ({ store, from, restored, end }) => {
          lags.set(store, end - from - restored)
          const lag = lagOf(standby)
          if (lag === 0) attempt = 0
          if (lag !== undefined) onLag(id, lag)
        })
        if (standby.wanted) return held
        await held.state.close().finally(() => held.lock.release())
      } catch (error) {
        lags.clear()
        if (error === stop.signal.reason) break
        const retryMs = backoffMs(RETRY, attempt, env.random)
        env.logger.warn({ task: id, error, retryMs }, `The standby of task ${id} failed; it is opened again`)
        await delay(env.clock, retryMs, stop.signal).catch(() => {})
      }
    }
    return undefined
  }
}

/** Over its stores; undefined until all have told. */
function lagOf({ lags, stores }: Standby): number | undefined {
  if (lags.size < stores) return undefined
  let lag = 0
  for (const one of lags.values()) lag += one
  return lag
}
