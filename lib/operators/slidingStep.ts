/** What one record does to the sliding windows of its key: pure data work, without store and context. */
import type { StreamRecord } from '../record.ts'
import type { Step } from './aggregate.ts'
import { type Slot, slotAt } from './slidingRow.ts'

export interface SlotChange<A> {
  readonly slot: Slot<A>
  /** The value before the record; null = the window is new. */
  readonly old: A | null
}

/** One per operator, used for one record after the other. The results stay until the next run. */
export class SlidingStep<K, V, A> {
  /** Windows that changed, in the order in which they go on. */
  changes: SlotChange<A>[] = []
  /** Starts of closed windows that would have taken the record. */
  refused: number[] = []
  changedLow = false
  changedHigh = false
  readonly #difference: number
  readonly #step: Step<K, V, A>
  #record!: StreamRecord<K, V>
  #low: Slot<A>[] = []
  #high: Slot<A>[] = []
  #border = 0
  #closed = 0

  constructor(difference: number, step: Step<K, V, A>) {
    this.#difference = difference
    this.#step = step
  }

  /**
   * @param low windows that begin before `border`, in order; @param high the others. Both are changed in place
   * @param closed windows that end below it take nothing
   */
  run(record: StreamRecord<K, V>, low: Slot<A>[], high: Slot<A>[], border: number, closed: number): void {
    this.changes = []
    this.refused = []
    this.changedLow = this.changedHigh = false
    this.#record = record
    this.#low = low
    this.#high = high
    this.#border = border
    this.#closed = closed
    const near = this.#near(record.timestamp)
    if (record.timestamp < this.#difference) this.#early(near)
    else this.#usual(near)
  }

  #usual(near: readonly Slot<A>[]): void {
    const time = this.#record.timestamp
    const difference = this.#difference
    let ahead: Slot<A> | undefined // the latest window that holds the record and more behind it
    let behindValue: A | null = null // of `ahead`, before the record
    let behindTime = -1
    let before: Slot<A> | undefined // the latest window that ends before the record
    let previous = -1 // time of the record before this one
    let ownLeft = false
    let ownRight = false
    for (const slot of near) {
      const end = slot.start + difference
      if (slot.start === time + 1) ownRight = true
      else if (end > time) {
        if (ahead === undefined) {
          ahead = slot
          behindValue = slot.value
          behindTime = slot.timestamp
        }
        this.#update(slot)
      } else if (end === time) {
        ownLeft = true
        if (slot.timestamp < time) previous = slot.timestamp
        this.#update(slot)
        break
      } else {
        before = slot
        previous = slot.timestamp
        break
      }
    }
    const behind = previous + 1
    if (previous >= 0 && behind + difference >= time && !near.some((slot) => slot.start === behind)) {
      this.#create(behind, null)
    }
    if (!ownLeft) {
      const reaches = before !== undefined && previous >= time - difference
      this.#create(time - difference, reaches ? before!.value : null)
    }
    if (!ownRight && behindTime > time) this.#copy(time + 1, behindValue, behindTime)
  }

  /** Records earlier than one window length share the window that begins at 0. */
  #early(near: readonly Slot<A>[]): void {
    const time = this.#record.timestamp
    let shared: Slot<A> | undefined
    let behindValue: A | null = null
    let behindTime = -1
    let previous = -1
    let ownRight = false
    const others: Slot<A>[] = []
    for (const slot of near) {
      if (slot.start === 0) {
        shared = slot
        if (slot.timestamp < time) previous = slot.timestamp
      } else if (slot.start <= time) {
        if (behindTime < 0) {
          behindValue = slot.value
          behindTime = slot.timestamp
        }
        others.push(slot)
      } else ownRight = true
    }
    for (const slot of others.reverse()) this.#update(slot) // the oldest first here, as in Kafka Streams
    if (behindTime < 0 && shared !== undefined) {
      behindValue = shared.value
      behindTime = shared.timestamp
    }
    if (!ownRight && behindTime > time) this.#copy(time + 1, behindValue, behindTime)
    const behind = previous + 1
    if (previous >= 0 && !near.some((slot) => slot.start === behind)) this.#create(behind, null)
    if (shared === undefined) this.#create(0, null)
    else this.#update(shared)
  }

  /** Windows that begin in [time − 2 × difference, time + 1], the latest first. */
  #near(time: number): Slot<A>[] {
    const near: Slot<A>[] = []
    const least = time - 2 * this.#difference
    for (const slots of [this.#high, this.#low]) {
      for (let i = slots.length - 1; i >= 0; i--) {
        const slot = slots[i]!
        if (slot.start < least) break
        if (slot.start <= time + 1 && slot.value !== null) near.push(slot)
      }
    }
    return near
  }

  #update(slot: Slot<A>): void {
    if (this.#isClosed(slot.start)) return
    const time = this.#record.timestamp
    this.#change(slot, this.#step(slot.value, this.#record) ?? null, Math.max(time, slot.timestamp))
  }

  /** A window that the record makes. @param base the aggregate it begins with */
  #create(start: number, base: A | null): void {
    if (this.#isClosed(start)) return
    this.#change(this.#slot(start), this.#step(base, this.#record) ?? null, this.#record.timestamp)
  }

  /** A window that the record makes and is not in. */
  #copy(start: number, value: A | null, timestamp: number): void {
    this.#change(this.#slot(start), value, timestamp)
  }

  #isClosed(start: number): boolean {
    if (start + this.#difference >= this.#closed) return false
    this.refused.push(start)
    return true
  }

  #slot(start: number): Slot<A> {
    return slotAt(start < this.#border ? this.#low : this.#high, start)
  }

  #change(slot: Slot<A>, value: A | null, timestamp: number): void {
    this.changes.push({ slot, old: slot.value })
    slot.value = value
    slot.timestamp = timestamp
    slot.headers = this.#record.headers
    if (slot.start < this.#border) this.changedLow = true
    else this.changedHigh = true
  }
}
