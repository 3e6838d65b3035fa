/** Joins a stream with a versioned table after a wait, so that what comes late to the table is there by then. */
import { type Headers, type RecordSet, type Serde, StreamRecord } from '../record.ts'
import { windowId, windowStart } from '../store/bytes.ts'
import type { CachedRowStore } from '../store/cache/rowStore.ts'
import type { MaybePromise, Row, TaskStore } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'
import { present } from './aggregate.ts'
import type { Buffered } from './bufferedSerde.ts'
import { RowIds } from './rowIds.ts'
import type { StreamTableJoiner } from './streamTableJoin.ts'
import type { TableView, ViewReader } from './tableView.ts'
import { TimeQueue } from './timeQueue.ts'
import type { Version } from './versions.ts'

const TIME = 8 // characters of a buffered row's id: time(8) ‖ key ‖ number(4)
const NUMBER = 4

/**
 * Records wait until stream time (of this side) has passed their time by the grace, then join in the order of their times, each with its
 * own headers. One that comes later than that joins at once. What waits survives restarts. Null values are dropped; null keys too, or
 * (left join) joined with null at once.
 * @example
 * t.stream(flights).join(t.table(airports, { versioned: '7d' }), (flight, airport) => ({ ...flight, state: airport.state }), { grace: '1h', name: 'flights-in-states' })
 */
export class StreamTableGraceJoinOperator<K, V, T, V2> implements Operator {
  readonly #view: TableView<T>
  readonly #name: string
  readonly #grace: number
  readonly #left: boolean
  readonly #joiner: StreamTableJoiner<K, V, T | null, V2>
  readonly #ids: RowIds<K>
  readonly #idleMs: number | undefined
  #table!: ViewReader<T>
  #buffer!: CachedRowStore<Buffered<V>>
  #waiting!: TimeQueue
  #context!: OperatorContext
  #time = -1 // highest time seen here; kept over restarts by context.save
  #number = 0 // of the next buffered record, which tells those of one key and time apart

  constructor(
    view: TableView<T>,
    buffer: string,
    key: Serde<K>,
    grace: number,
    left: boolean,
    joiner: StreamTableJoiner<K, V, T | null, V2>,
    idleMs?: number
  ) {
    this.#view = view
    this.#name = buffer
    this.#ids = new RowIds(key)
    this.#grace = grace
    this.#left = left
    this.#joiner = joiner
    this.#idleMs = idleMs
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#table = this.#view.open((name) => context.store(name))
    this.#buffer = context.store(this.#name) as TaskStore as CachedRowStore<Buffered<V>>
    this.#waiting = new TimeQueue(this.#buffer, '', undefined)
    this.#time = context.saved('time') ?? -1
    this.#number = context.saved('number') ?? 0
    if (this.#idleMs === undefined) return
    context.onIdle(this.#idleMs, (time) => {
      this.#observe(time)
      return this.#release()
    })
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#table.prefetch([...present(ids)])
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const time = record.timestamp
    this.#observe(time)
    if (!record.hasValue()) return this.#context.drop('null-value')
    const id = this.#ids.of(record)
    if (id === undefined) return this.#left ? this.#forward(record, null) : this.#context.drop('null-key')
    const joined = time < this.#time - this.#grace ? this.#join(record, id) : this.#keep(record, id)
    return joined === undefined ? this.#release() : joined.then(() => this.#release())
  }

  #observe(time: number): void {
    if (time <= this.#time) return
    this.#time = time
    this.#context.save('time', time)
  }

  #keep(record: StreamRecord<K, V>, key: string): void {
    const number = this.#number
    this.#number = (number + 1) % 0x1_0000_0000
    this.#context.save('number', this.#number)
    const tail = String.fromCharCode(number >>> 24, (number >>> 16) & 0xff, (number >>> 8) & 0xff, number & 0xff)
    const id = windowId(record.timestamp, key) + tail
    const { value, headers, timestamp } = record
    this.#buffer.set(this.#buffer.known(id, null), { value, headers }, timestamp, headers)
    this.#waiting.add(id)
  }

  /** Everything that has waited long enough. */
  #release(): MaybePromise<void> {
    const due = this.#time - this.#grace
    if (due < 0) return
    const limit = windowId(due + 1, '')
    for (;;) {
      const id = this.#waiting.next(limit)
      if (id instanceof Promise) return id.then(() => this.#release())
      if (id === undefined) return
      const row = this.#buffer.row(id)
      if (row instanceof Promise) return row.then(() => this.#release())
      const joined = this.#leave(row, id)
      if (joined !== undefined) return joined.then(() => this.#release())
    }
  }

  #leave(row: Row<Buffered<V>>, id: string): MaybePromise<void> {
    const buffered = row.value
    const time = windowStart(id)
    this.#waiting.shift()
    this.#buffer.set(row, null, time, [])
    if (buffered === null) return
    const key = id.slice(TIME, -NUMBER)
    const headers: Headers = buffered.headers
    return this.#join(new StreamRecord(this.#ids.key(key), buffered.value, time, headers), key)
  }

  #join(record: StreamRecord<K, V>, id: string): MaybePromise<void> {
    const row = this.#table.read(id, record, record.timestamp)
    return row instanceof Promise ? row.then((r) => this.#apply(r, record)) : this.#apply(row, record)
  }

  #apply({ value }: Version<T>, record: StreamRecord<K, V>): MaybePromise<void> {
    if (value !== null || this.#left) return this.#forward(record, value)
  }

  #forward(record: StreamRecord<K, V>, row: T | null): MaybePromise<void> {
    return this.#context.forward(record.withValue(this.#joiner(record.value, row, record)))
  }
}
