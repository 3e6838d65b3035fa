/** Several grouped streams into one running value per key. */

import { TopologyError } from '../errors.ts'
import { AggregateOperator } from '../operators/aggregate.ts'
import type { WindowBehaviour } from '../operators/behaviour.ts'
import { type Adder, CogroupOperator, cogroupStep } from '../operators/cogroup.ts'
import { MergeOperator } from '../operators/merge.ts'
import type { SessionWindows, SlidingWindows, TimeWindows } from '../operators/windows.ts'
import type { Serde, StreamRecord } from '../record.ts'
import { json } from '../serde/json.ts'
import type { Windowed } from '../serde/windowed.ts'
import { callSite, deriveName } from '../topology/names.ts'
import type { StoreOptions } from './grouped.ts'
import { keySerde, type Part, stateName, step } from './part.ts'
import { addSessions, type SessionOptions } from './sessionGrouped.ts'
import { specOf } from './store.ts'
import { Table } from './table.ts'
import { addWindows, behaviourOf, type WindowedByOptions, type WindowStoreOptions } from './windowedGrouped.ts'

type Add<K, V, A> = (aggregate: A, value: V, record: StreamRecord<K, V>) => A | null

interface Member<K, A> {
  readonly part: Part<K, unknown>
  readonly add: Add<K, unknown, A>
}

/** What `and` takes: a grouped stream. */
interface GroupedLike<K, V> {
  /** @internal */ readonly part: Part<K, V>
}

/** From `cogroup`. Topics must have equal partition counts (checked at start). Null values are dropped, except by windows of time and sessions. */
export class Cogrouped<K, A> {
  readonly #members: readonly Member<K, A>[]

  /** @internal */
  constructor(members: readonly Member<K, A>[]) {
    this.#members = members
  }

