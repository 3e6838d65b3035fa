/** Sends each record to the first branch that wants it. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'

export interface Branch<K, V> {
  /** The child node. */
  readonly child: string
  readonly wanted: (record: StreamRecord<K, V>) => boolean
}

/**
 * A record that no branch wants is left out, which is not counted as a drop.
 * @example
 * const { late, onTime } = t.stream(flights).split({ late: ({ value }) => value.delay > 15 }, { otherwise: 'onTime' })
 */
export class SplitOperator<K, V> implements Operator {
  readonly #branches: readonly Branch<K, V>[]
  #context!: OperatorContext

  constructor(branches: readonly Branch<K, V>[]) {
    this.#branches = branches
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    for (const { child, wanted } of this.#branches) {
      if (wanted(record)) return this.#context.forward(record, child)
    }
  }
}
