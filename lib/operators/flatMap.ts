/** Gives any number of records for each. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'
import { follow, type Pair } from './map.ts'

/**
 * @example
 * t.stream(orders).flatMap(({ value }) => value.lines.map((line) => ({ key: line.sku, value: line })))
 */
export class FlatMapOperator<K, V, K2, V2> implements Operator {
  readonly #map: (record: StreamRecord<K, V>) => Iterable<Pair<K2, V2>>
  #context!: OperatorContext

  constructor(map: (record: StreamRecord<K, V>) => Iterable<Pair<K2, V2>>) {
    this.#map = map
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    return forwardAll(this.#context, this.#map(record)[Symbol.iterator](), (pair) => follow(record, pair))
  }
}

/** Forwards one after the other; waits only where a child waits. */
export function forwardAll<T>(
  context: OperatorContext,
  items: Iterator<T>,
  record: (item: T) => StreamRecord<unknown, unknown>
): MaybePromise<void> {
  for (let next = items.next(); !next.done; next = items.next()) {
    const result = context.forward(record(next.value))
    if (result !== undefined) return result.then(() => forwardAll(context, items, record))
  }
}
