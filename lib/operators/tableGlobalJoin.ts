/** Joins the rows of a table, as they change, with the rows of a global table that they point to. */
import type { Serde, StreamRecord } from '../record.ts'
import type { GlobalRows } from '../store/globalRows.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { RowIds } from './rowIds.ts'

/** What a table and a global table are joined by. */
export interface TableGlobalPlan<K, V, G, T, R> {
  readonly table: string
  /** Of the global table's keys. */
  readonly key: Serde<G>
  readonly left: boolean
  readonly on: (value: V, key: K) => G | null
  readonly joiner: (left: V, right: T | null, key: K) => R | null
}

/**
 * Only changes of the table cause results: a row is joined with what the global table has at that moment, and stays so. What points to nothing, and has no
 * partner (inner), is a tombstone, as is a deletion. Older versions of a versioned table are left out.
 * @example
 * const everywhere = t.globalTable(airports, { name: 'airports-everywhere' })
 * t.table(flights).leftJoin(everywhere, pair, { on: (flight) => flight.origin, name: 'latest-flights' })
 */
export class TableGlobalJoinOperator<K, V, G, T, R> implements Operator {
  readonly #plan: TableGlobalPlan<K, V, G, T, R>
  readonly #ids: RowIds<G>
  #rows!: GlobalRows<T>
  #context!: OperatorContext

  constructor(plan: TableGlobalPlan<K, V, G, T, R>) {
    this.#plan = plan
    this.#ids = new RowIds(plan.key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#rows = context.global(this.#plan.table) as GlobalRows<T>
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    const { value, latest } = record.value
    if (latest === false) return
    if (value === null) return this.#forward(record, null)
    const key = this.#plan.on(value, record.key)
    if (key == null) return this.#apply(record, value, null)
    const row = this.#rows.row(this.#ids.id(key))
    if (row instanceof Promise) return row.then((read) => this.#apply(record, value, read.value))
    return this.#apply(record, value, row.value)
  }

  #apply(record: StreamRecord<K, Change<V>>, value: V, row: T | null): MaybePromise<void> {
    const { left, joiner } = this.#plan
    return this.#forward(record, row === null && !left ? null : joiner(value, row, record.key))
  }

  #forward(record: StreamRecord<K, Change<V>>, value: R | null | undefined): MaybePromise<void> {
    return this.#context.forward(record.withValue<Change<R>>({ value: value ?? null, old: null }))
  }
}
