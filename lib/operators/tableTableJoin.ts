/** Joins the rows of two tables that have the same key, as either changes. */
import type { RecordSet, Serde, StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { present } from './aggregate.ts'
import { latestOf } from './latest.ts'
import { SameCause } from './sameCause.ts'
import { TableIds } from './tableIds.ts'

/** What both sides of a join know of it. */
export interface TableJoinPlan<K> {
  readonly key: Serde<K>
  readonly kind: 'join' | 'leftJoin' | 'outerJoin'
  /** Stores with the rows of the two sides. */
  readonly left: string
  readonly right: string
  // biome-ignore lint/suspicious/noExplicitAny: typed by the builder
  readonly joiner: (left: any, right: any, key: K) => unknown
  /** Memory that both sides share, by the store of the left one; undefined when one record can never reach both. */
  readonly causes: WeakMap<object, SameCause> | undefined
}

/**
 * One side of a join. A change of either side gives a result with what the other has now; its time is the higher of both. A row that
 * can no longer be joined becomes a tombstone. Where the sides have a table in common, what one record changes on both is one result.
 * @example
 * t.table(airports).join(t.table(flights), (airport, flight) => ({ ...airport, latest: flight.date }), { name: 'latest-flights' })
 */
export class TableTableJoinOperator<K, V> implements Operator {
  readonly #plan: TableJoinPlan<K>
  readonly #left: boolean
  readonly #ids: TableIds<K>
  #other!: RowStore<unknown>
  #causes: SameCause | undefined
  #context!: OperatorContext

  constructor(plan: TableJoinPlan<K>, left: boolean) {
    this.#plan = plan
    this.#left = left
    this.#ids = new TableIds(plan.key)
  }

  init(context: OperatorContext): void {
    const { left, right, causes } = this.#plan
    this.#context = context
    this.#other = context.store(this.#left ? right : left) as RowStore<unknown>
    this.#ids.store = this.#other
    const shared = context.store(left)
    // The left side is added first, so it begins first: also after a restart over the same stores.
    if (this.#left) causes?.set(shared, new SameCause())
    this.#causes = causes?.get(shared)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#other.prefetch(present(ids))
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    if (record.value.latest === false) return // history of a versioned table: the present has not changed
    const id = this.#ids.of(record)
    const row = this.#other.row(id)
    return row instanceof Promise ? row.then((r) => this.#apply(record, id, r)) : this.#apply(record, id, row)
  }

  #apply(record: StreamRecord<K, Change<V>>, id: string, row: Row<unknown>): MaybePromise<void> {
    const { value, old } = record.value
    const { value: other, timestamp: otherTime } = latestOf<unknown>(this.#other, row)
    // A change of the other side that waits for its flush will give this result, with both values.
    const waits = row.dirty && this.#other.spec.caching
    if (waits && value !== null && (other !== null || row.sent !== null)) return
    const causes = this.#causes
    const source = causes && this.#context.source
    let seen = waits ? row.sent : other // what results so far were made of
    if (causes !== undefined) {
      const before = causes.change(source, id, this.#left, old)
      if (before !== undefined) seen = before
    }
    if (!this.#speaks(value, old, other, seen)) return
    const timestamp = other === null ? record.timestamp : Math.max(record.timestamp, otherTime)
    if (causes?.repeats(source, id, value, other, this.#left, timestamp)) return
    const change: Change<unknown> = { value: this.#join(value, other, record.key), old: null }
    const result = record.withValue(change)
    return this.#context.forward(timestamp === record.timestamp ? result : result.withTimestamp(timestamp))
  }

  /** Whether a change has a result, a tombstone included. */
  #speaks(value: V | null, old: V | null, other: unknown, seen: unknown): boolean {
    if (other !== null) return true
    const { kind } = this.#plan
    // Both sides went away by one record: the pair that was there must go too.
    if (kind === 'join') return value === null && old !== null && seen !== null
    if (kind === 'leftJoin' && !this.#left) return false
    return value !== null || old !== null
  }

  #join(value: V | null, other: unknown, key: K): unknown {
    const left = this.#left ? value : other
    const right = this.#left ? other : value
    const { kind, joiner } = this.#plan
    if (left === null && (kind !== 'outerJoin' || right === null)) return null
    if (right === null && kind === 'join') return null
    return joiner(left, right, key) ?? null
  }
}
