/** Lets records through that satisfy a predicate. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'

/**
 * @example
 * t.stream(flights).filter(({ value }) => value.delay > 15)
 */
export class FilterOperator<K, V> implements Operator {
  readonly #wanted: (record: StreamRecord<K, V>) => boolean
  #context!: OperatorContext

  constructor(wanted: (record: StreamRecord<K, V>) => boolean) {
    this.#wanted = wanted
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    if (this.#wanted(record)) return this.#context.forward(record)
  }
}
