/** Deletes records of repartition topics once the tasks that read them have committed past them: those topics keep nothing by age. */
import type { Admin, Offset } from '../kafka/port.ts'
import type { Logger } from '../task/port.ts'
import { type Clock, delay } from '../time.ts'

/** How long the last round may take. */
const LAST_MS = 2_000

export interface PurgeOptions {
  readonly admin: Pick<Admin, 'deleteRecords'>
  readonly topics: readonly string[]
  readonly clock: Clock
  readonly logger: Logger
  /** Milliseconds. Default 30 s. */
  readonly everyMs?: number
}

/** Each process purges what its own tasks committed, so no two purge one partition. */
export class Purge {
  readonly #options: PurgeOptions
  readonly #topics: ReadonlySet<string>
  /** Committed and not yet deleted up to, by partition key. */
  #due = new Map<string, Offset>()
  #timer: unknown
  #running: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: PurgeOptions) {
    this.#options = options
    this.#topics = new Set(options.topics)
    if (this.#topics.size > 0) this.#schedule()
  }

  /** After a commit: committed offsets by `topic-partition`. */
  committed(offsets: ReadonlyMap<string, number>): void {
    if (this.#topics.size === 0) return
    for (const [key, offset] of offsets) {
      const dash = key.lastIndexOf('-')
      const topic = key.slice(0, dash)
      if (this.#topics.has(topic)) this.#due.set(key, { topic, partition: Number(key.slice(dash + 1)), offset })
    }
  }

  /** Deletes now what is due. Never rejects: what fails is tried again with the next round. */
  async run(): Promise<void> {
    const due = this.#due
    if (due.size === 0) return
    this.#due = new Map()
    try {
      await this.#options.admin.deleteRecords([...due.values()])
    } catch (error) {
      for (const [key, offset] of due) if (!this.#due.has(key)) this.#due.set(key, offset)
      this.#options.logger.warn(
        { error },
        'Committed records of repartition topics could not be deleted; trying again later'
      )
    }
  }

  /** A last round, so that a job that has stopped leaves nothing it has read; it is not waited for long. */
  async close(): Promise<void> {
    const { clock } = this.#options
    this.#closed = true
    clock.clearTimeout(this.#timer)
    const limit = new AbortController()
    const last = this.#running.then(() => this.run())
    await Promise.race([last, delay(clock, LAST_MS, limit.signal).catch(() => {})])
    limit.abort()
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#running = this.run().then(() => {
        if (!this.#closed) this.#schedule()
      })
    }, this.#options.everyMs ?? 30_000)
  }
}
