/** Grouped streams by session: one running value per key and session. */

import type { Step } from '../operators/aggregate.ts'
import type { WindowBehaviour } from '../operators/behaviour.ts'
import { type Merge, SessionAggregateOperator } from '../operators/sessionAggregate.ts'
import { sessionsSerde } from '../operators/sessionRow.ts'
import type { SessionWindows } from '../operators/windows.ts'
import type { StreamRecord } from '../record.ts'
import { json } from '../serde/json.ts'
import { long } from '../serde/numbers.ts'
import { sessionWindowed, type Windowed } from '../serde/windowed.ts'
import { aggregateStep, countStep, inherited, reduceStep, type StoreOptions } from './grouped.ts'
import { keySerde, type Part, stateName, step } from './part.ts'
import { specOf } from './store.ts'
import { Table } from './table.ts'

export interface SessionOptions<K, A> extends StoreOptions<A> {
  /** The value of two sessions that become one, without changing them. The first is `initial()` at the begin, then what came of the sessions so far. */
  readonly merge: (key: K, a: A, b: A) => A
}

/**
 * From `windowedBy(session(…))`. A session that grows or is merged goes downstream as a deletion of what it was and a row of what it is; its
 * time is its end. A record is dropped as 'late' when all it could become has ended longer ago than gap and grace. Null values are not
 * dropped here: they reach your function.
 */
export class SessionGrouped<K, V> {
  readonly #part: Part<K, V>
  readonly #windows: SessionWindows
  readonly #behaviour: WindowBehaviour<K, V>

  /** @internal */
  constructor(part: Part<K, V>, windows: SessionWindows, behaviour: WindowBehaviour<K, V>) {
    this.#part = part
    this.#windows = windows
    this.#behaviour = behaviour
  }

  /**
   * How many records each session has.
   * @example grouped.windowedBy(session('30m')).count({ name: 'flights-in-a-row' })
   */
  count(options: StoreOptions<number> = {}): Table<Windowed<K>, number> {
    return this.#aggregate('count', countStep, (_, a, b) => (a ?? 0) + b, { value: long(), ...options })
  }

  /**
   * One value per session: the first as it is, then what the function makes of it and the next. Sessions that become one are combined with the
   * same function, which then has no record.
   * @example grouped.windowedBy(session('30m')).reduce((a, b) => (b.delay > a.delay ? b : a), { name: 'latest-in-a-row' })
   */
  reduce(
    combine: (reduced: NonNullable<V>, value: V, record: StreamRecord<K, V> | undefined) => NonNullable<V>,
    options: StoreOptions<NonNullable<V>> = {}
  ): Table<Windowed<K>, NonNullable<V>> {
    const merge: Merge<K, NonNullable<V>> = (_, a, b) => (a === null ? b : combine(a, b, undefined))
    return this.#aggregate('reduce', reduceStep(combine), merge, { ...inherited(this.#part), ...options })
  }

  /**
   * A value of another type per session.
   * @param initial the value before the first record
   * @param add gives the next value, without changing the present one; null deletes the session
   * @example
   * grouped.windowedBy(session('30m')).aggregate(() => 0, (miles, flight) => miles + flight.distance, {
   *   name: 'miles', value: long(), merge: (_, a, b) => a + b
   * })
   */
  aggregate<A>(
    initial: () => A,
    add: (aggregate: A, value: V, record: StreamRecord<K, V>) => A | null,
    options: SessionOptions<K, A>
  ): Table<Windowed<K>, A> {
    const { merge, ...rest } = options
    const joined: Merge<K, A> = (key, a, b) => merge(key, a ?? initial(), b)
    return this.#aggregate('aggregate', aggregateStep(initial, add), joined, rest)
  }

  #aggregate<A>(
    what: string,
    next: Step<K, V, A>,
    merge: Merge<K, A>,
    options: StoreOptions<A>
  ): Table<Windowed<K>, A> {
    return addSessions(this.#part, what, this.#windows, next, merge, options, this.#behaviour)
  }
}

/** @internal The store and node of an aggregation by session, and the table that comes out. */
export function addSessions<K, V, A>(
  part: Part<K, V>,
  what: string,
  windows: SessionWindows,
  next: Step<K, V, A>,
  merge: Merge<K, A>,
  options: StoreOptions<A>,
  behaviour: WindowBehaviour<K, V>
): Table<Windowed<K>, A> {
  const key = keySerde(part, undefined, `${what}()`)
  const { value = json<A>(), caching = true, logged, topicConfig } = options
  const name = stateName(part, what, options.name)
  part.graph.addStore(specOf({ name, kind: 'session', key, value: sessionsSerde(value), caching, logged, topicConfig }))
  const create = (): SessionAggregateOperator<K, V, A> =>
    new SessionAggregateOperator(name, key, windows, next, merge, behaviour)
  step(part, what, { name, stores: [name] }, create)
  const result = {
    ...part,
    node: name,
    anchor: name,
    key: sessionWindowed(key),
    value,
    rekeyed: false,
    closesAfter: windows.gap + windows.grace + 1,
    idleMs: behaviour.idleMs
  }
  return new Table<Windowed<K>, A>(result, () => name)
}
