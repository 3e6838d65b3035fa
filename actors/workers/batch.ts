/** Watches a batch run get to its end, over all processes of the job: by the commits of this one and the group's committed offsets. */
import { TransportError } from '../../lib/errors.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { type Ends, short } from '../../lib/prepare/ends.ts'
import { type Tp, tpKey } from '../../lib/record.ts'
import { type Clock, delay } from '../../lib/time.ts'

/** Between two looks at what other processes have committed. */
const LOOK_MS = 500

export interface BatchOptions {
  readonly ends: Ends
  readonly groupId: string
  readonly transport: Pick<Transport, 'offsets' | 'committed'>
  readonly clock: Clock
}

export class Batch {
  readonly #o: BatchOptions
  /** Committed, or where a partition begins, by `tpKey`. */
  readonly #at = new Map<string, number>()
  #total = 0
  #moved: () => void = () => {}

  constructor(options: BatchOptions) {
    this.#o = options
  }

  /** A task of this process committed. */
  committed(offsets: ReadonlyMap<string, number>): void {
    for (const [key, offset] of offsets) this.#raise(key, offset)
    this.#moved()
  }

  /** Offsets of the input, from where this run began to its ends. */
  get progress(): { readonly done: number; readonly total: number } {
    return { done: this.#total - this.#left(), total: this.#total }
  }

  /**
   * Resolves when the input is processed and nothing is under way between the tasks; rejects on abort, and when the broker refuses.
   *
   * What is under way: each round takes the ends of the topics in between and waits for them, so each gets everything one topic further.
   * After twice as many rounds as there are such topics (an inner foreign-key join may ask again, which goes through its two once more), or
   * one that finds nothing new, all of it is through. A job that feeds itself in a circle goes round that often. Those ends are high
   * watermarks: after a commit the last stable offset may lag behind the markers.
   */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const { ends, transport } = this.#o
    for (const [key, offset] of await transport.offsets([...ends.inputs, ...ends.between], 'start'))
      this.#raise(key, offset)
    await this.#look(ends.inputs)
    this.#total = this.#left()
    await this.#reach(ends.inputs, ends.input, signal)
    const topics = new Set(ends.between.map(({ topic }) => topic))
    let before = ''
    for (let round = 0; round < 2 * topics.size; round++) {
      const now = await transport.offsets([...ends.between], 'hw')
      const seen = JSON.stringify([...now].sort())
      if (seen === before) return
      before = seen
      await this.#reach(ends.between, now, signal)
    }
  }

  async #reach(tps: readonly Tp[], ends: ReadonlyMap<string, number>, signal: AbortSignal): Promise<void> {
    for (;;) {
      const open = short(tps, ends, this.#at)
      if (open.length === 0) return
      await this.#look(open)
      const done = new AbortController()
      const over = AbortSignal.any([signal, done.signal])
      const next = delay(this.#o.clock, LOOK_MS, over).catch(() => {})
      while (short(open, ends, this.#at).length > 0) {
        const moved = new Promise<'moved'>((resolve) => {
          this.#moved = () => resolve('moved')
        })
        if ((await Promise.race([next, moved])) !== 'moved') break
      }
      done.abort()
      signal.throwIfAborted()
    }
  }

  async #look(tps: readonly Tp[]): Promise<void> {
    try {
      const offsets = await this.#o.transport.committed(this.#o.groupId, [...tps])
      for (const [key, { offset }] of offsets) this.#raise(key, offset)
    } catch (error) {
      // Asked again at the next look.
      if (!(error instanceof TransportError && error.retriable)) throw error
    }
  }

  #raise(key: string, offset: number): void {
    if (offset > (this.#at.get(key) ?? -1)) this.#at.set(key, offset)
  }

  #left(): number {
    const { inputs, input } = this.#o.ends
    return inputs.reduce((sum, { topic, partition }) => {
      const key = tpKey(topic, partition)
      return sum + Math.max(0, (input.get(key) ?? 0) - (this.#at.get(key) ?? 0))
    }, 0)
  }
}
