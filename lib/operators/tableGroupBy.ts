/** Sends each change of a table to the groups that its row left and entered. */
import type { Serde, StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'

/** The group of a row and what it counts for there; null = the row is in no group. */
export type GroupSelector<V, K, K2, V2> = (
  value: V,
  key: K
) => readonly [K2 | null | undefined, V2 | null | undefined] | null | undefined

/**
 * Within one group old and new go as one change, so that the group's result has no state in between; else the old one first. A row
 * without a group, group key or value counts nowhere.
 * @example
 * t.table(airports).groupBy((airport) => [airport.state, airport.name] as const, { key: string() }).count({ name: 'airports-per-state' })
 */
export class TableGroupByOperator<K, V, K2, V2> implements Operator {
  readonly #select: GroupSelector<V, K, K2, V2>
  readonly #serde: Serde<K2>
  #context!: OperatorContext

  constructor(select: GroupSelector<V, K, K2, V2>, key: Serde<K2>) {
    this.#select = select
    this.#serde = key
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    const { value, old, latest } = record.value
    if (latest === false) return // history of a versioned table: groups hold what is there now
    const entered = this.#pair(value, record.key)
    const left = this.#pair(old, record.key)
    if (entered !== null && left !== null && this.#same(entered[0], left[0])) {
      return this.#forward(record, entered[0], { value: entered[1], old: left[1] })
    }
    const leaving = left === null ? undefined : this.#forward(record, left[0], { value: null, old: left[1] })
    if (entered === null) return leaving
    const change = { value: entered[1], old: null }
    if (leaving !== undefined) return leaving.then(() => this.#forward(record, entered[0], change))
    return this.#forward(record, entered[0], change)
  }

  #pair(value: V | null, key: K): readonly [K2, V2] | null {
    if (value === null) return null
    const pair = this.#select(value, key)
    return pair == null || pair[0] == null || pair[1] == null ? null : (pair as readonly [K2, V2])
  }

  #same(a: K2, b: K2): boolean {
    if (a === b) return true
    return typeof a === 'object' && this.#serde.encode(a).equals(this.#serde.encode(b))
  }

  #forward(record: StreamRecord<K, unknown>, key: K2, change: Change<V2>): MaybePromise<void> {
    return this.#context.forward(record.withKey(key).withValue(change))
  }
}
