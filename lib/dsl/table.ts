/** Tables: the latest value per key, as it changes. */

import { TopologyError } from '../errors.ts'
import { SelectKeyOperator } from '../operators/selectKey.ts'
import { isSliding, type TableAccess, type TableRows, viewAccess, windowAccess } from '../operators/tableFace.ts'
import { type GroupSelector, TableGroupByOperator } from '../operators/tableGroupBy.ts'
import { TableRowsOperator } from '../operators/tableRows.ts'
import { combination } from '../operators/tableTableJoin.ts'
import { TableValuesOperator } from '../operators/tableValues.ts'
import { joinedView, mappedView, storeView, type TableView } from '../operators/tableView.ts'
import { ToStreamOperator } from '../operators/toStream.ts'
import { VersionedTableOperator } from '../operators/versionedTable.ts'
import { versionsSerde } from '../operators/versions.ts'
import type { Serde, StreamRecord } from '../record.ts'
import { changed } from '../serde/changed.ts'
import { json } from '../serde/json.ts'
import { isWindowed } from '../serde/windowed.ts'
import type { Duration } from '../time.ts'
import { callSite } from '../topology/names.ts'
import type { Change, Operator } from '../topology/node.ts'
import { type ForeignKeyOptions, joinByForeignKey } from './foreignKeyJoin.ts'
import { GlobalTable, joinTableGlobal, type TableGlobalJoinOptions } from './globalTable.ts'
import { GroupedTable } from './groupedTable.ts'
import { keySerde, type Part, stateName, step, through, valueSerde } from './part.ts'
import { addKeyValue, type StoreDefinition, specOf } from './store.ts'
import { type NodeOptions, Stream } from './stream.ts'
import { type SuppressOptions, suppressPart } from './suppress.ts'
import { joinTables, type TableJoinOptions } from './tableJoin.ts'
import { whole } from './windows.ts'

export interface TableOptions {
  /** Names the node and its store; a named table keeps its rows. */
  readonly name?: string
  /** With the cache, updates of a key go on once per commit; without, each at once. Default true. */
  readonly caching?: boolean
  /**
   * For how long, in stream time, the table knows what each row was before: joins of streams take the value of their record's time. What
   * comes late takes its place in the history, or is dropped when it is older than that. Such a table keeps its rows, and passes changes
   * on at once.
   */
  readonly versioned?: Duration
  /** Rows are written to a changelog topic and restored from it. Default true. */
  readonly logged?: boolean
  /** Settings of the changelog topic that differ from Millrace's. */
  readonly topicConfig?: Readonly<Record<string, string>>
}

/** As TableOptions, for tables whose rows may live for a time; `ttl` keeps the rows, as a name does. */
export interface LivingTableOptions extends TableOptions {
  /**
   * A row is there until stream time has passed its own time by this; then it is deleted, here, in the changelog and for all that comes
   * behind. What comes too late to live is dropped as 'late'. Default: for ever.
   */
  readonly ttl?: Duration
}

/** Made by `table`, `toTable` and the aggregations. Null stands for "no such row" everywhere, so V is never null. */
export class Table<K, V> {
  /** @internal */ readonly part: Part<K, V>
  /** @internal The store that has the rows; called when somebody needs them. */
  readonly materialise: () => string
  /** @internal Called by who needs `Change.old`: from here on changes say what was before. */
  readonly trackOld: () => void
  /** @internal Whether changes say what was before already, without anybody asking. */
  readonly tracks: () => boolean
  /** @internal For how long its rows know what they were before, ms; undefined = not at all. */
  readonly history: number | undefined
  /** @internal Its rows as of now, without a store where they can be computed. */
  view: () => TableView<V> = () => storeView(this.materialise())

  /** @internal @param trackOld left out where changes always say what was before: behind a store */
  constructor(
    part: Part<K, V>,
    materialise: () => string,
    trackOld?: () => void,
    tracks: () => boolean = () => trackOld === undefined,
    history?: number
  ) {
    this.history = history
    this.part = part
    this.materialise = materialise
    this.trackOld = trackOld ?? (() => {})
    this.tracks = tracks
  }

