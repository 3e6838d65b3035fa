/** Gives any number of values for each record, all under its key. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'
import { forwardAll } from './flatMap.ts'

/**
 * @example
 * t.stream(lines).flatMapValues((line) => line.split(' '))
 */
export class FlatMapValuesOperator<K, V, V2> implements Operator {
  readonly #map: (value: V, record: StreamRecord<K, V>) => Iterable<V2>
  #context!: OperatorContext

  constructor(map: (value: V, record: StreamRecord<K, V>) => Iterable<V2>) {
    this.#map = map
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const values = this.#map(record.value, record)
    return forwardAll(this.#context, values[Symbol.iterator](), (value) => record.withValue(value))
  }
}
