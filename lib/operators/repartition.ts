/** In front of a repartition topic: a record without a key would land on any partition, so it goes no further. */
import type { Serde, StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'

/**
 * Drops null keys ('null-key'), passes null values.
 * @example
 * t.stream(flights).groupBy(({ value }) => value.origin, { key: string() }).count()
 */
export class RepartitionOperator<K> implements Operator {
  readonly #serde: Serde<K>
  #context!: OperatorContext

  constructor(serde: Serde<K>) {
    this.#serde = serde
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, unknown>): MaybePromise<void> {
    const set = record.rawKey(this.#serde)
    if (set !== undefined ? set.keyEnd[record._row]! < 0 : record.key == null) return this.#context.drop('null-key')
    return this.#context.forward(record)
  }
}
