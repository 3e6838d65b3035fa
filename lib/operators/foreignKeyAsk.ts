/** What an inner foreign-key join does where leaving a response out could lose a deletion: it asks again. */
import type { Serde } from '../record.ts'

/** What its left end needs for that. A left join needs nothing: it is answered in any case. */
export interface AskAgain<K, V, F> {
  /** What a left row refers to. */
  readonly select: (value: V, key: K) => F | null
  /** Of the right table's keys. */
  readonly foreign: Serde<F>
  /** The child that results go to. */
  readonly results: string
  /** The child that questions go to: into the topic of the subscriptions. */
  readonly questions: string
}

/**
 * The left rows that a question is under way for: one at a time for each value. A row that moves from one missing row to the next faster than it is
 * answered is late with every answer; were each of them to ask, and each answer to that again, there would be a question more in the topics with
 * every change. In memory: after a restart something is asked twice.
 */
export class Asked {
  readonly #hashes = new Map<string, Buffer>()

  /** @returns false when it is under way already */
  begin(id: string, hash: Buffer): boolean {
    if (this.#hashes.get(id)?.equals(hash)) return false
    this.#hashes.set(id, hash)
    return true
  }

  /** A response came, to the question or to the subscription of the same value: should it be late, the next one asks anew. */
  heard(id: string, hash: Buffer | null): void {
    if (this.#hashes.size > 0 && hash !== null && this.#hashes.get(id)?.equals(hash)) this.#hashes.delete(id)
  }
}
