/** One running value per key and window of time. */
import { type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { Windowed } from '../serde/windowed.ts'
import { windowId, windowStart } from '../store/bytes.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import type { Step } from './aggregate.ts'
import { RowIds } from './rowIds.ts'
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
  readonly #ids: RowIds<K>
  #store!: RowStore<A>
  #caching = true
  #context!: OperatorContext
  #time = -1 // highest time seen here; kept over restarts by context.save
  #nextExpiry = 0
  #known: (string | undefined)[] = [] // ids of the earliest windows of the prefetched rows: a string used again has its hash already
  #start = -1 // of #prefix
  #prefix = ''

  constructor(store: string, key: Serde<K>, windows: TimeWindows, step: Step<K, V, A>) {
    this.#name = store
    this.#windows = windows
    this.#step = step
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#time = context.saved('time') ?? -1
    this.#store = context.store(this.#name) as RowStore<A>
    this.#caching = this.#store.spec.caching
    if (!this.#caching) return
    this.#store.onFlush = (row, old) => this.#forward(this.#ids.key(row.id, START), windowStart(row.id), row, old)
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
    const closed = this.#time - grace
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
    if (time > this.#time) {
      this.#time = time
      this.#context.save('time', time)
    }
    const index = this.#ids.indexOf(record)
    const first = firstStart(time, this.#windows)
    // Another event time than at the prefetch (an operator upstream changed it) means another window.
    const known = index >= 0 && record._set!.timestamps[record._row] === time ? this.#known[index] : undefined
    return this.#update(record, key, first, known)
  }

  #update(record: StreamRecord<K, V>, key: string, from: number, known?: string): MaybePromise<void> {
    const { size, advance, grace } = this.#windows
    for (let start = from; start <= record.timestamp; start += advance) {
      if (start + size <= this.#time - grace) {
        this.#context.drop('late')
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
    if (this.#time >= this.#nextExpiry) return this.#expire()
  }

  #apply(row: Row<A>, start: number, record: StreamRecord<K, V>): MaybePromise<void> {
    const old = row.value
    const value = this.#step(old, record) ?? null
    const time = old === null ? record.timestamp : Math.max(record.timestamp, row.timestamp)
    this.#store.set(row, value, time, record.headers)
    if (!this.#caching) return this.#forward(record.key, start, row, old)
  }

  /** Once per step of the window grid: windows past retention leave the store. */
  #expire(): MaybePromise<void> {
    const { advance } = this.#windows
    this.#nextExpiry = (Math.floor(this.#time / advance) + 1) * advance
    return this.#store.expire?.(this.#time)
  }

  #forward(key: K, start: number, row: Row<A>, old: A | null): MaybePromise<void> {
    const windowedKey: Windowed<K> = { key, start, end: start + this.#windows.size }
    const change: Change<A> = { value: row.value, old }
    return this.#context.forward(new StreamRecord(windowedKey, change, row.timestamp, row.headers))
  }
}
