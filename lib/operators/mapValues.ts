/** Gives each record a new value; the key stays, also as bytes. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'

/**
 * @example
 * t.stream(flights).mapValues((flight) => flight.delay)
 */
export class MapValuesOperator<K, V, V2> implements Operator {
  readonly #map: (value: V, record: StreamRecord<K, V>) => V2
  #context!: OperatorContext

  constructor(map: (value: V, record: StreamRecord<K, V>) => V2) {
    this.#map = map
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    return this.#context.forward(record.withValue(this.#map(record.value, record)))
  }
}
