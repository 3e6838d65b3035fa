/** One running value per key and window of time. */
import { type Headers, NO_HEADERS, type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { Windowed } from '../serde/windowed.ts'
import { windowId, windowStart } from '../store/bytes.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { WindowRowStore } from '../store/windowRows.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import type { Step } from './aggregate.ts'
import type { WindowBehaviour } from './behaviour.ts'
import { refuse } from './late.ts'
import { RowIds } from './rowIds.ts'
import { TimeQueue } from './timeQueue.ts'
import { firstStart, type TimeWindows } from './windows.ts'

const START = 8 // characters of a row id before the key

/**
 * Every record with a key first moves the operator's own stream time (over all keys of the task), then updates each of its windows
 * whose end is above stream time − grace; for the others it is late, once per window. Only null keys are dropped.
 * @example
 * t.stream(flights).groupByKey().windowedBy(tumbling('1d', { grace: '12h' })).count({ name: 'flights-per-day' })
 */
export class WindowedAggregateOperator<K, V, A> implements Operator {
  readonly prefetchByTime = true
  readonly #name: string
  readonly #windows: TimeWindows
  readonly #step: Step<K, V, A>
  readonly #behaviour: WindowBehaviour<K, V>
  readonly #ids: RowIds<K>
  #store!: RowStore<A>
  #caching = true
  #context!: OperatorContext
  #time = -1 // highest time seen here; kept over restarts by context.save
  #closed = Number.NEGATIVE_INFINITY // on close: windows that end at or before it were emitted
  #waiting: TimeQueue | undefined // on close: ids of windows that were not emitted
  #known: (string | undefined)[] = [] // ids of the earliest windows of the prefetched rows: a string used again has its hash already
  #start = -1 // of #prefix
  #prefix = ''

  constructor(
    store: string,
    key: Serde<K>,
    windows: TimeWindows,
    step: Step<K, V, A>,
    behaviour: WindowBehaviour<K, V> = {}
  ) {
    this.#name = store
    this.#windows = windows
    this.#step = step
    this.#behaviour = behaviour
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#time = context.saved('time') ?? -1
    this.#store = context.store(this.#name) as RowStore<A>
    this.#store.resume(this.#time)
    const { idleMs } = this.#behaviour
    if (idleMs !== undefined) context.onIdle(idleMs, (time) => this.#goOn(time))
    if (this.#behaviour.emit === 'close') {
      this.#caching = true // nothing goes on before the window closes
      this.#resume(context)
      return
    }
    this.#caching = this.#store.spec.caching
    if (!this.#caching) return
    this.#store.onFlush = (row, old) => this.#forward(this.#ids.key(row.id, START), windowStart(row.id), row, old)
  }

  /** What was waiting before a restart waits again; what was emitted is not. */
  #resume(context: OperatorContext): void {
    const { size, grace } = this.#windows
    this.#closed = context.saved('closed') ?? (this.#time < 0 ? Number.NEGATIVE_INFINITY : this.#time - grace)
    const first = Math.max(0, this.#closed - size + 1)
    this.#waiting = new TimeQueue(this.#store as WindowRowStore<A>, windowId(first, ''), undefined)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const keys = this.#ids.ofRows(set, from, to, key)
    if (!keys) return
    this.#known = new Array(keys.length)
    return this.#store.prefetch(this.#open(set, from, keys))
  }

  /** Ids of the windows that are not surely late. */
  *#open(set: RecordSet, from: number, keys: readonly (string | undefined)[]): Generator<string> {
    const { size, advance, grace } = this.#windows
    const closed = Math.max(this.#time - grace, this.#closed)
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]
      const time = set.timestamps[from + i]!
      if (key === undefined || time < 0) continue
      const first = firstStart(time, this.#windows)
      for (let start = first; start <= time; start += advance) {
        if (start + size <= closed) continue
        const id = this.#id(start, key)
        if (start === first) this.#known[i] = id
        yield id
      }
    }
  }

  /** As `windowId`; windows that follow each other are mostly the same, so their 8 bytes are made once. */
  #id(start: number, key: string): string {
    if (start !== this.#start) {
      this.#start = start
      this.#prefix = windowId(start, '')
    }
    return this.#prefix + key
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const key = this.#ids.of(record)
    if (key === undefined) return this.#context.drop('null-key')
    const time = record.timestamp
    if (time > this.#time) this.#observe(time)
    const index = this.#ids.indexOf(record)
    const first = firstStart(time, this.#windows)
    // Another event time than at the prefetch (an operator upstream changed it) means another window.
    const known = index >= 0 && record._set!.timestamps[record._row] === time ? this.#known[index] : undefined
    return this.#update(record, key, first, known)
  }

  #update(record: StreamRecord<K, V>, key: string, from: number, known?: string): MaybePromise<void> {
    const { size, advance, grace } = this.#windows
    const closed = Math.max(this.#time - grace, this.#closed)
    for (let start = from; start <= record.timestamp; start += advance) {
      if (start + size <= closed) {
        refuse(this.#context, this.#behaviour.onLate, record, start, start + size, closed)
        continue
      }
      const row = this.#store.row(start === from && known !== undefined ? known : this.#id(start, key))
      const result =
        row instanceof Promise ? row.then((r) => this.#apply(r, start, record)) : this.#apply(row, start, record)
      if (result !== undefined) {
        const next = start + advance
        return result.then(() => this.#update(record, key, next))
      }
    }
    if (this.#waiting !== undefined) return this.#emit(this.#waiting, record.headers)
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
    if (this.#waiting !== undefined) return this.#emit(this.#waiting, NO_HEADERS)
  }

  #apply(row: Row<A>, start: number, record: StreamRecord<K, V>): MaybePromise<void> {
    const old = row.value
    const value = this.#step(old, record) ?? null
    const time = old === null ? record.timestamp : Math.max(record.timestamp, row.timestamp)
    this.#store.set(row, value, time, record.headers)
    if (old === null) this.#waiting?.add(row.id)
    if (!this.#caching) return this.#forward(record.key, start, row, old)
  }

  /** The windows that are closed by now, in the order of time. */
  #emit(waiting: TimeQueue, headers: Headers): MaybePromise<void> {
    const { size, grace } = this.#windows
    const closed = this.#time - grace
    if (closed <= this.#closed) return
    const behind = closed - size + 1 // the first start of a window that is open
    if (behind > 0) {
      const limit = windowId(behind, '')
      for (;;) {
        const id = waiting.next(limit)
        if (id instanceof Promise) return id.then(() => this.#emit(waiting, headers))
        if (id === undefined) break
        waiting.shift()
        const row = this.#store.row(id)
        const given = row instanceof Promise ? row.then((r) => this.#final(r, headers)) : this.#final(row, headers)
        if (given !== undefined) return given.then(() => this.#emit(waiting, headers))
      }
    }
    this.#closed = closed
    this.#context.save('closed', closed)
  }

  #final(row: Row<A>, headers: Headers): MaybePromise<void> {
    if (row.value === null) return
    const windowedKey = this.#windowed(this.#ids.key(row.id, START), windowStart(row.id))
    return this.#context.forward(new StreamRecord(windowedKey, { value: row.value, old: null }, row.timestamp, headers))
  }

  #forward(key: K, start: number, row: Row<A>, old: A | null): MaybePromise<void> {
    const change: Change<A> = { value: row.value, old }
    return this.#context.forward(new StreamRecord(this.#windowed(key, start), change, row.timestamp, row.headers))
  }

  #windowed(key: K, start: number): Windowed<K> {
    return { key, start, end: start + this.#windows.size }
  }
}
