/** Holds changes of a table back, until their window has closed or a time has passed. */
import { TopologyError } from '../errors.ts'
import { type Serde, StreamRecord } from '../record.ts'
import type { Windowed } from '../serde/windowed.ts'
import type { CachedRowStore } from '../store/cache/rowStore.ts'
import type { MaybePromise, Row } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { RowIds } from './rowIds.ts'
import { isMark, sessionsId as keyId, MARKED_KEY_AT, MARKS, markId } from './sessionRow.ts'
import { type Entry, mark } from './suppressEntry.ts'
import { TimeQueue } from './timeQueue.ts'

export interface Suppression {
  /** Entries wait by the end of their window, and deletions are left out; else by the event time of the key's first change. */
  readonly untilClose: boolean
  /** An entry goes on when stream time has passed its time by this much, ms. */
  readonly wait: number
  readonly maxRecords: number
  readonly maxBytes: number
  /** While no record comes for so long, ms, time goes on by wall clock. */
  readonly idleMs?: number | undefined
  /** What happens beyond: the oldest goes on early, or the task fails. */
  readonly full: 'emit' | 'fail'
}

/**
 * Stream time is that of the operator: the highest event time of the changes it was given, kept over restarts. Entries go on in the order of
 * time, then of keys, each with its own time and headers. With a cache what is due goes on at the commit, when all changes of the commit have
 * come: those of an aggregation in front do not come in the order of time.
 * @example
 * grouped.windowedBy(tumbling('1d', { grace: '12h' })).count({ name: 'per-day' }).suppress({ until: 'close', name: 'final-per-day' })
 */
export class SuppressOperator<K, V> implements Operator {
  readonly #name: string
  readonly #options: Suppression
  readonly #value: Serde<V>
  readonly #ids: RowIds<K>
  #store!: CachedRowStore<Entry<V>>
  #context!: OperatorContext
  #waiting!: TimeQueue // until close: ids of entries; else of marks, which name the key
  #caching = true
  #fresh = false // something came since the last look at what is due
  #time = -1
  #records = 0
  #bytes = 0

