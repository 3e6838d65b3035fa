/** Turns records into changes of a table, and keeps the table's rows where somebody needs them. */
import { type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { present } from './aggregate.ts'
import { hasValue, RowIds } from './rowIds.ts'

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
    this.#store = context.store(name) as RowStore<V>
    if (!this.#store.spec.caching) return
    this.#store.onFlush = (row, old) =>
      context.forward(new StreamRecord(this.#ids.key(row.id), change(row.value, old), row.timestamp, row.headers))
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#store && this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#store!.prefetch(present(ids))
  }

  process(record: StreamRecord<K, V | null>): MaybePromise<void> {
    const id = this.#ids.of(record as StreamRecord<K, unknown>)
    if (id === undefined) return this.#context.drop('null-key')
    const store = this.#store
    if (store === undefined) return this.#context.forward(record.withValue(change(record.value, null)))
    const row = store.row(id)
    return row instanceof Promise ? row.then((r) => this.#apply(r, record)) : this.#apply(row, record)
  }

  #apply(row: Row<V>, record: StreamRecord<K, V | null>): MaybePromise<void> {
    const store = this.#store!
    const old = row.value
    const value = hasValue(record) ? record.value : null
    if (this.#skips && value === null && old === null) return
    store.set(row, value, record.timestamp, record.headers)
    if (!store.spec.caching) return this.#context.forward(record.withValue(change(value, old)))
  }
}

const change = <V>(value: V | null, old: V | null): Change<V> => ({ value: value ?? null, old })
