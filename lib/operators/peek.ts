/** Looks at each record and passes it on: `peek`; at the end of a stream: `foreach`. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'

/**
 * What the function gives is not awaited: it must return at once and must not change the record.
 * @example
 * t.stream(flights).peek(({ key, value }) => console.log(key, value.delay))
 */
export class PeekOperator<K, V> implements Operator {
  readonly #look: (record: StreamRecord<K, V>) => void
  #context!: OperatorContext

  constructor(look: (record: StreamRecord<K, V>) => void) {
    this.#look = look
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    this.#look(record)
    return this.#context.forward(record)
  }
}
