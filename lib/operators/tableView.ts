/** The rows of a table as they are at this moment, also of one that is computed from others and keeps none. */
import type { StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore, TaskStore } from '../store/port.ts'
import { latestOf } from './latest.ts'
import { storeTime, type Version, type Versions, versionAt } from './versions.ts'

/** Reads rows in one task. */
export interface ViewReader<V> {
  prefetch(ids: readonly string[]): MaybePromise<void>
  /** @param record whose key the id is of; @param time as of then, where the table has versions; undefined = now */
  read(id: string, record: StreamRecord<unknown, unknown>, time?: number): MaybePromise<Version<V>>
}

export interface TableView<V> {
  /** What it reads: a node that opens it must be connected to them. */
  readonly stores: readonly string[]
  open(store: (name: string) => TaskStore): ViewReader<V>
}

const NONE: Version<never> = { timestamp: -1, value: null }

class StoreReader<V> implements ViewReader<V> {
  readonly #store: RowStore<unknown>

  constructor(store: TaskStore) {
    this.#store = store as RowStore<unknown>
  }

  prefetch(ids: readonly string[]): MaybePromise<void> {
    return this.#store.prefetch(ids)
  }

  read(id: string, _record: unknown, time?: number): MaybePromise<Version<V>> {
    const row = this.#store.row(id)
    return row instanceof Promise ? row.then((r) => this.#value(r, time)) : this.#value(row, time)
  }

  #value(row: Row<unknown>, time: number | undefined): Version<V> {
    const { historyMs } = this.#store.spec
    if (historyMs === undefined || time === undefined) return latestOf<V>(this.#store, row)
    return versionAt(row.value as Versions<V> | null, time, storeTime(this.#store) - historyMs) ?? NONE
  }
}

class MappedReader<V, V2> implements ViewReader<V2> {
  readonly #from: ViewReader<V>
  readonly #map: (value: V, key: never) => V2 | null

  constructor(from: ViewReader<V>, map: (value: V, key: never) => V2 | null) {
    this.#from = from
    this.#map = map
  }

  prefetch(ids: readonly string[]): MaybePromise<void> {
    return this.#from.prefetch(ids)
  }

  read(id: string, record: StreamRecord<unknown, unknown>, time?: number): MaybePromise<Version<V2>> {
    const read = this.#from.read(id, record, time)
    return read instanceof Promise ? read.then((version) => this.#apply(version, record)) : this.#apply(read, record)
  }

  #apply({ value, timestamp }: Version<V>, record: StreamRecord<unknown, unknown>): Version<V2> {
    if (value === null) return NONE
    return { value: this.#map(value, record.key as never) ?? null, timestamp }
  }
}

/** How two rows make one; null = no row. */
export type Combine = (left: unknown, right: unknown, key: never) => unknown

class JoinedReader<V> implements ViewReader<V> {
  readonly #left: ViewReader<unknown>
  readonly #right: ViewReader<unknown>
  readonly #combine: Combine

  constructor(left: ViewReader<unknown>, right: ViewReader<unknown>, combine: Combine) {
    this.#left = left
    this.#right = right
    this.#combine = combine
  }

  prefetch(ids: readonly string[]): MaybePromise<void> {
    const left = this.#left.prefetch(ids)
    const right = this.#right.prefetch(ids)
    return left && right ? Promise.all([left, right]).then(() => {}) : (left ?? right)
  }

  read(id: string, record: StreamRecord<unknown, unknown>, time?: number): MaybePromise<Version<V>> {
    const left = this.#left.read(id, record, time)
    const right = this.#right.read(id, record, time)
    if (left instanceof Promise || right instanceof Promise) {
      return Promise.all([left, right]).then(([l, r]) => this.#apply(l, r, record))
    }
    return this.#apply(left, right, record)
  }

  #apply(left: Version<unknown>, right: Version<unknown>, record: StreamRecord<unknown, unknown>): Version<V> {
    const value = this.#combine(left.value, right.value, record.key as never) as V | null
    if (value === null) return NONE
    const times = [left, right].map((side) => (side.value === null ? -1 : side.timestamp))
    return { value, timestamp: Math.max(...times) }
  }
}

/** Rows that a store has. @param store its name, asked for when somebody reads: a table may get its store by that */
export const storeView = <V>(store: string): TableView<V> => ({
  stores: [store],
  open: (find) => new StoreReader(find(store))
})

/** Rows of another view, each through a function. */
export const mappedView = <V, V2>(from: TableView<V>, map: (value: V, key: never) => V2 | null): TableView<V2> => ({
  stores: from.stores,
  open: (find) => new MappedReader(from.open(find), map)
})

/** Rows of two views, joined. */
export const joinedView = <V>(left: TableView<unknown>, right: TableView<unknown>, combine: Combine): TableView<V> => ({
  stores: [...new Set([...left.stores, ...right.stores])],
  open: (find) => new JoinedReader(left.open(find), right.open(find), combine)
})
