/** Streams: records one after the other. Every method adds a node and gives the stream behind it, typed. */
import { TopologyError } from '../errors.ts'
import { FilterOperator } from '../operators/filter.ts'
import { FlatMapOperator } from '../operators/flatMap.ts'
import { FlatMapValuesOperator } from '../operators/flatMapValues.ts'
import { MapOperator, type Pair } from '../operators/map.ts'
import { type AsyncMapper, MapAsyncOperator } from '../operators/mapAsync.ts'
import { MapValuesOperator } from '../operators/mapValues.ts'
import { MergeOperator } from '../operators/merge.ts'
import { PeekOperator } from '../operators/peek.ts'
import type { Processor, ProcessorContext, ValuesContext, ValuesProcessor } from '../operators/process.ts'
import { SelectKeyOperator } from '../operators/selectKey.ts'
import type { StreamTableJoiner } from '../operators/streamTableJoin.ts'
import { TableSourceOperator } from '../operators/tableSource.ts'
import type { Serde, StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import { ms } from '../time.ts'
import { callSite, deriveName } from '../topology/names.ts'
import type { SinkNode } from '../topology/node.ts'
import { type DeduplicateOptions, deduplicatePart } from './deduplicate.ts'
import { type GlobalJoinOptions, GlobalTable, joinGlobal } from './globalTable.ts'
import { Grouped } from './grouped.ts'
import { keySerde, nodeOf, type Part, type RepartitionParts, repartition, step, superviseOf, through } from './part.ts'
import { processPart } from './processPart.ts'
import { splitPart } from './splitPart.ts'
import type { StoreDefinition } from './store.ts'
import { type JoinKind, joinStreams, type StreamJoinOptions } from './streamJoin.ts'
import type {
  JoinOptions,
  MapAsyncOptions,
  NodeOptions,
  ProcessOptions,
  ProcessValuesOptions,
  RepartitionOptions,
  SerdeOptions,
  StoreFaces,
  ToOptions
} from './streamOptions.ts'
import { joinTable } from './streamTableJoin.ts'
import { addTable, type LivingTableOptions, Table } from './table.ts'
import type { Target, Topic } from './topic.ts'
import { windowPartitioner } from './windowPartitioner.ts'

export type {
  JoinOptions,
  MapAsyncOptions,
  NodeOptions,
  ProcessOptions,
  ProcessValuesOptions,
  RepartitionOptions,
  SerdeOptions,
  StoreFaces,
  ToOptions
} from './streamOptions.ts'

type Predicate<K, V> = (record: StreamRecord<K, V>) => boolean

/**
 * Callbacks that look at a record get the record, whose key and value are decoded when first read; callbacks that work on the value get
 * the value, then the record. They must return at once and must not change what they are given.
 */
export class Stream<K, V> {
  /** @internal */ readonly part: Part<K, V>

  /** @internal */
  constructor(part: Part<K, V>) {
    this.part = part
  }

  /**
   * Records that satisfy the predicate.
   * @example stream.filter(({ value }) => value.delay > 15)
   */
  filter<V2 extends V>(
    wanted: (record: StreamRecord<K, V>) => record is StreamRecord<K, V2>,
    options?: NodeOptions
  ): Stream<K, V2>
  filter(wanted: Predicate<K, V>, options?: NodeOptions): Stream<K, V>
  filter(wanted: Predicate<K, V>, options: NodeOptions = {}): Stream<K, V> {
    return this.#same(step(this.part, 'filter', { ...options, keepsKey: true }, () => new FilterOperator(wanted)))
  }

  /**
   * Records that do not satisfy the predicate.
   * @example stream.filterNot(({ value }) => value.state === 'CA')
   */
  filterNot(unwanted: Predicate<K, V>, options: NodeOptions = {}): Stream<K, V> {
    const create = (): FilterOperator<K, V> => new FilterOperator((record) => !unwanted(record))
    return this.#same(step(this.part, 'filterNot', { ...options, keepsKey: true }, create))
  }

  /**
   * Each record with a new key and value. A grouping, join or toTable behind it repartitions.
   * @example stream.map(({ value }) => ({ key: value.origin, value: value.delay }), { key: string() })
   */
  map<K2, V2>(map: (record: StreamRecord<K, V>) => Pair<K2, V2>, options: SerdeOptions<K2, V2> = {}): Stream<K2, V2> {
    const node = step(this.part, 'map', nodeOf(options), () => new MapOperator(map))
    return this.#rekeyed(node, options.key, options.value)
  }

  /**
   * Each record with a new value.
   * @example stream.mapValues((flight) => flight.delay / 60)
   */
  mapValues<V2>(
    map: (value: V, record: StreamRecord<K, V>) => V2,
    options: NodeOptions & { readonly value?: Serde<V2> } = {}
  ): Stream<K, V2> {
    const create = (): MapValuesOperator<K, V, V2> => new MapValuesOperator(map)
    return this.#valued(step(this.part, 'mapValues', { ...nodeOf(options), keepsKey: true }, create), options.value)
  }

  /**
   * Each record with a new value from a function that takes its time: up to `concurrency` at once. Calls of one key follow each other. A
   * record counts as done, and its offset is committed, when its result has gone on; a commit waits for all that are under way, so the
   * calls must end within the transaction's time-out. One that rejects fails its record.
   * @throws TopologyError for a concurrency that is no whole number of at least 1; RangeError for a time-out that is no duration
   * @example
   * const score = async (flight: Flight) => flight.delay / flight.distance
   * stream.mapAsync(score, { concurrency: 32, timeout: '5s', value: double() })
   */
  mapAsync<V2>(map: AsyncMapper<K, V, V2>, options: MapAsyncOptions<V2>): Stream<K, V2> {
    const { concurrency, timeout, order = 'key', value } = options ?? {}
    if (!(Number.isInteger(concurrency) && concurrency >= 1)) {
      throw new TopologyError(
        `mapAsync (${callSite()}) has the concurrency ${concurrency}: say how many calls may be under way at once, a whole number of at least 1.`
      )
    }
    const timeoutMs = timeout === undefined ? undefined : Math.max(1, ms(timeout))
    const parts = { concurrency, order, timeoutMs, key: this.part.key }
    const create = (): MapAsyncOperator<K, V, V2> => new MapAsyncOperator(map, parts)
    return this.#valued(step(this.part, 'mapAsync', { ...nodeOf(options), keepsKey: true }, create), value)
  }

  /**
   * Any number of records for each. Repartitions as `map`.
   * @example t.stream(orders).flatMap(({ value }) => value.lines.map(({ sku, count }) => ({ key: sku, value: count })), { key: string() })
   */
  flatMap<K2, V2>(
    map: (record: StreamRecord<K, V>) => Iterable<Pair<K2, V2>>,
    options: SerdeOptions<K2, V2> = {}
  ): Stream<K2, V2> {
    const node = step(this.part, 'flatMap', nodeOf(options), () => new FlatMapOperator(map))
    return this.#rekeyed(node, options.key, options.value)
  }

  /**
   * Any number of values for each record, under its key.
   * @example t.stream(lines).flatMapValues((line) => line.split(' '))
   */
  flatMapValues<V2>(
    map: (value: V, record: StreamRecord<K, V>) => Iterable<V2>,
    options: NodeOptions & { readonly value?: Serde<V2> } = {}
  ): Stream<K, V2> {
    const create = (): FlatMapValuesOperator<K, V, V2> => new FlatMapValuesOperator(map)
    return this.#valued(step(this.part, 'flatMapValues', { ...nodeOf(options), keepsKey: true }, create), options.value)
  }

  /**
   * Each record with a new key. A grouping, join or toTable behind it repartitions.
   * @example stream.selectKey(({ value }) => value.state, { key: string() })
   */
  selectKey<K2>(
    select: (record: StreamRecord<K, V>) => K2,
    options: NodeOptions & { readonly key?: Serde<K2> } = {}
  ): Stream<K2, V> {
    const node = step(this.part, 'selectKey', nodeOf(options), () => new SelectKeyOperator(select))
    return this.#rekeyed(node, options.key, this.part.value)
  }

  /**
   * Looks at each record on its way. What the function gives is ignored.
   * @example stream.peek(({ key, value }) => console.log(key, value.delay)).to('seen')
   */
  peek(look: (record: StreamRecord<K, V>) => void, options: NodeOptions = {}): Stream<K, V> {
    return this.#same(step(this.part, 'peek', { ...options, keepsKey: true }, () => new PeekOperator(look)))
  }

  /**
   * Looks at each record; nothing comes after it.
   * @example stream.foreach(({ key, value }) => console.log(key, value.delay))
   */
  foreach(look: (record: StreamRecord<K, V>) => void, options: NodeOptions = {}): void {
    step(this.part, 'foreach', { ...options, keepsKey: true }, () => new PeekOperator(look))
  }

  /**
   * The records of both, without an order between them.
   * @example t.stream(web).merge(t.stream(mobile)).groupByKey().count({ name: 'clicks' })
   */
  merge<K2, V2>(other: Stream<K2, V2>, options: NodeOptions = {}): Stream<K | K2, V | V2> {
    type Both = Part<K | K2, V | V2>
    const mine = this.part as unknown as Both
    const theirs = other.part as unknown as Both
    const { graph } = mine
    if (theirs.graph !== graph) {
      throw new TopologyError(
        `merge (${callSite()}) takes a stream of another topology: build both from one topology().`
      )
    }
    const name = options.name ?? deriveName(mine.anchor, 'merge', (n) => graph.hasName(n))
    graph.addProcessor({
      name,
      parents: [mine.node, theirs.node],
      what: 'merge',
      supervise: options.supervise,
      create: () => new MergeOperator(),
      keepsKey: true
    })
    return new Stream<K | K2, V | V2>({
      graph,
      node: name,
      anchor: mine.anchor,
      key: mine.key === theirs.key ? mine.key : undefined,
      value: mine.value === theirs.value ? mine.value : undefined,
      rekeyed: mine.rekeyed || theirs.rekeyed
    })
  }

  /**
   * One stream per branch; a record goes to the first branch that wants it. Without `otherwise` the rest is left out.
   * @throws TopologyError for branch names of digits only: JavaScript would reorder them
   * @example const { late, onTime } = stream.split({ late: ({ value }) => value.delay > 15 }, { otherwise: 'onTime' })
   */
  split<const B extends Record<string, Predicate<K, V>>, const O extends string = never>(
    branches: B,
    options: NodeOptions & { readonly otherwise?: O } = {}
  ): { readonly [N in (keyof B & string) | O]: Stream<K, V> } {
    const streams: Record<string, Stream<K, V>> = {}
    for (const [branch, node] of splitPart(this.part, branches, options)) streams[branch] = this.#same(node)
    return streams as { [N in (keyof B & string) | O]: Stream<K, V> }
  }

  /**
   * Groups by the key as it is. Repartitions only if the key was changed upstream.
   * @param options `name` is that of the repartition topic, should there be one
   * @example stream.groupByKey().count({ name: 'flights-per-airport' })
   */
  groupByKey(options: SerdeOptions<K, V> = {}): Grouped<NonNullable<K>, V> {
    return this.#group(this.part, options)
  }

  /**
   * Groups by a new key, through a repartition topic: `<app>-<name>-repartition`.
   * @param options the serde of the new key is required: it decides the partition
   * @example stream.groupBy(({ value }) => value.state, { key: string(), name: 'by-state' }).count({ name: 'flights-per-state' })
   */
  groupBy<K2>(
    select: (record: StreamRecord<K, V>) => K2,
    options: SerdeOptions<K2, V> & { readonly key: Serde<NonNullable<K2>> }
  ): Grouped<NonNullable<K2>, V> {
    const node = step(this.part, 'groupBy', { supervise: options?.supervise }, () => new SelectKeyOperator(select))
    const key = options?.key as Serde<K2> // JavaScript may leave the options out: then the error says what is missing
    return this.#group<K2>({ ...this.part, node, key, rekeyed: true }, { ...options, key })
  }

  /**
   * The records again, from an internal topic `<app>-<name>-repartition`: in the partitions of their keys, in a sub-topology of its own.
   * Null keys are dropped, null values pass. Each call is a topic of its own.
   * @throws TopologyError ERR_TOPOLOGY_SERDE without a serde of a changed key, ERR_TOPOLOGY_PARTITIONS for a count that cannot be
   * @example stream.repartition({ name: 'spread', partitions: 12 })
   */
  repartition(options: RepartitionOptions<K, V> = {}): Stream<NonNullable<K>, V> {
    return new Stream<K, V>(through(this.part, options, 'spread', 'repartition()')) as unknown as Stream<
      NonNullable<K>,
      V
    >
  }

  /**
   * Joins each record with the row of the table that has its key now; records without a row are left out. Topics must have equal
   * partition counts (checked at start).
   * @example stream.join(t.table(airports), (flight, airport) => ({ ...flight, state: airport.state }))
   */
  join<T, V2>(
    table: Table<NonNullable<K>, T>,
    joiner: StreamTableJoiner<NonNullable<K>, NonNullable<V>, T, V2>,
    options?: JoinOptions<K, V, V2>
  ): Stream<NonNullable<K>, V2>
  /**
   * Joins each record with those of another stream that have its key and lie near in time, whichever comes first: one result per pair,
   * with the higher time of both. Topics must have equal partition counts (checked at start). A stream may be joined with itself.
   * @throws TopologyError ERR_TOPOLOGY_WINDOW when nothing could match
   * @example t.stream(web).join(t.stream(mobile), (click, tap) => [click, tap], { within: { before: '5m', after: '1m', grace: '30s' } })
   */
  join<V2, R>(
    other: Stream<K, V2>,
    joiner: (left: NonNullable<V>, right: NonNullable<V2>, key: NonNullable<K>) => R,
    options: StreamJoinOptions<K, V, V2, R>
  ): Stream<NonNullable<K>, R>
  /**
   * Joins each record with the row of a global table that it points to; records without a row are left out. Nothing is repartitioned.
   * @example stream.join(t.globalTable(airports), (flight, airport) => ({ ...flight, state: airport.state }), { on: ({ value }) => value.origin })
   */
  join<G, T, V2>(
    table: GlobalTable<G, T>,
    joiner: StreamTableJoiner<K, NonNullable<V>, T, V2>,
    options: GlobalJoinOptions<K, NonNullable<V>, G, V2>
  ): Stream<K, V2>
  // biome-ignore lint/suspicious/noExplicitAny: the overloads above say it exactly
  join(other: any, joiner: any, options?: any): Stream<any, any> {
    return this.#join(other, 'join', joiner, options)
  }

  /**
   * As `join`, but records without a row are joined with null.
   * @example stream.leftJoin(t.table(airports), (flight, airport) => ({ ...flight, airport: airport?.name ?? 'unknown' }))
   */
  leftJoin<T, V2>(
    table: Table<NonNullable<K>, T>,
    joiner: StreamTableJoiner<K, NonNullable<V>, T | null, V2>,
    options?: JoinOptions<K, V, V2>
  ): Stream<K, V2>
  /**
   * As `join`; a record of this stream without a partner comes out with null once its window has closed: when stream time has passed its
   * time + after + grace. One with a null key comes out at once.
   */
  leftJoin<V2, R>(
    other: Stream<K, V2>,
    joiner: (left: NonNullable<V>, right: NonNullable<V2> | null, key: K) => R,
    options: StreamJoinOptions<K, V, V2, R>
  ): Stream<K, R>
  /** As `join`; records that point to nothing, or to no row, are joined with null. */
  leftJoin<G, T, V2>(
    table: GlobalTable<G, T>,
    joiner: StreamTableJoiner<K, NonNullable<V>, T | null, V2>,
    options: GlobalJoinOptions<K, NonNullable<V>, G, V2>
  ): Stream<K, V2>
  // biome-ignore lint/suspicious/noExplicitAny: the overloads above say it exactly
  leftJoin(other: any, joiner: any, options?: any): Stream<any, any> {
    return this.#join(other, 'leftJoin', joiner, options)
  }

  /**
   * As `leftJoin`, for records of both streams. Exactly one side may be null.
   * @example t.stream(web).outerJoin(t.stream(mobile), (click, tap) => ({ click, tap }), { within: '5m' })
   */
  outerJoin<V2, R>(
    other: Stream<K, V2>,
    joiner: (left: NonNullable<V> | null, right: NonNullable<V2> | null, key: K) => R,
    options: StreamJoinOptions<K, V, V2, R>
  ): Stream<K, R> {
    return new Stream(joinStreams(this.part, other.part, 'outerJoin', joiner, options))
  }

  /**
   * The first of equal records within a time; the others are dropped as 'duplicate'. Repartitions if the key was changed.
   * @example stream.deduplicate({ within: '10m', by: ({ value }) => value.date, name: 'once-per-date' })
   */
  deduplicate(options: DeduplicateOptions<K, V>): Stream<K, V> {
    const name = options.name && `${options.name}-input`
    return new Stream(deduplicatePart(this.#settled(this.part, { name }, 'deduplicate()'), options))
  }

  /**
   * The latest value of each key; null values delete. Repartitions if the key was changed.
   * @example stream.mapValues((flight) => flight.delay).toTable({ name: 'last-delay' })
   */
  toTable(
    options: LivingTableOptions & { readonly key?: Serde<NonNullable<K>>; readonly value?: Serde<NonNullable<V>> } = {}
  ): Table<NonNullable<K>, NonNullable<V>> {
    const { key, value, ...rest } = options
    const name = options.name === undefined ? undefined : `${options.name}-input`
    const part = this.#settled(this.part, { name, key: key as Serde<K>, value: value as Serde<V> }, 'toTable')
    return addTable(part, 'toTable', rest, (store, serde) => new TableSourceOperator(store, serde))
  }

  /**
   * Runs a processor of yours: a function, or `{ create }` that gives a new `{ init, process, close }` for each task.
   * @example
   * const totals = keyValueStore('totals', { key: string(), value: long() })
   * stream.process(async ({ key, value }, context) => {
   *   const store = context.store('totals')
   *   const total = ((await store.get(key)) ?? 0) + value.delay
   *   await store.put(key, total)
   *   await context.forward({ key, value: total })
   * }, { stores: [totals], value: long() })
   */
  process<K2 = K, V2 = V, const S extends readonly StoreDefinition<string, unknown>[] = []>(
    processor:
      | ((record: StreamRecord<K, V>, context: ProcessorContext<K2, V2, StoreFaces<S>>) => MaybePromise<void>)
      | { create(): Processor<K, V, K2, V2, StoreFaces<S>> },
    options: ProcessOptions<K2, V2, S> = {}
  ): Stream<K2, V2> {
    const node = processPart(this.part, 'process', processor, options, false)
    const key = options.key ?? (this.part.key as unknown as Serde<K2> | undefined)
    const value = options.value ?? (this.part.value as unknown as Serde<V2> | undefined)
    return new Stream<K2, V2>({ ...this.#base(node), key, value, rekeyed: true })
  }

  /**
   * As `process`, under the key of each record: nothing behind it repartitions. `forward` takes the value alone; a key that is not the
   * record's is an error.
   * @example
   * const seen = keyValueStore('seen', { key: string(), value: int() })
   * stream.processValues(async (record, context) => {
   *   const times = ((await context.store('seen').get(record.key)) ?? 0) + 1
   *   await context.store('seen').put(record.key, times)
   *   await context.forward({ value: times })
   * }, { stores: [seen], value: int() })
   */
  processValues<V2 = V, const S extends readonly StoreDefinition<string, unknown>[] = []>(
    processor:
      | ((record: StreamRecord<K, V>, context: ValuesContext<K, V2, StoreFaces<S>>) => MaybePromise<void>)
      | { create(): ValuesProcessor<K, V, V2, StoreFaces<S>> },
    options: ProcessValuesOptions<V2, S> = {}
  ): Stream<K, V2> {
    const node = processPart(this.part, 'processValues', processor, options, true)
    return this.#valued(node, options.value ?? (this.part.value as unknown as Serde<V2> | undefined))
  }

  /**
   * Writes the records to a topic: its own serdes if it is a `topic(…)`, else the stream's. The topic must exist.
   * A function chooses the topic of each record, which the job does not create.
   * @throws TopologyError ERR_TOPOLOGY_SERDE when a serde is missing
   * @example stream.to(flights, { partitioner: ({ value }, partitions) => value.distance % partitions })
   */
  to(
    target: Target<K, V> | Target<NonNullable<K>, NonNullable<V>> | string | ((record: StreamRecord<K, V>) => string),
    options: ToOptions<K, V> = {}
  ): void {
    const { graph, node, anchor } = this.part
    const declared = typeof target === 'object' ? (target as unknown as Topic<K, V>) : undefined
    const key = options.key ?? declared?.key ?? keySerde(this.part, undefined, 'to()')
    const value = options.value ?? declared?.value ?? this.part.value
    if (!value) {
      throw new TopologyError(
        `to(${typeof target === 'string' ? `"${target}"` : '…'}) (${callSite()}) needs the serde of the value, which was changed upstream of "${node}". ` +
          `Give to() a topic(name, { key, value }), or add { value: json() }.`,
        { code: 'ERR_TOPOLOGY_SERDE', details: { part: 'value', node } }
      )
    }
    const topic = (declared?.name ?? target) as SinkNode['topic']
    const name = options.name ?? deriveName(anchor, 'to', (n) => graph.hasName(n))
    const { partitioner } = options
    const way = partitioner ? { partitioner } : windowPartitioner(key)
    graph.addSink({ name, parents: [node], topic, key, value, ...way, ...superviseOf(options) })
  }

  #join(
    other: Table<NonNullable<K>, unknown> | Stream<K, unknown> | GlobalTable<unknown, unknown>,
    kind: JoinKind,
    // biome-ignore lint/suspicious/noExplicitAny: the overloads of join and leftJoin say it exactly
    joiner: any,
    // biome-ignore lint/suspicious/noExplicitAny: as above
    options: any = {}
  ): Stream<K, unknown> {
    if (other instanceof GlobalTable)
      return new Stream(joinGlobal(this.part, other, kind === 'leftJoin', joiner, options))
    if (other instanceof Table) return new Stream(joinTable(this.part, other, kind === 'leftJoin', joiner, options))
    return new Stream(joinStreams(this.part, other.part, kind, joiner, options))
  }

  #group<K3>(part: Part<K3, V>, { name, key, value }: SerdeOptions<K3, V>): Grouped<NonNullable<K3>, V> {
    const settled = this.#settled(part, { name, key, value }, 'groupByKey')
    return new Grouped(settled as unknown as Part<NonNullable<K3>, V>)
  }

  /** Behind a repartition topic if the key was changed; with the given serdes in any case. */
  #settled<K3, V3>(part: Part<K3, V3>, options: RepartitionParts<K3, V3>, what: string): Part<K3, V3> {
    if (part.rekeyed) return repartition(part, options, what)
    return { ...part, key: options.key ?? part.key, value: options.value ?? part.value }
  }

  #base(node: string): Omit<Part<unknown, unknown>, 'key' | 'value'> {
    return { graph: this.part.graph, node, anchor: this.part.anchor, rekeyed: this.part.rekeyed }
  }

  #same(node: string): Stream<K, V> {
    return new Stream({ ...this.part, node })
  }

  #valued<V2>(node: string, value: Serde<V2> | undefined): Stream<K, V2> {
    return new Stream<K, V2>({ ...this.#base(node), key: this.part.key, value })
  }

  #rekeyed<K2, V2>(node: string, key: Serde<K2> | undefined, value: Serde<V2> | undefined): Stream<K2, V2> {
    return new Stream<K2, V2>({ ...this.#base(node), key, value, rekeyed: true })
  }
}
