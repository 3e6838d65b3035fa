/** Which operator holds the event loop: measured for a while once something was slow, so that it costs nothing before. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import { stopwatch } from '../time.ts'

export interface Measured {
  // biome-ignore lint/suspicious/noExplicitAny: typed at the operators
  process(record: StreamRecord<any, any>): MaybePromise<void>
}

/** Adds up the time that each operator spends before it returns, without what those behind it do. */
export class Meter {
  readonly #own = new Map<string, number>()
  #inner = 0 // of the call under way: what was spent in calls within it

  wrap(node: string, target: Measured): Measured {
    return {
      process: (record) => {
        const outer = this.#inner
        this.#inner = 0
        const began = stopwatch()
        try {
          return target.process(record)
        } finally {
          const took = stopwatch() - began
          this.#own.set(node, (this.#own.get(node) ?? 0) + took - this.#inner)
          this.#inner = outer + took
        }
      }
    }
  }

  /** The operator with the most time of its own, ms. */
  get slowest(): { readonly node: string; readonly ms: number } | undefined {
    let slowest: { node: string; ms: number } | undefined
    for (const [node, ms] of this.#own) if (slowest === undefined || ms > slowest.ms) slowest = { node, ms }
    return slowest
  }
}
