/** The offsets of one group: committed ones, and those that wait for a transaction to end. */
import { tpKey } from '../record.ts'

interface Committed {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly metadata: string | null
  /** Place in the order of all writes: a transaction that ends later does not undo a newer plain commit. */
  readonly written: number
}

export class GroupOffsets {
  #committed = new Map<string, Committed>()
  // Producer id → its pending offsets; gone when its transaction ends.
  #pending = new Map<number, Map<string, Committed>>()
  #writes = 0

  get isEmpty(): boolean {
    return this.#committed.size === 0 && this.#pending.size === 0
  }

  commit(topic: string, partition: number, offset: number, metadata: string | null): void {
    this.#committed.set(tpKey(topic, partition), { topic, partition, offset, metadata, written: this.#writes++ })
  }

  stage(producerId: number, topic: string, partition: number, offset: number, metadata: string | null): void {
    const pending = this.#pending.get(producerId) ?? new Map<string, Committed>()
    this.#pending.set(producerId, pending)
    pending.set(tpKey(topic, partition), { topic, partition, offset, metadata, written: this.#writes++ })
  }

  end(producerId: number, commit: boolean): void {
    const pending = this.#pending.get(producerId)
    this.#pending.delete(producerId)
    if (!pending || !commit) return
    for (const [key, staged] of pending) {
      const before = this.#committed.get(key)
      if (!before || before.written < staged.written) this.#committed.set(key, staged)
    }
  }

  get(topic: string, partition: number): Committed | undefined {
    return this.#committed.get(tpKey(topic, partition))
  }

  isPending(topic: string, partition: number): boolean {
    const key = tpKey(topic, partition)
    for (const pending of this.#pending.values()) if (pending.has(key)) return true
    return false
  }

  all(): { topic: string; partition: number }[] {
    const found = new Map<string, { topic: string; partition: number }>()
    for (const set of [this.#committed, ...this.#pending.values()]) for (const [key, tp] of set) found.set(key, tp)
    return [...found.values()]
  }

  forgetTopic(topic: string): void {
    for (const set of [this.#committed, ...this.#pending.values()]) {
      for (const [key, tp] of set) if (tp.topic === topic) set.delete(key)
    }
  }
}
