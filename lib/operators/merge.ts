/** Several parents, one stream: records pass in the order they come. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'

/**
 * Promises no order between the inputs beyond what the pump does: lowest event time first, of what is at hand.
 * @example
 * t.stream(web).merge(t.stream(mobile))
 */
export class MergeOperator implements Operator {
  #context!: OperatorContext

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<unknown, unknown>): MaybePromise<void> {
    return this.#context.forward(record)
  }
}
