/** Global tables: all rows of a topic in every process, to be looked up by any key. */
import { TopologyError } from '../errors.ts'
import { GlobalJoinOperator, type GlobalJoinPlan } from '../operators/globalJoin.ts'
import { TableGlobalJoinOperator, type TableGlobalPlan } from '../operators/tableGlobalJoin.ts'
import type { StreamRecord } from '../record.ts'
import type { ReadableStore, StoreSpec } from '../store/port.ts'
import type { Topology } from '../topology/graph.ts'
import { callSite, deriveName } from '../topology/names.ts'
import { keySerde, type Part, step } from './part.ts'
import type { StoreDefinition } from './store.ts'
import type { NodeOptions, SerdeOptions } from './streamOptions.ts'
import { resultTable, type TableJoinOptions, type TableParts } from './tableJoin.ts'

/**
 * Made by `globalTable`. Joined with streams and tables by a key that they choose; given to `process` as one of its `stores`, a processor may read it.
 */
export class GlobalTable<K, V, N extends string = string> implements StoreDefinition<N, ReadableStore<K, V>> {
  readonly name: N
  /** @internal */
  readonly global: { readonly graph: Topology; readonly spec: StoreSpec<K, V> }
  /** @internal Types only. */
  declare readonly _face?: ReadableStore<K, V>

  /** @internal */
  constructor(graph: Topology, spec: StoreSpec<K, V>) {
    this.name = spec.name as N
    this.global = { graph, spec }
  }
}

export interface GlobalJoinOptions<K, V, G, V2> extends NodeOptions {
  /** The global table's key that a record points to; null: none. */
  readonly on: (record: StreamRecord<K, V>) => G | null
  /** Serde of the results, where they are written without one of their own. */
  readonly result?: SerdeOptions<K, V2>['value']
}

export interface TableGlobalJoinOptions<K, V, G, R> extends TableJoinOptions<R> {
  /** The global table's key that a row points to; null: none. */
  readonly on: (value: V, key: K) => G | null
}

/** @internal The join of a stream. */
export function joinGlobal<K, V, G, T, V2>(
  stream: Part<K, V>,
  table: GlobalTable<G, T>,
  left: boolean,
  joiner: GlobalJoinPlan<K, V, G, T, V2>['joiner'],
  options: GlobalJoinOptions<K, V, G, V2>
): Part<K, V2> {
  const what = left ? 'leftJoin' : 'join'
  check(stream, table, what, options)
  const plan = { table: table.name, key: table.global.spec.key, left, on: options.on, joiner }
  const node = { name: options.name, globals: [table.name], keepsKey: true, supervise: options.supervise }
  const name = step(stream, what, node, () => new GlobalJoinOperator(plan))
  return { ...stream, node: name, value: options.result }
}

/** @internal The join of a table. */
export function joinTableGlobal<K, V, G, T, R>(
  from: Part<K, V>,
  table: GlobalTable<G, T>,
  left: boolean,
  joiner: TableGlobalPlan<K, V, G, T, R>['joiner'],
  options: TableGlobalJoinOptions<K, V, G, R>
): TableParts<K, R> {
  const what = left ? 'leftJoin' : 'join'
  check(from, table, what, options)
  const plan = { table: table.name, key: table.global.spec.key, left, on: options.on, joiner }
  const { graph, anchor } = from
  const name = options.name ?? deriveName(anchor, what, (n) => graph.hasName(n))
  const side = `${name}-left-side`
  graph.addProcessor({
    name: side,
    parents: [from.node],
    globals: [table.name],
    what: `${what}, left side`,
    create: () => new TableGlobalJoinOperator(plan),
    keepsKey: true
  })
  return resultTable<K, R>(from, name, [side], what, keySerde(from, undefined, what), options)
}

function check(
  { graph }: Part<unknown, unknown>,
  table: Pick<GlobalTable<never, never>, 'name'> & { readonly global: { readonly graph: Topology } },
  what: string,
  options: { readonly on?: unknown } | undefined
): void {
  if (table.global.graph !== graph) {
    throw new TopologyError(
      `${what} (${callSite()}) takes a global table of another topology: build both from one topology().`
    )
  }
  if (typeof options?.on !== 'function') {
    throw new TopologyError(
      `${what} (${callSite()}) with the global table "${table.name}" needs to know where to look: { on: (record) => record.key }.`
    )
  }
}
