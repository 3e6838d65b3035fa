/** One running value per group of table rows: what a row counted for is taken off when it changes. */
import { type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { Expiry } from './expiry.ts'
import { RowIds } from './rowIds.ts'

/** The next aggregate from the present one (null = none) and a change in which at least one side is there; null deletes. */
export type ChangeStep<K, V, A> = (
  aggregate: A | null,
  change: Change<V>,
  record: StreamRecord<K, Change<V>>
) => A | null

/**
 * Reads the changes of a repartition topic. Null keys and values, which only a foreign writer could leave there, are dropped. The result
 * has the higher of the change's and the stored time.
 * @example
 * t.table(airports)
 *   .groupBy((airport) => [airport.state, 1], { key: string(), value: int() })
 *   .reduce((a, b) => a + b, (a, b) => a - b, { name: 'airports' })
 */
export class TableAggregateOperator<K, V, A> implements Operator {
  readonly #name: string
  readonly #step: ChangeStep<K, V, A>
  readonly #ids: RowIds<K>
  #store!: RowStore<A>
  #caching = true
  #expiry: Expiry<A> | undefined
  #context!: OperatorContext

  constructor(store: string, key: Serde<K>, step: ChangeStep<K, V, A>) {
    this.#name = store
    this.#step = step
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#store = context.store(this.#name) as RowStore<A>
    this.#caching = this.#store.spec.caching
    if (this.#caching) this.#store.onFlush = (row, old) => this.#forward(this.#ids.key(row.id), row, old)
    const gone = this.#caching ? undefined : (row: Row<A>, old: A) => this.#forward(this.#ids.key(row.id), row, old)
    this.#expiry = Expiry.of(context, this.#store, context.saved('time') ?? -1, gone)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#store.prefetch(ids)
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    const id = this.#ids.of(record)
    if (id === undefined) return this.#context.drop('null-key')
    if (!record.hasValue()) return this.#context.drop('null-value')
    if (this.#expiry !== undefined) return this.#live(this.#expiry, id, record)
    const row = this.#store.row(id)
    return row instanceof Promise ? row.then((r) => this.#apply(r, record)) : this.#apply(row, record)
  }

  /** Of a store whose rows live for a time. */
  async #live(expiry: Expiry<A>, id: string, record: StreamRecord<K, Change<V>>): Promise<void> {
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

  #apply(row: Row<A>, record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    const old = row.value
    const value = this.#step(old, record.value, record) ?? null
    const time = old === null ? record.timestamp : Math.max(record.timestamp, row.timestamp)
    this.#store.set(row, value, time, record.headers)
    if (!this.#caching) return this.#forward(record.key, row, old)
  }

  #forward(key: K, row: Row<A>, old: A | null): MaybePromise<void> {
    const change: Change<A> = { value: row.value, old }
    return this.#context.forward(new StreamRecord(key, change, row.timestamp, row.headers))
  }
}