  constructor(store: string, key: Serde<K>, value: Serde<V>, options: Suppression) {
    this.#name = store
    this.#options = options
    this.#value = value
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#store = context.store(this.#name) as unknown as CachedRowStore<Entry<V>>
    this.#waiting = new TimeQueue(this.#store, MARKS.from, MARKS.to)
    this.#time = context.saved('time') ?? -1
    this.#records = context.saved('records') ?? 0
    this.#bytes = context.saved('bytes') ?? 0
    this.#caching = this.#store.spec.caching
    const { idleMs } = this.#options
    if (idleMs !== undefined) {
      context.onIdle(idleMs, (time) => {
        this.#observe(time)
        return this.#release()
      })
    }
    if (!this.#caching) return
    // The store's flush comes behind those of all stores in front.
    this.#store.onFlush = () => {
      if (!this.#fresh) return
      this.#fresh = false
      return this.#release()
    }
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    const key = this.#ids.of(record as unknown as StreamRecord<K, unknown>)
    if (key === undefined) return this.#context.drop('null-key')
    this.#observe(record.timestamp)
    this.#fresh = true
    const row = this.#row(record, key)
    const kept = row instanceof Promise ? row.then((r) => this.#keep(r, record, key)) : this.#keep(row, record, key)
    if (this.#caching) return kept
    return kept === undefined ? this.#release() : kept.then(() => this.#release())
  }

  #observe(time: number): void {
    if (time <= this.#time) return
    this.#time = time
    this.#context.save('time', time)
  }

  #row(record: StreamRecord<K, Change<V>>, key: string): MaybePromise<Row<Entry<V>>> {
    if (!this.#options.untilClose) return this.#store.row(keyId(key))
    const id = markId((record.key as unknown as Windowed<unknown>).end, key)
    // Most windows are new: no need to ask the database for what the queue knows.
    return this.#waiting.has(id) === false ? this.#store.known(id, null) : this.#store.row(id)
  }

  #keep(row: Row<Entry<V>>, record: StreamRecord<K, Change<V>>, key: string): MaybePromise<void> {
    const { value, old } = record.value
    const known = row.value
    const { untilClose } = this.#options
    const time = untilClose ? (record.key as unknown as Windowed<unknown>).end : (known?.time ?? record.timestamp)
    const first = known === null ? old : known.old
    const entry: Entry<V> = { time, value, old: first, headers: record.headers, bytes: this.#size(value, first) }
    this.#store.set(row, entry, record.timestamp, record.headers)
    this.#count(known === null ? 1 : 0, entry.bytes + key.length - (known === null ? 0 : known.bytes + key.length))
    if (known !== null) return
    if (untilClose) {
      this.#waiting.add(row.id)
      return
    }
    const id = markId(time, key)
    this.#store.set(this.#store.known(id, null), mark(), time, [])
    this.#waiting.add(id)
  }

  /** Serialised bytes, counted only where they are bounded. */
  #size(value: V | null, old: V | null): number {
    if (this.#options.maxBytes === Number.POSITIVE_INFINITY) return 0
    return (value === null ? 0 : this.#value.encode(value).length) + (old === null ? 0 : this.#value.encode(old).length)
  }

  #count(records: number, bytes: number): void {
    this.#records += records
    this.#bytes += bytes
    const { maxRecords, maxBytes } = this.#options
    if (maxRecords === Number.POSITIVE_INFINITY && maxBytes === Number.POSITIVE_INFINITY) return
    this.#context.save('records', this.#records)
    this.#context.save('bytes', this.#bytes)
  }

  /** What is due goes on; then, while there is more than there is room for, the oldest. */
  #release(): MaybePromise<void> {
    const { wait, full } = this.#options
    const due = this.#time - wait
    const limit = due < 0 ? MARKS.from : markId(due + 1, '')
    for (;;) {
      let id = this.#waiting.next(limit)
      if (id === undefined && this.#isFull()) {
        if (full === 'fail') this.#fail()
        id = this.#waiting.next(MARKS.to)
      }
      if (id instanceof Promise) return id.then(() => this.#release())
      if (id === undefined) return
      const row = this.#entry(id)
      const given = row instanceof Promise ? row.then((r) => this.#send(id, r)) : this.#send(id, row)
      if (given !== undefined) return given.then(() => this.#release())
    }
  }

  #entry(id: string): MaybePromise<Row<Entry<V>>> {
    return this.#store.row(this.#options.untilClose ? id : keyId(id.slice(MARKED_KEY_AT)))
  }

  #send(id: string, row: Row<Entry<V>>): MaybePromise<void> {
    const entry = row.value
    const { timestamp } = row
    this.#waiting.shift()
    if (!this.#options.untilClose) this.#store.set(this.#store.known(id, mark()), null, timestamp, [])
    if (entry === null) return
    this.#store.set(row, null, timestamp, entry.headers)
    const { value, old, headers } = entry
    this.#count(-1, -entry.bytes - (id.length - MARKED_KEY_AT))
    if (value === null && this.#options.untilClose) return
    const change: Change<V> = { value, old }
    const key = this.#ids.key(row.id, isMark(row.id) ? MARKED_KEY_AT : 1)
    return this.#context.forward(new StreamRecord(key, change, timestamp, headers))
  }

  #isFull(): boolean {
    return this.#records > this.#options.maxRecords || this.#bytes > this.#options.maxBytes
  }

  #fail(): never {
    const { maxRecords, maxBytes } = this.#options
    const bound = [
      maxRecords === Number.POSITIVE_INFINITY ? '' : `${this.#records} of ${maxRecords} records`,
      maxBytes === Number.POSITIVE_INFINITY ? '' : `${this.#bytes} of ${maxBytes} bytes`
    ]
    throw new TopologyError(
      `The buffer of suppress "${this.#context.nodeName}" is over its capacity: ${bound.filter(Boolean).join(', ')}. ` +
        `Give it a higher maxRecords or maxBytes, or let it pass on early: { full: 'emit' }.`,
      { code: 'ERR_SUPPRESS_FULL', details: { records: this.#records, bytes: this.#bytes } }
    )
  }
}