  /**
   * Another stream with the same keys.
   * @param add gives the next value, without changing the present one; null deletes the row
   * @throws TopologyError for a stream of another topology, or keys of another serde
   * @example
   * const clicks = t.stream(web).groupByKey().cogroup((n: number) => n + 1)
   * clicks.and(t.stream(mobile).groupByKey(), (n) => n + 1).aggregate(() => 0, { name: 'visits', value: long() })
   */
  and<V>(
    grouped: GroupedLike<K, V>,
    add: (aggregate: A, value: V, record: StreamRecord<K, V>) => A | null
  ): Cogrouped<K, A> {
    const { part } = grouped
    const first = this.#members[0]?.part ?? part
    if (part.graph !== first.graph) {
      throw new TopologyError(
        `cogroup (${callSite()}) takes a stream of another topology: build all from one topology().`
      )
    }
    const mine = keySerde(first, undefined, 'cogroup()')
    const theirs = keySerde(part, undefined, 'cogroup()')
    if (mine.name !== theirs.name) {
      throw new TopologyError(
        `cogroup (${callSite()}) takes streams whose keys are written differently: ${mine.name} and ${theirs.name}. Equal keys would not meet: use one serde.`,
        { code: 'ERR_TOPOLOGY_SERDE' }
      )
    }
    return new Cogrouped([...this.#members, { part: part as Part<K, unknown>, add: add as Add<K, unknown, A> }])
  }

  /**
   * One value per key of all streams.
   * @param initial the value before the first record
   * @example
   * const delays = grouped.cogroup((n: number, flight) => n + flight.delay)
   * delays.aggregate(() => 0, { name: 'delays', value: long() })
   */
  aggregate(initial: () => A, options: StoreOptions<A> = {}): Table<K, A> {
    const name = stateName(this.#first, 'cogroup', options.name)
    const part = merged(this.#members, name, false)
    const { value = json<A>(), caching = true, logged, topicConfig } = options
    const key = part.key!
    part.graph.addStore(specOf({ name, kind: 'keyValue', key, value, caching, logged, topicConfig }))
    const create = (): AggregateOperator<K, Adder<A>, A> => new AggregateOperator(name, key, cogroupStep(initial))
    step(part, 'cogroup', { name, stores: [name], keepsKey: true }, create)
    return new Table<K, A>({ ...part, node: name, anchor: name, value }, () => name)
  }

  /**
   * The same per window of time.
   * @throws TopologyError ERR_TOPOLOGY_WINDOW for `emit: 'close'` of the unlimited window, which never closes
   * @example
   * const clicks = t.stream(web).groupByKey().cogroup((n: number) => n + 1)
   * clicks.windowedBy(tumbling('1h'), { emit: 'close' }).aggregate(() => 0, { name: 'clicks-per-hour', value: long() })
   */
  windowedBy(windows: TimeWindows | SlidingWindows, options?: CogroupedByOptions): WindowedCogrouped<K, A>
  /** The same per session. */
  windowedBy(windows: SessionWindows, options?: CogroupedByOptions): SessionCogrouped<K, A>
  windowedBy(
    windows: TimeWindows | SlidingWindows | SessionWindows,
    options: CogroupedByOptions = {}
  ): WindowedCogrouped<K, A> | SessionCogrouped<K, A> {
    const behaviour = behaviourOf<K, Adder<A>>(windows, options)
    const nulls = !('difference' in windows)
    const input = (name: string): Part<K, Adder<A>> => merged(this.#members, name, nulls)
    const first = this.#first
    return 'gap' in windows
      ? new SessionCogrouped(first, input, windows, behaviour)
      : new WindowedCogrouped(first, input, windows, behaviour)
  }

  get #first(): Part<K, unknown> {
    return this.#members[0]!.part
  }
}

/** As of a single stream, without `onLate`, which would not know what the record is. */
export type CogroupedByOptions = Pick<WindowedByOptions<unknown, unknown>, 'emit' | 'closeIdleAfter'>

/** From `windowedBy` of a cogroup. */
export class WindowedCogrouped<K, A> {
  readonly #first: Part<K, unknown>
  readonly #input: (name: string) => Part<K, Adder<A>>
  readonly #windows: TimeWindows | SlidingWindows
  readonly #behaviour: WindowBehaviour<K, Adder<A>>

  /** @internal */
  constructor(
    first: Part<K, unknown>,
    input: (name: string) => Part<K, Adder<A>>,
    windows: TimeWindows | SlidingWindows,
    behaviour: WindowBehaviour<K, Adder<A>>
  ) {
    this.#first = first
    this.#input = input
    this.#windows = windows
    this.#behaviour = behaviour
  }

  /**
   * One value per key and window, of all streams.
   * @example
   * const visits = t.stream(web).groupByKey().cogroup((n: number) => n + 1).and(t.stream(mobile).groupByKey(), (n) => n + 1)
   * visits.windowedBy(sliding('10m')).aggregate(() => 0, { name: 'visits-in-10m', value: long() })
   */
  aggregate(initial: () => A, options: WindowStoreOptions<A> = {}): Table<Windowed<K>, A> {
    const name = stateName(this.#first, 'cogroup', options.name)
    const next = cogroupStep<K, A>(initial)
    return addWindows(this.#input(name), 'cogroup', this.#windows, next, { ...options, name }, this.#behaviour)
  }
}

/** From `windowedBy(session(…))` of a cogroup. */
export class SessionCogrouped<K, A> {
  readonly #first: Part<K, unknown>
  readonly #input: (name: string) => Part<K, Adder<A>>
  readonly #windows: SessionWindows
  readonly #behaviour: WindowBehaviour<K, Adder<A>>

  /** @internal */
  constructor(
    first: Part<K, unknown>,
    input: (name: string) => Part<K, Adder<A>>,
    windows: SessionWindows,
    behaviour: WindowBehaviour<K, Adder<A>>
  ) {
    this.#first = first
    this.#input = input
    this.#windows = windows
    this.#behaviour = behaviour
  }

  /**
   * One value per key and session, of all streams.
   * @example
   * const visits = t.stream(web).groupByKey().cogroup((n: number) => n + 1).and(t.stream(mobile).groupByKey(), (n) => n + 1)
   * visits.windowedBy(session('30m')).aggregate(() => 0, { name: 'visits', value: long(), merge: (_, a, b) => a + b })
   */
  aggregate(initial: () => A, options: SessionOptions<K, A>): Table<Windowed<K>, A> {
    const { merge, ...rest } = options
    const name = stateName(this.#first, 'cogroup', options.name)
    const joined = (key: K, a: A | null, b: A): A => merge(key, a ?? initial(), b)
    const next = cogroupStep<K, A>(initial)
    return addSessions(this.#input(name), 'cogroup', this.#windows, next, joined, { ...rest, name }, this.#behaviour)
  }
}

/** A node for each stream, and one behind them all that the aggregation reads. */
function merged<K, A>(members: readonly Member<K, A>[], name: string, nulls: boolean): Part<K, Adder<A>> {
  const [{ part: first }] = members as [Member<K, A>]
  const { graph } = first
  const taken = (n: string): boolean => graph.hasName(n)
  const parents = members.map(({ part, add }) =>
    step(
      part,
      'cogroup',
      { name: deriveName(name, 'input', taken), keepsKey: true },
      () => new CogroupOperator(add, nulls)
    )
  )
  const node = deriveName(name, 'inputs', taken)
  graph.addProcessor({ name: node, parents, what: 'merge', create: () => new MergeOperator(), keepsKey: true })
  graph.copartition(name, parents)
  const key = keySerde(first, undefined, 'cogroup()') as Serde<K>
  return { graph, node, anchor: first.anchor, key, value: undefined, rekeyed: false }
}
