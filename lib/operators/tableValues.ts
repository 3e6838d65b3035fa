/** Filters and maps the rows of a table as they change. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'

/**
 * What is before and after a change goes through the same function; null (unwanted, deleted) stays null and goes on as a tombstone.
 * @example
 * t.table(airports).filter((airport) => airport.state === 'CA').mapValues((airport) => airport.name)
 */
export class TableValuesOperator<K, V, V2> implements Operator {
  readonly #map: (value: V, key: K) => V2 | null
  readonly #skips: boolean
  #context!: OperatorContext

  /** @param skips what was nothing and is nothing goes no further: only where changes say what was before */
  constructor(map: (value: V, key: K) => V2 | null, skips = false) {
    this.#map = map
    this.#skips = skips
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    const { value, old, latest } = record.value
    const { key } = record
    const next: Change<V2> = {
      value: value === null ? null : (this.#map(value, key) ?? null),
      old: old === null ? null : (this.#map(old, key) ?? null),
      ...(latest === false ? { latest } : {})
    }
    if (this.#skips && next.value === null && next.old === null) return
    return this.#context.forward(record.withValue(next))
  }
}