  /**
   * The changes as records; null is a deletion.
   * @example t.table(airports).toStream().mapValues((airport) => airport?.name ?? 'closed').to('names', { value: string() })
   */
  toStream(): Stream<K, V | null>
  /** As `toStream`, with new keys: a grouping or join behind it repartitions. */
  toStream<K2>(select: (record: StreamRecord<K, V | null>) => K2, options?: { key?: Serde<K2> }): Stream<K2, V | null>
  toStream(
    select?: (record: StreamRecord<K, V | null>) => unknown,
    options: { key?: Serde<never> } = {}
    // biome-ignore lint/suspicious/noExplicitAny: the overloads above say it exactly
  ): Stream<any, V | null> {
    const node = step(this.part, 'stream', { keepsKey: true }, () => new ToStreamOperator())
    const part = { ...this.part, node } as unknown as Part<K, V | null>
    if (!select) return new Stream(part)
    const rekeyed = step(part, 'key', {}, () => new SelectKeyOperator(select))
    return new Stream<unknown, V | null>({
      ...part,
      node: rekeyed,
      key: options.key as unknown as Serde<unknown> | undefined,
      rekeyed: true
    })
  }

  /**
   * Groups the rows anew, through a repartition topic `<app>-<name>-repartition`. A row that changes leaves its former group and enters
   * the one it belongs to now.
   * @param select the group of a row and what it counts for there: a pair. null, and a null in the pair: the row is in no group
   * @param options the serde of the group is required: it decides the partition. `value`: of what it counts for, default json()
   * @example t.table(airports).groupBy((airport) => [airport.state, airport.name] as const, { key: string() }).count({ name: 'per-state' })
   */
  groupBy<K2, V2>(
    select: GroupSelector<V, K, K2, V2>,
    options: NodeOptions & { readonly key: Serde<K2>; readonly value?: Serde<V2> }
  ): GroupedTable<K2, V2> {
    this.trackOld()
    const what = 'groupBy() of a table'
    const key = keySerde<K2>({ ...this.part, key: undefined }, options?.key, what)
    const value = options.value ?? json<V2>()
    const node = step(
      this.part,
      'groupBy',
      { supervise: options.supervise },
      () => new TableGroupByOperator(select, key)
    )
    const part: Part<K2, Change<V2>> = { ...this.part, node, key, value: changed(value), rekeyed: true }
    return new GroupedTable(through(part, { name: options.name }, 'by', what), value)
  }

  /**
   * Holds changes back: until the window of a row has closed, so that only its last value goes on, or until a time has passed since the
   * first of a row's changes. What waits is kept over restarts.
   * @throws TopologyError ERR_TOPOLOGY_WINDOW when it waits for windows that are not there or never close
   * @example t.table(airports).suppress({ until: '10m', maxRecords: 100_000, name: 'calm-airports' })
   */
  suppress(options: SuppressOptions): Table<K, V> {
    const { part, materialise } = suppressPart(this.part, options)
    return new Table(
      part,
      materialise,
      () => this.trackOld(),
      () => this.tracks()
    )
  }

  /**
   * Rows that satisfy the predicate; a row that no longer does becomes a tombstone.
   * @example t.table(airports).filter((airport) => airport.open, { name: 'open-airports' })
   */
  filter(wanted: (value: V, key: K) => boolean, options: LivingTableOptions = {}): Table<K, V> {
    return this.#values('filter', options, this.part.value, (value, key) => (wanted(value, key) ? value : null))
  }

  /**
   * Rows that do not satisfy the predicate.
   * @example t.table(airports).filterNot((airport) => airport.open)
   */
  filterNot(unwanted: (value: V, key: K) => boolean, options: LivingTableOptions = {}): Table<K, V> {
    return this.#values('filterNot', options, this.part.value, (value, key) => (unwanted(value, key) ? null : value))
  }

  /**
   * Each row with a new value; null leaves the row out.
   * @example t.table(airports).mapValues((airport) => airport.name)
   */
  mapValues<V2>(
    map: (value: V, key: K) => V2,
    options: LivingTableOptions & { readonly value?: Serde<NonNullable<V2>> } = {}
  ): Table<K, NonNullable<V2>> {
    return this.#values('mapValues', options, options.value, (value, key) => map(value, key) ?? null)
  }

