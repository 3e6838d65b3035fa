/** Joins each record of a stream with the row of a global table that it points to. */
import type { Serde, StreamRecord } from '../record.ts'
import type { GlobalRow, GlobalRows } from '../store/globalRows.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'
import { RowIds } from './rowIds.ts'
import type { StreamTableJoiner } from './streamTableJoin.ts'

/** What a stream and a global table are joined by. */
export interface GlobalJoinPlan<K, V, G, T, V2> {
  readonly table: string
  /** Of the table's keys. */
  readonly key: Serde<G>
  readonly left: boolean
  /** The table's key that a record points to. */
  readonly on: (record: StreamRecord<K, V>) => G | null
  readonly joiner: StreamTableJoiner<K, V, T | null, V2>
}

/**
 * Only the stream causes results, with its record's time and headers. Null values are dropped. A record that points to nothing is dropped (inner) or
 * joined with null (left). The row is the one that is there now.
 * @example
 * const everywhere = t.globalTable(airports, { name: 'airports-everywhere' })
 * stream.join(everywhere, (flight, airport) => ({ ...flight, state: airport.state }), { on: ({ value }) => value.origin })
 */
export class GlobalJoinOperator<K, V, G, T, V2> implements Operator {
  readonly #plan: GlobalJoinPlan<K, V, G, T, V2>
  readonly #ids: RowIds<G>
  #rows!: GlobalRows<T>
  #context!: OperatorContext

  constructor(plan: GlobalJoinPlan<K, V, G, T, V2>) {
    this.#plan = plan
    this.#ids = new RowIds(plan.key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#rows = context.global(this.#plan.table) as GlobalRows<T>
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const { left, on } = this.#plan
    if (!record.hasValue()) return this.#context.drop('null-value')
    const key = on(record)
    if (key == null) return left ? this.#forward(record, null) : this.#context.drop('null-key')
    const row = this.#rows.row(this.#ids.id(key))
    return row instanceof Promise ? row.then((r) => this.#apply(r, record)) : this.#apply(row, record)
  }

  #apply({ value }: GlobalRow<T>, record: StreamRecord<K, V>): MaybePromise<void> {
    if (value !== null || this.#plan.left) return this.#forward(record, value)
  }

  #forward(record: StreamRecord<K, V>, row: T | null): MaybePromise<void> {
    return this.#context.forward(record.withValue(this.#plan.joiner(record.value, row, record)))
  }
}
