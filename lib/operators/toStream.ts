/** A table's changes as records: the new value, null for a deletion. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'

/**
 * @example
 * t.stream(flights).groupByKey().count().toStream().to(counts)
 */
export class ToStreamOperator<K, V> implements Operator {
  #context!: OperatorContext

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    return this.#context.forward(record.unwrap(record.value.value))
  }
}
