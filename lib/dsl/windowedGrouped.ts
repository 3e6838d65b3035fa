/** Grouped and windowed streams: one running value per key and window. */
import type { Step } from '../operators/aggregate.ts'
import { WindowedAggregateOperator } from '../operators/windowedAggregate.ts'
import type { TimeWindows } from '../operators/windows.ts'
import type { StreamRecord } from '../record.ts'
import { json } from '../serde/json.ts'
import { long } from '../serde/numbers.ts'
import { type Windowed, windowed } from '../serde/windowed.ts'
import type { Duration } from '../time.ts'
import { aggregateStep, countStep, inherited, reduceStep, type StoreOptions } from './grouped.ts'
import { keySerde, type Part, stateName, step } from './part.ts'
import { specOf } from './store.ts'
import { Table } from './table.ts'
import { checkRetention } from './windows.ts'

export interface WindowStoreOptions<A> extends StoreOptions<A> {
  /** How long after its start a window is kept, in stream time. At least, and by default, size + grace. */
  readonly retention?: Duration
}

/**
 * From `windowedBy`. A record counts in a window as long as stream time has not passed the window's end by the grace; later it is dropped
 * as 'late'. Null values are not dropped here: they reach your function.
 */
export class WindowedGrouped<K, V> {
  readonly #part: Part<K, V>
  readonly #windows: TimeWindows

  /** @internal */
  constructor(part: Part<K, V>, windows: TimeWindows) {
    this.#part = part
    this.#windows = windows
  }

  /** How many records each key has had in each window. */
  count(options: WindowStoreOptions<number> = {}): Table<Windowed<K>, number> {
    return this.#aggregate('count', countStep, { value: long(), ...options })
  }

  /** One value per key and window: the first as it is, then what the function makes of it and the next. */
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
   */
  aggregate<A>(
    initial: () => A,
    add: (aggregate: A, value: V, record: StreamRecord<K, V>) => A | null,
    options: WindowStoreOptions<A> = {}
  ): Table<Windowed<K>, A> {
    return this.#aggregate('aggregate', aggregateStep(initial, add), options)
  }

  /** @throws TopologyError ERR_TOPOLOGY_WINDOW when the retention is below size + grace */
  #aggregate<A>(what: string, next: Step<K, V, A>, options: WindowStoreOptions<A>): Table<Windowed<K>, A> {
    const part = this.#part
    const windows = this.#windows
    const { size, grace } = windows
    const key = keySerde(part, undefined, `${what}()`)
    const { value = json<A>(), caching = true, logged, topicConfig } = options
    const name = stateName(part, what, options.name)
    const retentionMs = checkRetention(name, options.retention ?? size + grace, size + grace, 'size + grace')
    const kind = 'window' as const
    part.graph.addStore(specOf({ name, kind, key, value, caching, logged, topicConfig, windowMs: size, retentionMs }))
    step(part, what, { name, stores: [name] }, () => new WindowedAggregateOperator(name, key, windows, next))
    const windowedKey = windowed(key, size)
    return new Table({ ...part, node: name, anchor: name, key: windowedKey, value, rekeyed: false }, () => name)
  }
}
