/** One of several streams that are aggregated together: says of each record how it is added. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'
import type { Step } from './aggregate.ts'

/** Adds the value of a record, as the record says it. */
export type Adder<A> = (aggregate: A) => A | null

/**
 * All streams of a cogroup go into one aggregation, so that they share its rows and its stream time.
 * @example
 * const clicks = t.stream(web).groupByKey()
 * const taps = t.stream(mobile).groupByKey()
 * clicks.cogroup((n: number) => n + 1).and(taps, (n) => n + 1).aggregate(() => 0, { name: 'visits', value: long() })
 */
export class CogroupOperator<K, V, A> implements Operator {
  readonly #add: (aggregate: A, value: V, record: StreamRecord<K, V>) => A | null
  readonly #nulls: boolean
  #context!: OperatorContext

  /** @param nulls whether null values reach the function */
  constructor(add: (aggregate: A, value: V, record: StreamRecord<K, V>) => A | null, nulls: boolean) {
    this.#add = add
    this.#nulls = nulls
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    if (!this.#nulls && !record.hasValue()) return this.#context.drop('null-value')
    const add = this.#add
    const adder: Adder<A> = (aggregate) => add(aggregate, record.value, record)
    return this.#context.forward(record.withValue(adder))
  }
}

/** The step of the aggregation behind all of them. */
export const cogroupStep =
  <K, A>(initial: () => A): Step<K, Adder<A>, A> =>
  (aggregate, record) =>
    record.value(aggregate ?? initial())
