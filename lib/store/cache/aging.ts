/** The stream time that the rows of a store are kept by, and how far of it what has expired may leave. */
import type { MaybePromise } from '../port.ts'

/**
 * At-least-once, a process may die when the changelogs have a commit and the offsets do not: its records come again, to a state that has
 * all of that commit. A window that was open before the commit and expired in it must still be there then: counted anew, what it had before
 * would be missing. So nothing expires by a stream time before the commit that has seen it is through.
 */
export abstract class Aging {
  #observed = Number.NEGATIVE_INFINITY
  #cut = Number.NEGATIVE_INFINITY // of that, what the commit under way is about
  #through = Number.NEGATIVE_INFINITY

  /** Of the last commit that is through: records that come again after a crash are behind it. */
  get through(): number {
    return this.#through
  }

  get expiring(): boolean {
    return false
  }

  /** Where an earlier life stood. What is saved with the offsets is through: a life of one commit must remove what came due in those before. */
  resume(streamTime: number): void {
    if (streamTime >= 0 && streamTime > this.#observed) this.#observed = this.#cut = this.#through = streamTime
  }

  observe(streamTime: number): void {
    if (streamTime > this.#observed) this.#observed = streamTime
  }

  cut(atomic: boolean): MaybePromise<void> {
    this.#cut = this.#observed
    if (atomic) this.#through = this.#cut
  }

  persisted(): void {
    this.#through = this.#cut
  }

  clear(): void {
    this.#observed = this.#cut = this.#through = Number.NEGATIVE_INFINITY
  }
}
