/** Grouped streams: one running value per key, or per key and window. */
import { AggregateOperator, type Step } from '../operators/aggregate.ts'
import type { SessionWindows, SlidingWindows, TimeWindows } from '../operators/windows.ts'
import type { Serde, StreamRecord } from '../record.ts'
import { json } from '../serde/json.ts'
import { long } from '../serde/numbers.ts'
import type { Duration } from '../time.ts'
import { Cogrouped } from './cogroup.ts'
import { keySerde, type Part, stateName, step } from './part.ts'
import { SessionGrouped } from './sessionGrouped.ts'
import { addKeyValue } from './store.ts'
import { Table } from './table.ts'
import { behaviourOf, type WindowedByOptions, WindowedGrouped } from './windowedGrouped.ts'

export interface StoreOptions<A> {
  /** Names the node, its store and so its changelog. Without one the name is derived, with a warning. */
  readonly name?: string
  /** Serde of the running value. Default json(); of a count long(), as in the JVM; of a reduce the stream's. */
  readonly value?: Serde<A>
  /** With the cache, updates of a key go on once per commit; without, each at once. Default true. */
  readonly caching?: boolean
  /** Written to a changelog topic and restored from it. Default true. */
  readonly logged?: boolean
  /** Settings of the changelog topic that differ from Millrace's. */
  readonly topicConfig?: Readonly<Record<string, string>>
}

/** As StoreOptions, for aggregates that are not cut into windows. */
export interface KeyValueOptions<A> extends StoreOptions<A> {
  /**
   * A row is there until stream time has passed its own time by this; then it is deleted, here, in the changelog and for all that comes
   * behind. What comes too late to live is dropped as 'late'. Default: for ever.
   */
  readonly ttl?: Duration
}

/** From `groupByKey` and `groupBy`. Records with a null key or value are not aggregated; they are counted as dropped. */
export class Grouped<K, V> {
  /** @internal */ readonly part: Part<K, V>

  /** @internal */
  constructor(part: Part<K, V>) {
    this.part = part
  }

  /**
   * How many records each key has had.
   * @example grouped.count({ name: 'flights-per-airport' }).toStream().to(counts)
   */
  count(options: KeyValueOptions<number> = {}): Table<K, number> {
    return this.#aggregate('count', countStep, { value: long(), ...options })
  }

  /**
   * One value per key: the first as it is, then what the function makes of it and the next.
   * @param combine must not change its arguments
   * @example grouped.reduce((longest, flight) => (flight.distance > longest.distance ? flight : longest))
   */
  reduce(
    combine: (reduced: NonNullable<V>, value: NonNullable<V>, record: StreamRecord<K, V>) => NonNullable<V>,
    options: KeyValueOptions<NonNullable<V>> = {}
  ): Table<K, NonNullable<V>> {
    return this.#aggregate('reduce', reduceStep(combine), { ...inherited(this.part), ...options })
  }

  /**
   * A value of another type per key.
   * @param initial the value before the first record
   * @param add gives the next value, without changing the present one; null deletes the row
   * @example grouped.aggregate(() => 0, (miles, flight) => miles + flight.distance, { name: 'miles', value: long() })
   */
  aggregate<A>(
    initial: () => A,
    add: (aggregate: A, value: NonNullable<V>, record: StreamRecord<K, V>) => A | null,
    options: KeyValueOptions<A> = {}
  ): Table<K, A> {
    return this.#aggregate('aggregate', aggregateStep(initial, add), options)
  }

  /**
   * Together with other grouped streams: one running value per key of all of them.
   * @param add gives the next value, without changing the present one; null deletes the row. Its first parameter says the type of the value
   * @example grouped.cogroup((n: number) => n + 1).and(grouped, (n) => n + 1).aggregate(() => 0, { name: 'twice', value: long() })
   */
  cogroup<A>(add: (aggregate: A, value: V, record: StreamRecord<K, V>) => A | null): Cogrouped<K, A> {
    return new Cogrouped<K, A>([]).and(this, add)
  }

  /**
   * The same per window of time.
   * @throws TopologyError ERR_TOPOLOGY_WINDOW for `emit: 'close'` of the unlimited window, which never closes
   * @example grouped.windowedBy(tumbling('1d', { grace: '12h' })).count({ name: 'flights-per-day' })
   * @example grouped.windowedBy(tumbling('1h'), { emit: 'close', closeIdleAfter: '5m' }).count({ name: 'flights-per-hour' })
   * @example grouped.windowedBy(sliding('10m'), { emit: 'close', onLate: ({ key, lateBy }) => console.warn(key, lateBy) }).count({ name: 'per-10m' })
   */
  windowedBy(windows: TimeWindows | SlidingWindows, options?: WindowedByOptions<K, V>): WindowedGrouped<K, V>
  /**
   * The same per session: records of a key that are at most a gap apart.
   * @example grouped.windowedBy(session('30m', { grace: '5m' })).count({ name: 'flights-in-a-row' })
   */
  windowedBy(windows: SessionWindows, options?: WindowedByOptions<K, V>): SessionGrouped<K, V>
  windowedBy(
    windows: TimeWindows | SlidingWindows | SessionWindows,
    options: WindowedByOptions<K, V> = {}
  ): WindowedGrouped<K, V> | SessionGrouped<K, V> {
    const behaviour = behaviourOf(windows, options)
    if ('gap' in windows) return new SessionGrouped(this.part, windows, behaviour)
    return new WindowedGrouped(this.part, windows, behaviour)
  }

  #aggregate<A>(what: string, next: Step<K, V, A>, options: KeyValueOptions<A>): Table<K, A> {
    const part = this.part
    const key = keySerde(part, undefined, `${what}()`)
    const { value = json<A>(), caching = true, logged, topicConfig } = options
    const name = stateName(part, what, options.name)
    const stores = addKeyValue(part.graph, { name, key, value, caching, logged, topicConfig }, options.ttl)
    step(part, what, { name, stores, keepsKey: true }, () => new AggregateOperator(name, key, next))
    return new Table<K, A>({ ...part, node: name, anchor: name, key, value, rekeyed: false }, () => name)
  }
}

/** @internal */
export const countStep = (count: number | null): number => (count ?? 0) + 1

/** @internal */
export const reduceStep =
  <K, V, W extends V>(
    combine: (reduced: NonNullable<V>, value: W, record: StreamRecord<K, V>) => NonNullable<V>
  ): Step<K, V, NonNullable<V>> =>
  (reduced, record) =>
    reduced === null ? (record.value ?? null) : combine(reduced, record.value as W, record)

/** @internal */
export const aggregateStep =
  <K, V, A, W>(
    initial: () => A,
    add: (aggregate: A, value: W, record: StreamRecord<K, V>) => A | null
  ): Step<K, V, A> =>
  (aggregate, record) =>
    add(aggregate ?? initial(), record.value as unknown as W, record)

/** @internal The stream's value serde as that of the store. */
export const inherited = <V>(part: Part<unknown, V>): { value?: Serde<NonNullable<V>> } =>
  part.value ? { value: part.value as Serde<NonNullable<V>> } : {}
