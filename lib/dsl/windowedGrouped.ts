/** Grouped and windowed streams: one running value per key and window. */
import { TopologyError } from '../errors.ts'
import type { Step } from '../operators/aggregate.ts'
import type { WindowBehaviour } from '../operators/behaviour.ts'
import type { OnLate } from '../operators/late.ts'
import { bucketWidth, SlidingAggregateOperator, slidingRetention } from '../operators/slidingAggregate.ts'
import { slotsSerde } from '../operators/slidingRow.ts'
import { WindowedAggregateOperator } from '../operators/windowedAggregate.ts'
import type { SessionWindows, SlidingWindows, TimeWindows } from '../operators/windows.ts'
import type { Serde, StreamRecord } from '../record.ts'
import { json } from '../serde/json.ts'
import { long } from '../serde/numbers.ts'
import { type Windowed, windowedBySize } from '../serde/windowed.ts'
import type { Duration } from '../time.ts'
import { callSite } from '../topology/names.ts'
import { aggregateStep, countStep, inherited, reduceStep, type StoreOptions } from './grouped.ts'
import { keySerde, type Part, stateName, step } from './part.ts'
import { specOf } from './store.ts'
import { Table } from './table.ts'
import { checkRetention, idleOf } from './windows.ts'

export interface WindowStoreOptions<A> extends StoreOptions<A> {
  /** How long after its start a window is kept, in stream time. At least, and by default, size + grace. */
  readonly retention?: Duration
}

/** What becomes of the windows, beside their values. */
export interface WindowedByOptions<K, V> extends Omit<WindowBehaviour<K, V>, 'idleMs'> {
  /**
   * 'update' (default): each change of a window goes on, once per commit with a cache. 'close': each window goes on once, when stream time has
   * passed its end by the grace and it takes no more records, with the headers of the record that moved stream time.
   */
  readonly emit?: 'update' | 'close' | undefined
  /**
   * While a task gets no record for so long, at least 100 ms, time goes on as the wall clock does: windows close (also for a `suppress` until close
   * behind them) and what comes for them later is late. Looked at each time so much has passed. Default: windows close by records only.
   */
  readonly closeIdleAfter?: Duration | undefined
  /** Called for each record that a closed window refuses, with the window and how late it is. The record is counted as dropped all the same. */
  readonly onLate?: OnLate<K, V> | undefined
}

/**
 * From `windowedBy`. A record counts in a window as long as stream time has not passed the window's end by the grace; later it is dropped
 * as 'late'. Null values are not dropped by windows of time: they reach your function. Sliding windows drop them.
 */
export class WindowedGrouped<K, V> {
  readonly #part: Part<K, V>
  readonly #windows: TimeWindows | SlidingWindows
  readonly #behaviour: WindowBehaviour<K, V>

  /** @internal */
  constructor(part: Part<K, V>, windows: TimeWindows | SlidingWindows, behaviour: WindowBehaviour<K, V>) {
    this.#part = part
    this.#windows = windows
    this.#behaviour = behaviour
  }

  /**
   * How many records each key has had in each window.
   * @example grouped.windowedBy(tumbling('1d', { grace: '12h' })).count({ name: 'flights-per-day' })
   */
  count(options: WindowStoreOptions<number> = {}): Table<Windowed<K>, number> {
    return this.#aggregate('count', countStep, { value: long(), ...options })
  }

  /**
   * One value per key and window: the first as it is, then what the function makes of it and the next.
   * @example grouped.windowedBy(sliding('1h')).reduce((a, b) => (b.delay > a.delay ? b : a), { name: 'latest-in-an-hour' })
   */
  reduce(
    combine: (reduced: NonNullable<V>, value: V, record: StreamRecord<K, V>) => NonNullable<V>,
    options: WindowStoreOptions<NonNullable<V>> = {}
  ): Table<Windowed<K>, NonNullable<V>> {
    return this.#aggregate('reduce', reduceStep(combine), { ...inherited(this.#part), ...options })
  }

