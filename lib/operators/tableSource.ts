/** Turns records into changes of a table, and keeps the table's rows where somebody needs them. */
import { type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { Expiry } from './expiry.ts'
import { RowIds } from './rowIds.ts'

/**
 * Drops null keys; a null value deletes the row. The latest by offset wins, whatever its time. Without a store (nobody needs the
 * rows) changes pass through and say nothing of what was before.
 * @example
 * t.table(airports)
 */
export class TableSourceOperator<K, V> implements Operator {
  readonly #name: () => string | undefined
  readonly #ids: RowIds<K>
  readonly #skips: boolean
  #store: RowStore<V> | undefined
  #expiry: Expiry<V> | undefined
  #context!: OperatorContext

  /**
   * @param store asked at init: a table gets its store when the first join with it is built
   * @param skips without a cache too, a deletion of a row that was not there goes no further
   */
  constructor(store: () => string | undefined, key: Serde<K>, skips = false) {
    this.#name = store
    this.#skips = skips
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    const name = this.#name()
    if (name === undefined) return
    const store = context.store(name) as RowStore<V>
    this.#store = store
    const { caching } = store.spec
    const forward = (row: Row<V>, old: V | null): MaybePromise<void> =>
      context.forward(new StreamRecord(this.#ids.key(row.id), change(row.value, old), row.timestamp, row.headers))
    if (caching) store.onFlush = forward
    this.#expiry = Expiry.of(context, store, context.saved('time') ?? -1, caching ? undefined : forward)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#store && this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#store!.prefetch(ids)
  }

  process(record: StreamRecord<K, V | null>): MaybePromise<void> {
    const id = this.#ids.of(record as StreamRecord<K, unknown>)
    if (id === undefined) return this.#context.drop('null-key')
    const store = this.#store
    if (store === undefined) return this.#context.forward(record.withValue(change(record.value, null)))
    if (this.#expiry !== undefined) return this.#live(this.#expiry, store, id, record)
    const row = store.row(id)
    return row instanceof Promise ? row.then((r) => this.#apply(r, record)) : this.#apply(row, record)
  }

  /** Of a table whose rows live for a time. */
  async #live(expiry: Expiry<V>, store: RowStore<V>, id: string, record: StreamRecord<K, V | null>): Promise<void> {
    if (record.timestamp > expiry.time) this.#context.save('time', record.timestamp)
    await expiry.observe(record.timestamp)
    if (record.hasValue() && expiry.over(record.timestamp)) return this.#context.drop('late')
    const row = await store.row(id)
    if (row.value !== null && expiry.over(row.timestamp)) await expiry.remove(row)
    const before = row.value === null ? -1 : row.timestamp
    const applied = this.#apply(row, record)
    if (row.value !== null) expiry.kept(id, before, row.timestamp)
    return applied
  }

  #apply(row: Row<V>, record: StreamRecord<K, V | null>): MaybePromise<void> {
    const store = this.#store!
    const old = row.value
    const value = record.hasValue() ? record.value : null
    if (this.#skips && value === null && old === null) return
    store.set(row, value, record.timestamp, record.headers)
    if (!store.spec.caching) return this.#context.forward(record.withValue(change(value, old)))
  }
}

const change = <V>(value: V | null, old: V | null): Change<V> => ({ value: value ?? null, old })
