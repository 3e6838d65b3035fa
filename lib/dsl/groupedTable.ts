/** Grouped tables: one running value per group of rows, right at any moment for the rows as they are. */
import { type ChangeStep, TableAggregateOperator } from '../operators/tableAggregate.ts'
import type { Serde } from '../record.ts'
import { json } from '../serde/json.ts'
import { long } from '../serde/numbers.ts'
import type { Change } from '../topology/node.ts'
import type { KeyValueOptions } from './grouped.ts'
import { keySerde, type Part, stateName, step } from './part.ts'
import { addKeyValue } from './store.ts'
import { Table } from './table.ts'

/**
 * From `groupBy` on a table. A row that changes is first taken off the group it was in, with the value it had, then put on the group it
 * is in now: the functions must undo each other.
 */
export class GroupedTable<K, V> {
  readonly #part: Part<K, Change<V>>
  readonly #value: Serde<V>

  /** @internal @param part the changes, behind their repartition topic */
  constructor(part: Part<K, Change<V>>, value: Serde<V>) {
    this.#part = part
    this.#value = value
  }

  /**
   * How many rows each group has now. A group that has lost all its rows stands at 0.
   * @example t.table(airports).groupBy((a) => [a.state, a.name] as const, { key: string() }).count({ name: 'airports-per-state' })
   */
  count(options: KeyValueOptions<number> = {}): Table<K, number> {
    const counted: ChangeStep<K, V, number> = (count, { value, old }) => {
      const rest = old !== null && count !== null ? count - 1 : count
      return value === null ? rest : (rest ?? 0) + 1
    }
    return this.#aggregate('count', counted, { value: long(), ...options })
  }

  /**
   * One value per group: that of its first row as it is, then what the functions make of it.
   * @param add puts a row's value on
   * @param subtract takes a row's former value off
   * @example
   * const open = t.table(airports).groupBy((a) => [a.state, a.open ? 1 : 0] as const, { key: string(), value: int() })
   * open.reduce((total, one) => total + one, (total, one) => total - one, { name: 'open-airports' })
   */
  reduce(
    add: (reduced: V, value: V, key: K) => V,
    subtract: (reduced: V, old: V, key: K) => V,
    options: KeyValueOptions<V> = {}
  ): Table<K, V> {
    const reduced: ChangeStep<K, V, V> = (present, { value, old }, record) => {
      const rest = old !== null && present !== null ? (subtract(present, old, record.key) ?? null) : present
      if (value === null) return rest
      return rest === null ? value : add(rest, value, record.key)
    }
    return this.#aggregate('reduce', reduced, { value: this.#value, ...options })
  }

  /**
   * A value of another type per group.
   * @param initial the value before the first row
   * @param add puts a row's value on, without changing the present aggregate; null deletes the group
   * @param subtract takes a row's former value off; null deletes the group
   * @example
   * const names = t.table(airports).groupBy((a) => [a.state, a.name] as const, { key: string(), value: string() })
   * names.aggregate<string[]>(() => [], (all, name) => [...all, name], (all, name) => all.filter((n) => n !== name), { name: 'names' })
   */
  aggregate<A>(
    initial: () => A,
    add: (aggregate: A, value: V, key: K) => A | null,
    subtract: (aggregate: A, old: V, key: K) => A | null,
    options: KeyValueOptions<A> = {}
  ): Table<K, A> {
    const aggregated: ChangeStep<K, V, A> = (present, { value, old }, record) => {
      const rest = old !== null && present !== null ? (subtract(present, old, record.key) ?? null) : present
      return value === null ? rest : add(rest ?? initial(), value, record.key)
    }
    return this.#aggregate('aggregate', aggregated, options)
  }

  #aggregate<A>(what: string, next: ChangeStep<K, V, A>, options: KeyValueOptions<A>): Table<K, A> {
    const part = this.#part
    const key = keySerde(part, undefined, `${what}()`)
    const { value = json<A>(), caching = true, logged, topicConfig } = options
    const name = stateName(part, what, options.name)
    const stores = addKeyValue(part.graph, { name, key, value, caching, logged, topicConfig }, options.ttl)
    step(part, what, { name, stores, keepsKey: true }, () => new TableAggregateOperator(name, key, next))
    return new Table<K, A>({ ...part, node: name, anchor: name, key, value, rekeyed: false }, () => name)
  }
}
