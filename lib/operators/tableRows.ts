/** Keeps the rows of a table that is computed from another, and passes its changes on. */
import type { RecordSet, Serde, StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { TableSourceOperator } from './tableSource.ts'

/**
 * Behind `filter` and `mapValues` when the result has a name, or a join needs its rows.
 * @example
 * t.stream(flights).join(t.table(airports).filter((airport) => airport.open), pair)
 */
export class TableRowsOperator<K, V> implements Operator {
  readonly #rows: TableSourceOperator<K, V>

  /** @param skips a row that was not there and is not there is no change */
  constructor(store: string, key: Serde<K>, skips = false) {
    this.#rows = new TableSourceOperator(() => store, key, skips)
  }

  init(context: OperatorContext): void {
    this.#rows.init(context)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    return this.#rows.prefetch(set, from, to, key)
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    return this.#rows.process(record.withValue(record.value.value))
  }
}
