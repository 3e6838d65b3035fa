/** Joins the rows of two tables that have the same key, as either changes. */
import type { RecordSet, Serde, StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { present } from './aggregate.ts'
import { latestOf } from './latest.ts'
import { SameCause } from './sameCause.ts'
import { TableIds } from './tableIds.ts'
import type { Combine, TableView, ViewReader } from './tableView.ts'
import type { Version } from './versions.ts'

/** What both sides of a join know of it. */
export interface TableJoinPlan<K> {
  readonly key: Serde<K>
  readonly kind: 'join' | 'leftJoin' | 'outerJoin'
  /** Stores with the rows of the two sides. */
  readonly left: string
  readonly right: string
  /** The same rows, as fresh as what they are computed from; undefined for windowed tables. */
  readonly views: { readonly left: TableView<unknown>; readonly right: TableView<unknown> } | undefined
  // biome-ignore lint/suspicious/noExplicitAny: typed by the builder
  readonly joiner: (left: any, right: any, key: K) => unknown
  /** Serdes of the values of both sides. */
  readonly values: { readonly left: Serde<unknown>; readonly right: Serde<unknown> }
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
  readonly #combine: Combine
  #other!: RowStore<unknown>
  #view: ViewReader<unknown> | undefined // of the other side, where its rows do not wait for a flush
  #causes: SameCause | undefined
  #context!: OperatorContext

  constructor(plan: TableJoinPlan<K>, left: boolean) {
    this.#plan = plan
    this.#left = left
    this.#ids = new TableIds(plan.key)
    this.#combine = combination(plan)
  }

  init(context: OperatorContext): void {
    const { left, right, causes } = this.#plan
    this.#context = context
    this.#other = context.store(this.#left ? right : left) as RowStore<unknown>
    this.#ids.store = this.#other
    const view = this.#left ? this.#plan.views?.right : this.#plan.views?.left
    if (!this.#other.spec.caching) this.#view = view?.open((name) => context.store(name))
    const shared = context.store(left)
    // The left side is added first, so it begins first: also after a restart over the same stores.
    if (this.#left) causes?.set(shared, new SameCause(this.#plan.values))
    this.#causes = causes?.get(shared)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#view ? this.#view.prefetch([...present(ids)]) : this.#other.prefetch(present(ids))
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    if (record.value.latest === false) return // history of a versioned table: the present has not changed
    const id = this.#ids.of(record)
    if (this.#view !== undefined) {
      const seen = this.#view.read(id, record as StreamRecord<unknown, unknown>)
      if (seen instanceof Promise) return seen.then((s) => this.#apply(record, id, s, s.value))
      return this.#apply(record, id, seen, seen.value)
    }
    const row = this.#other.row(id)
    return row instanceof Promise ? row.then((r) => this.#cached(record, id, r)) : this.#cached(record, id, row)
  }

  /** The other side's changes wait for a flush. */
  #cached(record: StreamRecord<K, Change<V>>, id: string, row: Row<unknown>): MaybePromise<void> {
    const other = latestOf<unknown>(this.#other, row)
    const waits = row.dirty && this.#other.spec.caching
    // A change that waits for its flush will give this result, with both values.
    if (waits && record.value.value !== null && (other.value !== null || row.sent !== null)) return
    return this.#apply(record, id, other, waits ? row.sent : other.value)
  }

  /** @param made what results so far were made of */
  #apply(
    record: StreamRecord<K, Change<V>>,
    id: string,
    { value: other, timestamp: otherTime }: Version<unknown>,
    made: unknown
  ): MaybePromise<void> {
    const { value, old } = record.value
    const causes = this.#causes
    const source = causes && this.#context.source
    let seen = made
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
    return this.#left ? this.#combine(value, other, key as never) : this.#combine(other, value, key as never)
  }
}

/** What a join makes of two rows; null = no row. */
export function combination({ kind, joiner }: Pick<TableJoinPlan<never>, 'kind' | 'joiner'>): Combine {
  return (left, right, key) => {
    if (left === null && (kind !== 'outerJoin' || right === null)) return null
    if (right === null && kind === 'join') return null
    return joiner(left, right, key) ?? null
  }
}
