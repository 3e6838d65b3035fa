/** Keeps the rows of a table that is computed from another, and passes its changes on. */
import type { RecordSet, Serde, StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { TableSourceOperator } from './tableSource.ts'

/**
 * Behind `filter`, `mapValues` and joins of tables when the result has a name, or a join needs its rows.
 * @example
 * t.stream(flights).join(t.table(airports).filter((airport) => airport.open), pair)
 */
export class TableRowsOperator<K, V> implements Operator {
  readonly #rows: TableSourceOperator<K, V>

  readonly #store: () => string | undefined
  #context!: OperatorContext
  #kept = false

  /**
   * @param store asked at init: without one, changes pass as they are
   * @param skips a row that was not there and is not there is no change
   */
  constructor(store: string | (() => string | undefined), key: Serde<K>, skips = false) {
    this.#store = typeof store === 'string' ? () => store : store
    this.#rows = new TableSourceOperator(this.#store, key, skips)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#kept = this.#store() !== undefined
    this.#rows.init(context)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    return this.#rows.prefetch(set, from, to, key)
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    if (!this.#kept) return this.#context.forward(record)
    // A row that keeps one value keeps the present one.
    if (record.value.latest === false) return
    return this.#rows.process(record.withValue(record.value.value))
  }
}
