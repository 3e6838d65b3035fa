/** Joins the records of two streams that have the same key and lie near each other in time. */
import { NO_HEADERS, type RecordSet, type Serde, type StreamRecord } from '../record.ts'
import { type Entry, hasOpen } from '../store/join/entries.ts'
import type { JoinStore } from '../store/join/joinStore.ts'
import type { MaybePromise, Row } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'
import { RowIds } from './rowIds.ts'
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

/** Rows that a record touches where buckets are rows, by the start of the bucket. */
interface Spilled<V> {
  readonly own: Row<Entry<V>[]> | undefined
  readonly other: ReadonlyMap<number, Row<Entry<unknown>[]>>
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
  readonly #size: number // of a bucket, ms
  readonly #ids: RowIds<K>
  #own!: JoinStore<V>
  #other!: JoinStore<unknown>
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
    this.#size = bucket
    this.#ids = new RowIds(plan.key)
  }

  init(context: OperatorContext): void {
    const { left, right, states } = this.#plan
    this.#context = context
    this.#own = context.store(this.#left ? left : right) as unknown as JoinStore<V>
    this.#other = context.store(this.#left ? right : left) as unknown as JoinStore<unknown>
    const shared = context.store(left)
    // The left side is added first, so it begins first: also after a restart over the same stores.
    if (this.#left) states.set(shared, new StreamJoinState(this.#plan, context))
    this.#state = states.get(shared)!
    this.#state.resumeStored(this.#left, this.#own)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    if (!this.#ready) return this.#load().then(() => this.prefetch(set, from, to, key))
    if (!this.#anySpilled) return
    const keys = this.#ids.ofRows(set, from, to, key)
    if (!keys) return
    const waiting = [this.#other.prefetch(this.#wanted(set, from, keys))]
    if (this.#puts) waiting.push(this.#own.prefetch(this.#mine(set, from, keys)))
    const open = waiting.filter((w) => w !== undefined)
    if (open.length > 0) return Promise.all(open).then(() => {})
  }

  *#wanted(set: RecordSet, from: number, keys: readonly (string | undefined)[]): Generator<string> {
    for (let i = 0; i < keys.length; i++) {
      const time = set.timestamps[from + i]!
      if (keys[i] === undefined || time < 0 || time + this.#ahead < 0) continue
      const last = this.#bucketOf(time + this.#ahead)
      for (let start = this.#bucketOf(Math.max(0, time - this.#back)); start <= last; start += this.#size) {
        if (this.#other.spilled(start)) yield this.#other.rowId(start, keys[i]!)
      }
    }
  }

  *#mine(set: RecordSet, from: number, keys: readonly (string | undefined)[]): Generator<string> {
    for (let i = 0; i < keys.length; i++) {
      const time = set.timestamps[from + i]!
      if (keys[i] === undefined || time < 0) continue
      const start = this.#bucketOf(time)
      if (this.#own.spilled(start)) yield this.#own.rowId(start, keys[i]!)
    }
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    if (!this.#ready) return this.#load().then(() => this.process(record))
    const state = this.#state
    const time = record.timestamp
    state.observe(time)
    const key = this.#ids.of(record)
    if (!record.hasValue()) {
      this.#context.drop('null-value')
      if (key !== undefined && this.#puts) state.observeStored(this.#left, time, this.#own)
      return
    }
    if (key === undefined) return this.#optional ? this.#emit(record, null, time) : this.#context.drop('null-key')
    if (state.pending !== undefined && time === state.time) {
      const due = state.emitDue(this.#context, record.headers)
      if (due !== undefined) return due.then(() => this.#take(record, key))
    }
    return this.#take(record, key)
  }

  #take(record: StreamRecord<K, V>, key: string): MaybePromise<void> {
    if (!this.#anySpilled) return this.#put(record, key, undefined)
    return this.#rowsOf(record.timestamp, key).then((rows) => this.#put(record, key, rows))
  }

  async #rowsOf(time: number, key: string): Promise<Spilled<V>> {
    const start = this.#bucketOf(time)
    const own = this.#puts && this.#own.spilled(start) ? await this.#own.row(this.#own.rowId(start, key)) : undefined
    const other = new Map<number, Row<Entry<unknown>[]>>()
    const to = time + this.#ahead
    for (let at = this.#bucketOf(this.#from(time)); at <= to; at += this.#size) {
      if (this.#other.spilled(at)) other.set(at, await this.#other.row(this.#other.rowId(at, key)))
    }
    return { own, other }
  }

  #put(record: StreamRecord<K, V>, key: string, rows: Spilled<V> | undefined): MaybePromise<void> {
    if (!this.#puts) return this.#look(record, key, rows, false)
    const own = this.#own
    const time = record.timestamp
    const start = this.#bucketOf(time)
    const row = rows?.own
    // What one of its time has not found, it will not find either: `others` says that there is a waiting row for both.
    let others = false
    if (row !== undefined) {
      others = hasOpen(row.value ?? [], time)
      own.putRow(row, { timestamp: time, value: record.value, open: others })
    } else {
      others = this.#optional && own.hasOpen(start, key, time)
      const set = record.rawValue(own.value)
      if (set !== undefined) {
        const at = record._row
        own.put(start, key, time, others, set.bytes, set.valueStart[at]!, set.valueEnd[at]!)
      } else own.putValue(start, key, time, others, record.value)
    }
    this.#state.observeStored(this.#left, time, own)
    return this.#look(record, key, rows, others)
  }

  #look(record: StreamRecord<K, V>, key: string, rows: Spilled<V> | undefined, others: boolean): MaybePromise<void> {
    const from = this.#from(record.timestamp)
    const to = record.timestamp + this.#ahead
    let found: Entry<unknown>[] | undefined
    if (from <= to) {
      const last = this.#bucketOf(to)
      for (let start = this.#bucketOf(from); start <= last; start += this.#size) {
        const row = rows?.other.get(start)
        if (row === undefined) found = this.#other.collect(start, key, from, to, found)
        else if (row.value !== null) {
          const near = row.value.filter((entry) => entry.timestamp >= from && entry.timestamp <= to)
          found = found === undefined ? near : found.concat(near)
        }
      }
    }
    if (found === undefined || found.length === 0) return this.#alone(record, key, rows, others)
    return this.#pair(record, key, rows, found, 0)
  }

  /** Goes on with the entry `from`: a child that waits comes back here. */
  #pair(
    record: StreamRecord<K, V>,
    key: string,
    rows: Spilled<V> | undefined,
    found: readonly Entry<unknown>[],
    from: number
  ): MaybePromise<void> {
    for (let i = from; i < found.length; i++) {
      const other = found[i]!
      let waiting: MaybePromise<void> | undefined
      if (this.#otherOptional && other.open) waiting = this.#settle(rows, other, key)
      const time = Math.max(record.timestamp, other.timestamp)
      if (waiting === undefined) waiting = this.#emit(record, other.value, time)
      else waiting = waiting.then(() => this.#emit(record, other.value, time))
      if (waiting !== undefined) return waiting.then(() => this.#pair(record, key, rows, found, i + 1))
    }
  }

  /** Without a partner so far. */
  #alone(record: StreamRecord<K, V>, key: string, rows: Spilled<V> | undefined, others: boolean): MaybePromise<void> {
    if (!this.#optional) return
    const time = record.timestamp
    if (time + this.#ahead < this.#state.time) return this.#emit(record, null, time)
    this.#mark(this.#own, rows?.own, time, key, true)
    return this.#state.wait(this.#left, time, key, record.value, others)
  }

  /** A record of the other side has found its first partner: all of its key and time have. */
  #settle(rows: Spilled<V> | undefined, other: Entry<unknown>, key: string): MaybePromise<void> {
    const time = other.timestamp
    other.open = false
    this.#mark(this.#other, rows?.other.get(this.#bucketOf(time)), time, key, false)
    return this.#state.settle(!this.#left, time, key)
  }

  #mark<W>(store: JoinStore<W>, row: Row<Entry<W>[]> | undefined, time: number, key: string, open: boolean): void {
    if (row === undefined) {
      store.setOpen(this.#bucketOf(time), key, time, open)
      return
    }
    for (const entry of row.value!) if (entry.timestamp === time) entry.open = open
    store.set(row, row.value, row.timestamp, NO_HEADERS)
  }

  #emit(record: StreamRecord<K, V>, other: unknown, time: number): MaybePromise<void> {
    const { joiner } = this.#plan
    const value = this.#left ? joiner(record.value, other, record.key) : joiner(other, record.value, record.key)
    const result = record.withValue(value)
    return this.#context.forward(time === record.timestamp ? result : result.withTimestamp(time))
  }

  /** The other side's records from here on are seen: older ones are past the retention of their store. */
  #from(time: number): number {
    return Math.max(0, time - this.#back, this.#state.oldest(!this.#left))
  }

  /** Start of the bucket that holds `time` (≥ 0). */
  #bucketOf(time: number): number {
    return time - (time % this.#size)
  }

  get #ready(): boolean {
    return this.#own.ready && this.#other.ready
  }

  get #anySpilled(): boolean {
    return this.#own.anySpilled || this.#other.anySpilled
  }

  #load(): Promise<unknown> {
    return Promise.all([this.#own.load(), this.#other.load()])
  }
}
