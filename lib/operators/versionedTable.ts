/** Turns records into changes of a table that knows which value held when. */
import { NO_HEADERS, type RecordSet, type Serde, type StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { latestOf } from './latest.ts'
import { RowIds } from './rowIds.ts'
import { setStoreTime, storeTime, type Versions, withVersion } from './versions.ts'

/**
 * Drops null keys, and what is older than the history ('late'); a null value says that the row was deleted at that time. A record that is
 * not the newest of its key becomes history: its change is marked, and joins of tables leave it out. Changes go on at once, also with a
 * cache.
 * @example
 * t.stream(flights).leftJoin(t.table(airports, { versioned: '7d' }), (flight, airport) => [flight, airport])
 */
export class VersionedTableOperator<K, V> implements Operator {
  readonly #name: string
  readonly #changes: boolean
  readonly #ids: RowIds<K>
  #store!: RowStore<Versions<V>>
  #history = 0
  #context!: OperatorContext

  /** @param changes what comes are changes of another table, not records */
  constructor(store: string, key: Serde<K>, changes = false) {
    this.#name = store
    this.#ids = new RowIds(key)
    this.#changes = changes
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#store = context.store(this.#name) as RowStore<Versions<V>>
    this.#history = this.#store.spec.historyMs!
    setStoreTime(this.#store, context.saved('time') ?? -1)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#store.prefetch(ids)
  }

  process(record: StreamRecord<K, V | null | Change<V>>): MaybePromise<void> {
    const id = this.#ids.of(record as StreamRecord<K, unknown>)
    if (id === undefined) return this.#context.drop('null-key')
    const time = record.timestamp
    const now = storeTime(this.#store)
    if (time < now - this.#history) return this.#context.drop('late')
    if (time > now) {
      setStoreTime(this.#store, time)
      this.#context.save('time', time)
    }
    const row = this.#store.row(id)
    return row instanceof Promise ? row.then((r) => this.#apply(r, record)) : this.#apply(row, record)
  }

  #apply(row: Row<Versions<V>>, record: StreamRecord<K, V | null | Change<V>>): MaybePromise<void> {
    const store = this.#store
    const value = this.#valueOf(record)
    const { value: old, timestamp: newest } = latestOf<V>(store, row)
    const known = row.value
    const isLatest = known === null || record.timestamp >= newest
    const next = withVersion(known ?? [], { timestamp: record.timestamp, value }, storeTime(store) - this.#history)
    store.set(row, next, isLatest ? record.timestamp : newest, NO_HEADERS)
    const change: Change<V> = isLatest ? { value, old } : { value, old, latest: false }
    return this.#context.forward(record.withValue(change))
  }

  #valueOf(record: StreamRecord<K, V | null | Change<V>>): V | null {
    if (this.#changes) return (record.value as Change<V>).value
    return record.hasValue() ? (record.value as V) : null
  }
}