  /**
   * The rows of both tables that have the same key, as either changes. Topics must have equal partition counts (checked at start).
   * @example t.table(airports).join(t.table(flights), (airport, flight) => ({ ...airport, latest: flight.date }), { name: 'latest-flights' })
   */
  join<V2, R>(
    other: Table<K, V2>,
    joiner: (left: V, right: V2, key: K) => R,
    options?: TableJoinOptions<NonNullable<R>>
  ): Table<K, NonNullable<R>>
  /**
   * Each row with the row of a global table that it points to at that moment: changes of the global table alone cause nothing.
   * @example t.table(flights).join(t.globalTable(airports), pair, { on: (flight) => flight.origin })
   */
  join<G, T, R>(
    other: GlobalTable<G, T>,
    joiner: (left: V, right: T, key: K) => R,
    options: TableGlobalJoinOptions<K, V, G, NonNullable<R>>
  ): Table<K, NonNullable<R>>
  // biome-ignore lint/suspicious/noExplicitAny: the overloads above say it exactly
  join(other: any, joiner: any, options: any = {}): Table<K, any> {
    return this.#join(other, 'join', joiner, options)
  }

  /**
   * As `join`, also for rows of this table that have no partner: they get null.
   * @example
   * const last = stream.toTable({ name: 'last-flight' })
   * t.table(airports).leftJoin(last, (airport, flight) => ({ ...airport, last: flight?.date ?? null }), { name: 'airports-with-last' })
   */
  leftJoin<V2, R>(
    other: Table<K, V2>,
    joiner: (left: V, right: V2 | null, key: K) => R,
    options?: TableJoinOptions<NonNullable<R>>
  ): Table<K, NonNullable<R>>
  /** As `join` with a global table; rows that point to nothing, or to no row, get null. */
  leftJoin<G, T, R>(
    other: GlobalTable<G, T>,
    joiner: (left: V, right: T | null, key: K) => R,
    options: TableGlobalJoinOptions<K, V, G, NonNullable<R>>
  ): Table<K, NonNullable<R>>
  // biome-ignore lint/suspicious/noExplicitAny: the overloads above say it exactly
  leftJoin(other: any, joiner: any, options: any = {}): Table<K, any> {
    return this.#join(other, 'leftJoin', joiner, options)
  }

  /**
   * As `leftJoin`, for rows of both tables. One of the two is never null.
   * @example
   * const last = stream.toTable({ name: 'last-flight' })
   * t.table(airports).outerJoin(last, (airport, flight) => ({ name: airport?.name ?? null, last: flight?.date ?? null }), { name: 'all-airports' })
   */
  outerJoin<V2, R>(
    other: Table<K, V2>,
    joiner: (left: V | null, right: V2 | null, key: K) => R,
    options: TableJoinOptions<NonNullable<R>> = {}
  ): Table<K, NonNullable<R>> {
    return this.#join(other, 'outerJoin', joiner, options)
  }

  /**
   * Each row with the row of another table that it refers to, as either changes. The topics need not have equal partition counts: what a
   * row refers to is asked for through a topic of the right table's partitions, and answered through one of this table's.
   * @param select the right table's key that a row refers to; null: none, the row has no result
   * @example t.table(orders).joinByForeignKey(t.table(airports), (order) => order.lines[0]?.sku ?? null, pair, { name: 'order-airports' })
   */
  joinByForeignKey<F, V2, R>(
    right: Table<F, V2>,
    select: (value: V, key: K) => F | null,
    joiner: (left: V, right: V2, key: K) => R,
    options: ForeignKeyOptions<F, NonNullable<R>> = {}
  ): Table<K, NonNullable<R>> {
    return this.#joinByForeignKey(right, false, select, joiner, options)
  }

