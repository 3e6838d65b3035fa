/** One running value per key: count, reduce, aggregate. */
import { type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { Expiry } from './expiry.ts'
import { RowIds } from './rowIds.ts'

/** The next aggregate from the present one (null = none yet) and a record; null deletes. */
export type Step<K, V, A> = (aggregate: A | null, record: StreamRecord<K, V>) => A | null

/**
 * Drops null keys and null values. The result has the higher of the record's and the stored time. With a cache, each changed key goes
 * on once per commit, with the headers of its last record; without, at every record.
 * @example
 * t.stream(flights).groupByKey().count({ name: 'flights-per-airport' })
 */
export class AggregateOperator<K, V, A> implements Operator {
  readonly #name: string
  readonly #step: Step<K, V, A>
  readonly #ids: RowIds<K>
  #store!: RowStore<A>
  #caching = true
  #expiry: Expiry<A> | undefined
  #context!: OperatorContext

  constructor(store: string, key: Serde<K>, step: Step<K, V, A>) {
    this.#name = store
    this.#step = step
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#store = context.store(this.#name) as RowStore<A>
    this.#caching = this.#store.spec.caching
    if (this.#caching) {
      const value = this.#store.spec.value
      this.#store.onFlush = (row, old, set, at) => {
        const change: Change<A> = { value: row.value, old }
        return context.forward(StreamRecord.stored(set, at, this.#ids.serde, change, value, row.timestamp, row.headers))
      }
    }
    const gone = this.#caching ? undefined : (row: Row<A>, old: A) => this.#forward(this.#ids.key(row.id), row, old)
    this.#expiry = Expiry.of(context, this.#store, context.saved('time') ?? -1, gone)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#store.prefetch(ids)
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const id = this.#ids.of(record)
    if (id === undefined) return this.#context.drop('null-key')
    if (!record.hasValue()) return this.#context.drop('null-value')
    if (this.#expiry !== undefined) return this.#live(this.#expiry, id, record)
    const row = this.#store.row(id)
    return row instanceof Promise ? row.then((r) => this.#apply(r, record)) : this.#apply(row, record)
  }

  /** Of a store whose rows live for a time. */
  async #live(expiry: Expiry<A>, id: string, record: StreamRecord<K, V>): Promise<void> {
    if (record.timestamp > expiry.time) this.#context.save('time', record.timestamp)
    await expiry.observe(record.timestamp)
    const row = await this.#store.row(id)
    if (row.value !== null && expiry.over(row.timestamp)) await expiry.remove(row)
    const before = row.value === null ? -1 : row.timestamp
    if (before < 0 && expiry.over(record.timestamp)) return this.#context.drop('late')
    const applied = this.#apply(row, record)
    if (row.value !== null) expiry.kept(id, before, row.timestamp)
    return applied
  }

  #apply(row: Row<A>, record: StreamRecord<K, V>): MaybePromise<void> {
    const old = row.value
    const value = this.#step(old, record) ?? null
    const time = old === null ? record.timestamp : Math.max(record.timestamp, row.timestamp)
    this.#store.set(row, value, time, record.headers)
    if (!this.#caching) return this.#forward(record.key, row, old)
  }

  #forward(key: K, row: Row<A>, old: A | null): MaybePromise<void> {
    const change: Change<A> = { value: row.value, old }
    return this.#context.forward(new StreamRecord(key, change, row.timestamp, row.headers))
  }
}

/** Ids without the gaps of null keys. */
export function* present(ids: readonly (string | undefined)[]): Generator<string> {
  for (const id of ids) if (id !== undefined) yield id
}
