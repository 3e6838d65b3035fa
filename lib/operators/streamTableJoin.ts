/** Joins each record of a stream with the row of a table that has its key. */
import type { RecordSet, Serde, StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'
import { present } from './aggregate.ts'
import { RowIds } from './rowIds.ts'
import type { TableView, ViewReader } from './tableView.ts'
import type { Version } from './versions.ts'

export type StreamTableJoiner<K, V, T, V2> = (value: V, row: T, record: StreamRecord<K, V>) => V2

/**
 * Only the stream side causes results; they have the stream record's time and headers. A versioned table gives the value of that time, others
 * the present one. Null values are dropped. Null keys: dropped
 * (inner), joined with null (left).
 * @example
 * t.stream(flights).join(t.table(airports), (flight, airport) => ({ ...flight, state: airport.state }))
 */
export class StreamTableJoinOperator<K, V, T, V2> implements Operator {
  readonly #view: TableView<T>
  readonly #joiner: StreamTableJoiner<K, V, T | null, V2>
  readonly #left: boolean
  readonly #ids: RowIds<K>
  #table!: ViewReader<T>
  #context!: OperatorContext

  /** @param view the table's rows; @param key the serde of the table's keys: the stream's keys must have the same bytes */
  constructor(view: TableView<T>, key: Serde<K>, left: boolean, joiner: StreamTableJoiner<K, V, T | null, V2>) {
    this.#view = view
    this.#ids = new RowIds(key)
    this.#left = left
    this.#joiner = joiner
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#table = this.#view.open((name) => context.store(name))
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#table.prefetch([...present(ids)])
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    if (!record.hasValue()) return this.#context.drop('null-value')
    const id = this.#ids.of(record)
    if (id === undefined) return this.#left ? this.#forward(record, null) : this.#context.drop('null-key')
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