  /**
   * As `joinByForeignKey`, also for rows that refer to nothing, or to a row that is not there: they get null.
   * @example t.table(orders).leftJoinByForeignKey(t.table(airports), (order) => order.lines[0]?.sku ?? null, pair, { name: 'orders-with-airport' })
   */
  leftJoinByForeignKey<F, V2, R>(
    right: Table<F, V2>,
    select: (value: V, key: K) => F | null,
    joiner: (left: V, right: V2 | null, key: K) => R,
    options: ForeignKeyOptions<F, NonNullable<R>> = {}
  ): Table<K, NonNullable<R>> {
    return this.#joinByForeignKey(right, true, select, joiner, options)
  }

  #joinByForeignKey<F, V2, R>(
    right: Table<F, V2>,
    isLeft: boolean,
    select: (value: V, key: K) => F | null,
    // biome-ignore lint/suspicious/noExplicitAny: the methods above say it exactly
    joiner: (left: V, right: any, key: K) => R,
    options: ForeignKeyOptions<F, NonNullable<R>>
  ): Table<K, NonNullable<R>> {
    const join = joiner as (left: V, right: V2 | null, key: K) => NonNullable<R>
    const { part, materialise } = joinByForeignKey<K, V, F, V2, NonNullable<R>>(
      this,
      right,
      isLeft,
      select,
      join,
      options
    )
    return new Table(part, materialise, materialise)
  }

  /** Sessions of a key, and sliding windows, share a row; who looks for one by its own key needs rows of their own. */
  #byRow(): Table<K, V> {
    const { graph, key, value } = this.part
    const spec = graph.storeSpec(this.materialise())
    const sliding = spec !== undefined && isSliding(spec, key as Serde<unknown>)
    if (spec?.kind !== 'session' && !sliding) return this
    return this.#values(sliding ? 'windows' : 'sessions', {}, value, (row) => row)
  }

  #join<V2, R>(
    other: Table<K, V2> | GlobalTable<unknown, V2>,
    kind: 'join' | 'leftJoin' | 'outerJoin',
    // biome-ignore lint/suspicious/noExplicitAny: the methods above say it exactly
    joiner: (left: any, right: any, key: K) => R,
    options: TableJoinOptions<NonNullable<R>>
  ): Table<K, NonNullable<R>> {
    if (other instanceof GlobalTable) {
      const looking = options as TableGlobalJoinOptions<K, V, unknown, NonNullable<R>>
      const join = joiner as (left: V, right: V2 | null, key: K) => NonNullable<R>
      const { part, materialise } = joinTableGlobal(this.part, other, kind === 'leftJoin', join, looking)
      return new Table(part, materialise, materialise)
    }
    const { part, materialise } = joinTables<K, V, V2, NonNullable<R>>(
      this.#byRow(),
      other.#byRow(),
      kind,
      joiner,
      options
    )
    const table = new Table(part, materialise, materialise)
    if (options.name === undefined) {
      const combine = combination({ kind, joiner })
      table.view = () => joinedView<NonNullable<R>>(this.view(), other.view(), combine)
    }
    return table
  }

  /**
   * The table's rows as a store that `process` may read: a row by its key, also of sessions and sliding windows; of a versioned table as of a time.
   * The topics of the processor's stream and of the table must have equal partition counts, and only keys of the task's partition are there.
   * @param name what the processor calls it
   * @example
   * const perDay = grouped.windowedBy(tumbling('1d')).count({ name: 'per-day' })
   * stream.processValues(async (record, context) => {
   *   const start = record.timestamp - (record.timestamp % 86_400_000)
   *   const flights = await context.store('per-day').get({ key: record.key, start, end: start + 86_400_000 })
   *   await context.forward({ value: flights ?? 0 })
   * }, { stores: [perDay.rows('per-day')], value: long() })
   */
  rows<const N extends string>(name: N): StoreDefinition<N, TableRows<K, V>> {
    const access = (): TableAccess => {
      const key = keySerde(this.part, undefined, 'rows()') as Serde<unknown>
      if (!isWindowed(key)) return viewAccess(this.view(), key)
      return windowAccess(this.part.graph.storeSpec(this.materialise())!, key)
    }
    const { graph, node } = this.part
    return { name, table: { access, graph, node } }
  }

  #values<V2>(
    what: string,
    options: LivingTableOptions,
    value: Serde<V2> | undefined,
    map: (value: V, key: K) => V2 | null
  ): Table<K, V2> {
    // Where changes say what was before, a filter has nothing to say of a row that it neither had nor has.
    let tracked = this.tracks()
    const skips = (): boolean => tracked && what !== 'mapValues'
    const kept = options.name !== undefined || options.ttl !== undefined
    // Without a store of its own it is the table above, seen through a function: also in the past.
    const history = kept ? historyOf(options) : this.history
    const node = step(this.part, what, { keepsKey: true }, () => new TableValuesOperator(map, !kept && skips()))
    const part: Part<K, V2> = { ...this.part, node, value }
    const keep = (name: string): string => {
      const key = keySerde(part, undefined, 'A table that keeps its rows')
      const stores = addStore(part, name, key, options, history)
      if (history !== undefined) {
        return step(part, 'rows', { name, stores, keepsKey: true }, () => new VersionedTableOperator(name, key, true))
      }
      // Rows that are kept for a join say what was before, whoever asked: a filter then has nothing to say of a row it never had.
      const create = (): Operator => new TableRowsOperator(name, key, kept ? skips() : what !== 'mapValues')
      return step(part, 'rows', { name, stores, keepsKey: true }, create)
    }
    const track = (): void => {
      tracked = true
      if (!kept) this.trackOld()
    }
    if (kept) {
      const name = keep(stateName(part, `${what}-rows`, options.name))
      return new Table(
        { ...part, node: name, anchor: name },
        () => name,
        track,
        () => true,
        history
      )
    }
    let rows: string | undefined
    const materialise = (): string => {
      rows ??= keep(stateName(part, `${what}-rows`, undefined))
      return rows
    }
    const table = new Table(part, materialise, track, () => tracked, history)
    table.view = () => mappedView(this.view(), map)
    return table
  }
}

