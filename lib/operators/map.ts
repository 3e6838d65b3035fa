/** Gives each record a new key and value. */
import { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'

/** What `map` and `flatMap` give: a pair, or a record made from the one in hand. */
export interface Pair<K, V> {
  readonly key: K
  readonly value: V
}

/** A pair takes time and headers of the record it came from; a StreamRecord has its own. */
export function follow<K, V>(record: StreamRecord<unknown, unknown>, pair: Pair<K, V>): StreamRecord<K, V> {
  return pair instanceof StreamRecord
    ? (pair as StreamRecord<K, V>)
    : new StreamRecord(pair.key, pair.value, record.timestamp, record.headers)
}

/**
 * @example
 * t.stream(flights).map(({ value }) => ({ key: value.origin, value: value.delay }))
 */
export class MapOperator<K, V, K2, V2> implements Operator {
  readonly #map: (record: StreamRecord<K, V>) => Pair<K2, V2>
  #context!: OperatorContext

  constructor(map: (record: StreamRecord<K, V>) => Pair<K2, V2>) {
    this.#map = map
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    return this.#context.forward(follow(record, this.#map(record)))
  }
}
