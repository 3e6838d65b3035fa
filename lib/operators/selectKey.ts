/** Gives each record a new key; the value stays, also as bytes. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'

/**
 * @example
 * t.stream(flights).selectKey(({ value }) => value.origin, { key: string() })
 */
export class SelectKeyOperator<K, V, K2> implements Operator {
  readonly #select: (record: StreamRecord<K, V>) => K2
  #context!: OperatorContext

  constructor(select: (record: StreamRecord<K, V>) => K2) {
    this.#select = select
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    return this.#context.forward(record.withKey(this.#select(record)))
  }
}