const historyOf = ({ versioned, ttl }: LivingTableOptions): number | undefined => {
  if (versioned === undefined) return undefined
  if (ttl === undefined) return whole('history of a versioned table', versioned, 0)
  throw new TopologyError(
    `A table (${callSite()}) cannot be versioned and have a ttl: the history knows what a row was after it died. Choose one of them.`,
    { code: 'ERR_TOPOLOGY_WINDOW' }
  )
}

function addStore<K, V>(
  part: Part<K, V>,
  name: string,
  key: Serde<K>,
  options: LivingTableOptions,
  historyMs: number | undefined
): string[] {
  const { caching = true, logged, topicConfig, ttl } = options
  const value = valueSerde(part, undefined)
  if (historyMs !== undefined) {
    const versions = { name, kind: 'keyValue' as const, key, value: versionsSerde(value), historyMs }
    part.graph.addStore(specOf({ ...versions, caching: false, logged, topicConfig }))
    return [name]
  }
  return addKeyValue(part.graph, { name, key, value, caching, logged, topicConfig }, ttl)
}

/**
 * @internal A table node whose store comes into being with its name, or when somebody asks for the rows.
 * @param create the operator; it asks for the store at its init
 */
export function addTable<K, V>(
  part: Part<K, V>,
  what: string,
  options: LivingTableOptions,
  create: (store: () => string | undefined, key: Serde<NonNullable<K>>) => Operator
): Table<NonNullable<K>, NonNullable<V>> {
  type Row = Part<NonNullable<K>, NonNullable<V>>
  const from = part as unknown as Row
  const { graph } = part
  let store: string | undefined
  const key = keySerde(from, undefined, 'A table')
  const history = historyOf(options)
  const node = step(part, what, { name: options.name, keepsKey: true }, () =>
    history === undefined ? create(() => store, key) : new VersionedTableOperator(node, key)
  )
  const materialise = (): string => {
    if (store !== undefined) return store
    store = node
    if (options.name === undefined) graph.unnamed(node)
    for (const name of addStore(from, node, key, options, history)) graph.connect(node, name)
    return store
  }
  if (options.name !== undefined || options.ttl !== undefined || history !== undefined) materialise()
  return new Table<NonNullable<K>, NonNullable<V>>(
    { ...from, node, anchor: options.name ?? part.anchor, key, rekeyed: false },
    materialise,
    materialise,
    () => store !== undefined,
    history
  )
}
