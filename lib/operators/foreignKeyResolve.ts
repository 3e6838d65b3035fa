/** Where the responses of a foreign-key join become results, if the left row is still the one that asked. */
import { type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { hashOf, type Response } from './foreignKeyMessages.ts'
import { rawId } from './rawId.ts'
import { RowIds } from './rowIds.ts'
import { toldOf } from './told.ts'

/**
 * A response whose hash is not that of the left row's value, as the right side was told of it, is late: another one is on its way. It is left out.
 * @example
 * t.table(orders).joinByForeignKey(t.table(airports), (order) => order.lines[0]?.sku ?? null, pair, { name: 'order-airports' })
 */
export class ForeignKeyResolveOperator<K, V, V2, R> implements Operator {
  readonly #name: string
  readonly #key: RowIds<K>
  readonly #value: Serde<V>
  readonly #joiner: (left: V, right: V2 | null, key: K) => R
  readonly #left: boolean
  readonly #ids = new RowIds(rawId)
  #store!: RowStore<unknown>
  #context!: OperatorContext

  /** @param value the serde that the left rows are kept with */
  constructor(
    store: string,
    key: Serde<K>,
    value: Serde<V>,
    joiner: (left: V, right: V2 | null, key: K) => R,
    left: boolean
  ) {
    this.#name = store
    this.#key = new RowIds(key)
    this.#value = value
    this.#joiner = joiner
    this.#left = left
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#store = context.store(this.#name) as RowStore<unknown>
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#store.prefetch(ids)
  }

  process(record: StreamRecord<string, Response<V2>>): MaybePromise<void> {
    const row = this.#store.row(record.key)
    return row instanceof Promise ? row.then((r) => this.#apply(record, r)) : this.#apply(record, row)
  }

  #apply(record: StreamRecord<string, Response<V2>>, row: Row<unknown>): MaybePromise<void> {
    const { hash, value: right } = record.value
    const left = toldOf<V>(this.#store, row)
    if (left === null ? hash !== null : hash === null || !hash.equals(hashOf(this.#value.encode(left)))) return
    const key = this.#key.key(record.key)
    const joined = left !== null && (right !== null || this.#left)
    const change: Change<R> = { value: joined ? (this.#joiner(left, right, key) ?? null) : null, old: null }
    return this.#context.forward(new StreamRecord(key, change, record.timestamp, record.headers))
  }
}