  /**
   * A value of another type per key and window.
   * @param initial the value before the first record of a window
   * @param add gives the next value, without changing the present one; null deletes the window's row
   * @example grouped.windowedBy(hopping('1h', { advance: '5m' })).aggregate(() => 0, (sum, flight) => sum + flight.delay, { name: 'delays', value: long() })
   */
  aggregate<A>(
    initial: () => A,
    add: (aggregate: A, value: V, record: StreamRecord<K, V>) => A | null,
    options: WindowStoreOptions<A> = {}
  ): Table<Windowed<K>, A> {
    return this.#aggregate('aggregate', aggregateStep(initial, add), options)
  }

  /** @throws TopologyError ERR_TOPOLOGY_WINDOW when the retention is below what the windows need */
  #aggregate<A>(what: string, next: Step<K, V, A>, options: WindowStoreOptions<A>): Table<Windowed<K>, A> {
    return addWindows(this.#part, what, this.#windows, next, options, this.#behaviour)
  }
}

/** @internal @throws TopologyError ERR_TOPOLOGY_WINDOW when the windows never close and something shall happen then */
export function behaviourOf<K, V>(
  windows: TimeWindows | SlidingWindows | SessionWindows,
  options: WindowedByOptions<K, V>
): WindowBehaviour<K, V> {
  const { emit, onLate } = options
  const idleMs = idleOf(`windowedBy (${callSite()})`, options)
  if ('origin' in windows && (emit === 'close' || idleMs !== undefined)) {
    throw new TopologyError(
      `windowedBy (${callSite()}) shall emit the unlimited window when it closes, which it never does. Leave emit and closeIdleAfter out, or use other windows.`,
      { code: 'ERR_TOPOLOGY_WINDOW' }
    )
  }
  return { emit, onLate, idleMs }
}

/** @internal The store and node of a windowed aggregation, and the table that comes out. */
export function addWindows<K, V, A>(
  part: Part<K, V>,
  what: string,
  windows: TimeWindows | SlidingWindows,
  next: Step<K, V, A>,
  options: WindowStoreOptions<A>,
  behaviour: WindowBehaviour<K, V>
): Table<Windowed<K>, A> {
  const key = keySerde(part, undefined, `${what}()`)
  const { value = json<A>(), caching = true, logged, topicConfig } = options
  const name = stateName(part, what, options.name)
  const store = { name, kind: 'window' as const, key, caching, logged, topicConfig }
  let windowedKey: Serde<Windowed<K>>
  if ('difference' in windows) {
    const { difference, grace } = windows
    const least = 2 * difference + grace
    const asked = checkRetention(name, options.retention ?? least, least, '2 × time difference + grace')
    const retentionMs = Math.max(asked, slidingRetention(windows))
    part.graph.addStore(specOf({ ...store, value: slotsSerde(value), windowMs: bucketWidth(windows), retentionMs }))
    step(part, what, { name, stores: [name] }, () => new SlidingAggregateOperator(name, key, windows, next, behaviour))
    windowedKey = windowedBySize(key, difference)
  } else {
    const { size, grace, origin } = windows
    const least = size + grace
    const kept =
      origin === undefined
        ? { retentionMs: checkRetention(name, options.retention ?? least, least, 'size + grace') }
        : {}
    part.graph.addStore(specOf({ ...store, value, windowMs: size, ...kept }))
    step(part, what, { name, stores: [name] }, () => new WindowedAggregateOperator(name, key, windows, next, behaviour))
    windowedKey = windowedBySize(key, size)
  }
  const closesAfter = 'difference' in windows ? windows.grace + 1 : windows.grace
  const { idleMs } = behaviour
  const result = { ...part, node: name, anchor: name, key: windowedKey, value, rekeyed: false, closesAfter, idleMs }
  return new Table(result, () => name)
}
