/** One running value per key and sliding window. */
import { type Headers, NO_HEADERS, type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { Windowed } from '../serde/windowed.ts'
import { windowId, windowStart } from '../store/bytes.ts'
import type { MaybePromise, Row } from '../store/port.ts'
import type { WindowRowStore } from '../store/windowRows.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import type { Step } from './aggregate.ts'
import type { WindowBehaviour } from './behaviour.ts'
import { refuse } from './late.ts'
import { RowIds } from './rowIds.ts'
import { type Slot, slotIndex } from './slidingRow.ts'
import { SlidingStep, type SlotChange } from './slidingStep.ts'
import { TimeQueue } from './timeQueue.ts'
import type { SlidingWindows } from './windows.ts'

const START = 8 // characters of a row id before the key

/** The width of a row: what one record may touch begins within 2 × difference + 2 ms, so it lies in two rows at most. */
export const bucketWidth = ({ difference }: SlidingWindows): number => 2 * difference + 2

/** A row can go when no record that is still taken can look at its windows. */
export const slidingRetention = (windows: SlidingWindows): number =>
  bucketWidth(windows) + 3 * windows.difference + windows.grace

/**
 * Each record with a key and a value updates the windows that contain it, and makes those that begin or end with it: the window that ends
 * at the record, and the one behind it if records lie there; likewise the one behind the record before it. So every window of that length
 * that holds a distinct set of records exists once. Drops null keys and null values.
 * @example
 * t.stream(flights).groupByKey().windowedBy(sliding('10m', { grace: '1m' })).count({ name: 'flights-in-10m' })
 */
export class SlidingAggregateOperator<K, V, A> implements Operator {
  readonly prefetchByTime = true
  readonly #name: string
  readonly #windows: SlidingWindows
  readonly #width: number
  readonly #behaviour: WindowBehaviour<K, V>
  readonly #update: SlidingStep<K, V, A>
  readonly #ids: RowIds<K>
  #store!: WindowRowStore<Slot<A>[]>
  #context!: OperatorContext
  #caching = true
  #time = -1 // highest time seen here; kept over restarts by context.save
  #closed = Number.NEGATIVE_INFINITY // windows that end below it are closed
  #waiting: TimeQueue | undefined // on close: windows that were not emitted, as start ‖ key

  constructor(
    store: string,
    key: Serde<K>,
    windows: SlidingWindows,
    step: Step<K, V, A>,
    behaviour: WindowBehaviour<K, V> = {}
  ) {
    this.#name = store
    this.#windows = windows
    this.#width = bucketWidth(windows)
    this.#update = new SlidingStep(windows.difference, step)
    this.#behaviour = behaviour
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#time = context.saved('time') ?? -1
    this.#store = context.store(this.#name) as unknown as WindowRowStore<Slot<A>[]>
    this.#store.resume(this.#time)
    const { emit, idleMs } = this.#behaviour
    const onClose = emit === 'close'
    if (idleMs !== undefined) context.onIdle(idleMs, (time) => this.#goOn(time))
    this.#caching = this.#store.spec.caching || onClose
    this.#closed = this.#time < 0 ? Number.NEGATIVE_INFINITY : this.#time - this.#windows.grace
    if (onClose) {
      this.#closed = context.saved('closed') ?? this.#closed
      const { difference } = this.#windows
      const from = this.#closed > difference ? this.#bucket(this.#closed - difference) : 0
      this.#waiting = new TimeQueue(this.#store, windowId(from, ''), undefined, {
        ids: (id, value) => this.#open(id, value as Slot<A>[]),
        rowOf: (id) => windowId(this.#bucket(windowStart(id)), '')
      })
    } else if (this.#caching) this.#store.onFlush = (row) => this.#flush(row)
  }

  #observe(time: number): void {
    this.#time = time
    this.#context.save('time', time)
    this.#store.observe(time)
  }

  /** Time without a record. */
  #goOn(time: number): MaybePromise<void> {
    if (time <= this.#time) return
    this.#observe(time)
    return this.#after(NO_HEADERS)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const keys = this.#ids.ofRows(set, from, to, key)
    if (keys) return this.#store.prefetch(this.#rows(set, from, keys))
  }

  *#rows(set: RecordSet, from: number, keys: readonly (string | undefined)[]): Generator<string> {
    const { difference, grace } = this.#windows
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]
      const time = set.timestamps[from + i]!
      if (key === undefined || time < 0 || time + difference < this.#time - grace) continue
      const low = this.#bucket(Math.max(0, time - 2 * difference))
      const high = this.#bucket(time + 1)
      yield windowId(low, key)
      if (high !== low) yield windowId(high, key)
    }
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const key = this.#ids.of(record)
    if (key === undefined) return this.#context.drop('null-key')
    if (!record.hasValue()) return this.#context.drop('null-value')
    const { difference, grace } = this.#windows
    const time = record.timestamp
    if (time > this.#time) this.#observe(time)
    const closed = Math.max(this.#closed, this.#time - grace)
    if (time + difference < closed) {
      return refuse(this.#context, this.#behaviour.onLate, record, time, time + difference, closed)
    }
    const low = this.#bucket(Math.max(0, time - 2 * difference))
    const high = this.#bucket(time + 1)
    const second = this.#store.row(windowId(high, key))
    if (low === high) {
      return second instanceof Promise
        ? second.then((row) => this.#apply(record, key, undefined, row, high, closed))
        : this.#apply(record, key, undefined, second, high, closed)
    }
    const first = this.#store.row(windowId(low, key))
    if (first instanceof Promise || second instanceof Promise) {
      return Promise.all([first, second]).then(([a, b]) => this.#apply(record, key, a, b, high, closed))
    }
    return this.#apply(record, key, first, second, high, closed)
  }

  #apply(
    record: StreamRecord<K, V>,
    key: string,
    low: Row<Slot<A>[]> | undefined,
    high: Row<Slot<A>[]>,
    border: number,
    closed: number
  ): MaybePromise<void> {
    const step = this.#update
    const before = low?.value ?? []
    const behind = high.value ?? []
    step.run(record, before, behind, border, closed)
    const { headers, timestamp } = record
    if (low !== undefined && step.changedLow) this.#store.set(low, before, Math.max(low.timestamp, timestamp), headers)
    if (step.changedHigh) this.#store.set(high, behind, Math.max(high.timestamp, timestamp), headers)
    for (const start of step.refused) {
      refuse(this.#context, this.#behaviour.onLate, record, start, start + this.#windows.difference, closed)
    }
    const { changes } = step
    if (this.#waiting) {
      for (const { slot, old } of changes) if (old === null) this.#waiting.add(windowId(slot.start, key))
    } else if (this.#caching) {
      for (const { slot } of changes) slot.dirty = true
    } else {
      const given = this.#give(record.key, changes, 0)
      if (given !== undefined) return given.then(() => this.#after(record.headers))
    }
    return this.#after(record.headers)
  }

  /** Without a cache: each change goes on at once. */
  #give(key: K, changes: readonly SlotChange<A>[], from: number): MaybePromise<void> {
    for (let i = from; i < changes.length; i++) {
      const { slot, old } = changes[i]!
      if (slot.value === null && old === null) continue
      const given = this.#forward(key, slot, old, slot.headers)
      if (given !== undefined) return given.then(() => this.#give(key, changes, i + 1))
    }
  }

  /** With a cache: what changed in a row since the last commit. */
  async #flush(row: Row<Slot<A>[]>): Promise<void> {
    const key = this.#ids.key(row.id, START)
    for (const slot of [...(row.value ?? [])]) {
      if (!slot.dirty) continue
      const old = slot.sent
      slot.dirty = false
      slot.sent = slot.value
      if (old !== null || slot.value !== null) await this.#forward(key, slot, old, slot.headers)
    }
  }

  /** Closed windows go on. */
  #after(headers: Headers): MaybePromise<void> {
    if (this.#waiting === undefined) return
    const closed = this.#time - this.#windows.grace
    if (closed <= this.#closed) return
    const emitted = this.#emit(this.#waiting, closed, headers)
    return emitted === undefined ? this.#settle(closed) : emitted.then(() => this.#settle(closed))
  }

  #settle(closed: number): void {
    this.#closed = closed
    this.#context.save('closed', closed)
  }

  #emit(waiting: TimeQueue, closed: number, headers: Headers): MaybePromise<void> {
    const limit = closed - this.#windows.difference // starts below it
    if (limit <= 0) return
    const bound = windowId(limit, '')
    for (;;) {
      const id = waiting.next(bound)
      if (id instanceof Promise) return id.then(() => this.#emit(waiting, closed, headers))
      if (id === undefined) return
      waiting.shift()
      const start = windowStart(id)
      const row = this.#store.row(windowId(this.#bucket(start), id.slice(START)))
      const given =
        row instanceof Promise
          ? row.then((r) => this.#emitOne(r, id, start, headers))
          : this.#emitOne(row, id, start, headers)
      if (given !== undefined) return given.then(() => this.#emit(waiting, closed, headers))
    }
  }

  #emitOne(row: Row<Slot<A>[]>, id: string, start: number, headers: Headers): MaybePromise<void> {
    const slots = row.value ?? []
    const slot = slots[slotIndex(slots, start)]
    if (slot === undefined || slot.start !== start || slot.value === null) return
    return this.#forward(this.#ids.key(id, START), slot, null, headers)
  }

  /** On close, after a start: the windows of a row that are not emitted. */
  *#open(id: string, slots: readonly Slot<A>[]): Generator<string> {
    const key = id.slice(START)
    for (const { start } of slots) if (start + this.#windows.difference >= this.#closed) yield windowId(start, key)
  }

  #bucket(time: number): number {
    return time - (time % this.#width)
  }

  #forward(key: K, slot: Slot<A>, old: A | null, headers: Headers): MaybePromise<void> {
    const { start } = slot
    const windowedKey: Windowed<K> = { key, start, end: start + this.#windows.difference }
    const change: Change<A> = { value: slot.value, old }
    return this.#context.forward(new StreamRecord(windowedKey, change, slot.timestamp, headers))
  }
}
