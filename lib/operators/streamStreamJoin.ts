/** Joins the records of two streams that have the same key and lie near each other in time. */
import { NO_HEADERS, type RecordSet, type Serde, type StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'
import { Buckets, type Entry, hasOpen, insert } from './joinRows.ts'
import { hasValue, RowIds } from './rowIds.ts'
import { type JoinSpan, StreamJoinState } from './streamJoinState.ts'

/** What both sides of a join know of it. */
export interface StreamJoinPlan<K> {
  /** Of both streams: their keys must have the same bytes. */
  readonly key: Serde<K>
  readonly span: JoinSpan
  /** Stores of the two sides; the same for a stream that is joined with itself. */
  readonly left: string
  readonly right: string
  /** A stream is joined with itself. */
  readonly self: boolean
  /** Records that wait for their window to close; undefined for an inner join. */
  readonly pending: string | undefined
  /** Sides whose records come out without a partner too. */
  readonly optional: { readonly left: boolean; readonly right: boolean }
  // biome-ignore lint/suspicious/noExplicitAny: typed by the builder
  readonly joiner: (left: any, right: any, key: K) => unknown
  readonly idleMs?: number | undefined
  /** The state that the sides share, by the store of the left one: a task has one of each. */
  readonly states: WeakMap<object, StreamJoinState<K>>
}

/**
 * One side of a join: keeps its own records, and pairs each with those of the other side in `[time − before, time + after]` (mirrored for
 * the right one), in the order of their times. A pair has the higher time of both and the headers of the later arrival. Every record
 * moves the join's stream time, dropped ones too. Null values are dropped; null keys as well, unless the side is optional: they come
 * out at once without a partner.
 * @example
 * t.stream(web).join(t.stream(mobile), (click, tap) => [click, tap], { within: { before: '5m', after: '1m', grace: '30s' } })
 */
export class StreamStreamJoinOperator<K, V> implements Operator {
  readonly prefetchByTime = true
  readonly #plan: StreamJoinPlan<K>
  readonly #left: boolean
  readonly #optional: boolean
  readonly #otherOptional: boolean
  readonly #puts: boolean
  readonly #back: number
  readonly #ahead: number
  readonly #ids: RowIds<K>
  readonly #buckets: Buckets
  readonly #rows: MaybePromise<Row<Entry<unknown>[]>>[] = [] // of the other side, for the record in hand
  #own!: RowStore<Entry<V>[]>
  #other!: RowStore<Entry<unknown>[]>
  #state!: StreamJoinState<K>
  #context!: OperatorContext

  constructor(plan: StreamJoinPlan<K>, left: boolean) {
    const { before, after, bucket } = plan.span
    this.#plan = plan
    this.#left = left
    this.#optional = left ? plan.optional.left : plan.optional.right
    this.#otherOptional = left ? plan.optional.right : plan.optional.left
    // A stream joined with itself: the left side looks first, then the right one puts and looks.
    this.#puts = !left || plan.left !== plan.right
    this.#back = left ? before : after
    this.#ahead = left ? after : before
    this.#ids = new RowIds(plan.key)
    this.#buckets = new Buckets(bucket)
  }

  init(context: OperatorContext): void {
    const { left, right, states } = this.#plan
    this.#context = context
    this.#own = context.store(this.#left ? left : right) as RowStore<Entry<V>[]>
    this.#other = context.store(this.#left ? right : left) as RowStore<Entry<unknown>[]>
    const shared = context.store(left)
    // The left side is added first, so it begins first: also after a restart over the same stores.
    if (this.#left) states.set(shared, new StreamJoinState(this.#plan, context))
    this.#state = states.get(shared)!
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const keys = this.#ids.ofRows(set, from, to, key)
    if (!keys) return
    const waiting = [this.#other.prefetch(this.#wanted(set, from, keys))]
    if (this.#puts) waiting.push(this.#own.prefetch(this.#mine(set, from, keys)))
    const open = waiting.filter((w) => w !== undefined)
    if (open.length > 0) return Promise.all(open).then(() => {})
  }

  *#wanted(set: RecordSet, from: number, keys: readonly (string | undefined)[]): Generator<string> {
    const { size } = this.#buckets
    for (let i = 0; i < keys.length; i++) {
      const time = set.timestamps[from + i]!
      if (keys[i] === undefined || time < 0 || time + this.#ahead < 0) continue
      const last = this.#buckets.of(time + this.#ahead)
      for (let start = this.#buckets.of(Math.max(0, time - this.#back)); start <= last; start += size) {
        yield this.#buckets.id(start, keys[i]!)
      }
    }
  }

  *#mine(set: RecordSet, from: number, keys: readonly (string | undefined)[]): Generator<string> {
    for (let i = 0; i < keys.length; i++) {
      const time = set.timestamps[from + i]!
      if (keys[i] !== undefined && time >= 0) yield this.#buckets.id(this.#buckets.of(time), keys[i]!)
    }
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const state = this.#state
    const time = record.timestamp
    state.observe(time)
    const key = this.#ids.of(record)
    if (!hasValue(record)) {
      this.#context.drop('null-value')
      return key !== undefined && this.#puts ? state.observeStored(this.#left, time, this.#own) : undefined
    }
    if (key === undefined) return this.#optional ? this.#emit(record, null, time) : this.#context.drop('null-key')
    if (state.pending !== undefined && time === state.time) {
      const due = state.emitDue(this.#context, record.headers)
      if (due !== undefined) return due.then(() => this.#gather(record, key))
    }
    return this.#gather(record, key)
  }

  /** The rows that this record touches. */
  #gather(record: StreamRecord<K, V>, key: string): MaybePromise<void> {
    const { size } = this.#buckets
    const time = record.timestamp
    const own = this.#puts ? this.#own.row(this.#buckets.id(this.#buckets.of(time), key)) : undefined
    const rows = this.#rows
    rows.length = 0
    let waiting = own instanceof Promise
    const from = this.#from(time)
    const to = time + this.#ahead
    if (to >= from) {
      const last = this.#buckets.of(to)
      for (let start = this.#buckets.of(from); start <= last; start += size) {
        const row = this.#other.row(this.#buckets.id(start, key))
        if (row instanceof Promise) waiting = true
        rows.push(row)
      }
    }
    type Rows = Row<Entry<unknown>[]>[]
    if (!waiting) return this.#apply(record, key, own as Row<Entry<V>[]> | undefined, rows as Rows)
    return Promise.all([own, ...rows]).then(([mine, ...others]) =>
      this.#apply(record, key, mine as Row<Entry<V>[]> | undefined, others as Rows)
    )
  }

  /** The other side's records from here on are seen: older ones are past the retention of their store. */
  #from(time: number): number {
    return Math.max(0, time - this.#back, this.#state.oldest(!this.#left))
  }

  #apply(
    record: StreamRecord<K, V>,
    key: string,
    own: Row<Entry<V>[]> | undefined,
    rows: readonly Row<Entry<unknown>[]>[]
  ): MaybePromise<void> {
    if (own === undefined) return this.#pair(record, key, undefined, rows, 0, 0, false)
    const time = record.timestamp
    const entries = own.value ?? []
    // What one of its time has not found, it will not find either: `open` says that there is a waiting row for both.
    const entry: Entry<V> = { timestamp: time, value: record.value, open: hasOpen(entries, time) }
    insert(entries, entry)
    this.#own.set(own, entries, Math.max(time, own.timestamp), NO_HEADERS)
    const expired = this.#state.observeStored(this.#left, time, this.#own)
    if (expired !== undefined) return expired.then(() => this.#pair(record, key, entry, rows, 0, 0, false))
    return this.#pair(record, key, entry, rows, 0, 0, false)
  }

  /** Goes on with entry `e` of row `r`: a child that waits comes back here. */
  #pair(
    record: StreamRecord<K, V>,
    key: string,
    entry: Entry<V> | undefined,
    rows: readonly Row<Entry<unknown>[]>[],
    r: number,
    e: number,
    found: boolean
  ): MaybePromise<void> {
    const from = this.#from(record.timestamp)
    const to = record.timestamp + this.#ahead
    let matched = found
    for (let i = r; i < rows.length; i++) {
      const row = rows[i]!
      const entries = row.value
      if (entries === null) continue
      for (let j = i === r ? e : 0; j < entries.length; j++) {
        const other = entries[j]!
        if (other.timestamp < from) continue
        if (other.timestamp > to) break
        matched = true
        let waiting: MaybePromise<void> | undefined
        if (this.#otherOptional && other.open) waiting = this.#settle(row, other, key)
        const time = Math.max(record.timestamp, other.timestamp)
        if (waiting === undefined) waiting = this.#emit(record, other.value, time)
        else waiting = waiting.then(() => this.#emit(record, other.value, time))
        if (waiting !== undefined) return waiting.then(() => this.#pair(record, key, entry, rows, i, j + 1, true))
      }
    }
    if (matched || !this.#optional) return
    if (to < this.#state.time) return this.#emit(record, null, record.timestamp)
    const others = entry!.open
    entry!.open = true // its row is marked as changed already
    return this.#state.wait(this.#left, record.timestamp, key, record.value, others)
  }

  /** A record of the other side has found its first partner: all of its key and time have. */
  #settle(row: Row<Entry<unknown>[]>, other: Entry<unknown>, key: string): MaybePromise<void> {
    for (const entry of row.value!) if (entry.timestamp === other.timestamp) entry.open = false
    this.#other.set(row, row.value, row.timestamp, NO_HEADERS)
    return this.#state.settle(!this.#left, other.timestamp, key)
  }

  #emit(record: StreamRecord<K, V>, other: unknown, time: number): MaybePromise<void> {
    const { joiner } = this.#plan
    const value = this.#left ? joiner(record.value, other, record.key) : joiner(other, record.value, record.key)
    const result = record.withValue(value)
    return this.#context.forward(time === record.timestamp ? result : result.withTimestamp(time))
  }
}
