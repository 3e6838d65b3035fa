/** Builds the join of two tables: a side below each, and the table that their results make. */
import { TopologyError } from '../errors.ts'
import type { SameCause } from '../operators/sameCause.ts'
import { TableRowsOperator } from '../operators/tableRows.ts'
import { type TableJoinPlan, TableTableJoinOperator } from '../operators/tableTableJoin.ts'
import type { TableView } from '../operators/tableView.ts'
import type { Serde } from '../record.ts'
import { isWindowed } from '../serde/windowed.ts'
import { callSite, deriveName } from '../topology/names.ts'
import { keySerde, type Part, valueSerde } from './part.ts'
import { specOf } from './store.ts'
import type { TableOptions } from './table.ts'

export interface TableJoinOptions<R> extends TableOptions {
  /** Serde of the results, where they are kept or written without one of their own. Default json(). */
  readonly value?: Serde<R>
}

/** What makes a Table. */
export interface TableParts<K, V> {
  readonly part: Part<K, V>
  readonly materialise: () => string
}

/** @internal A table whose rows can be seen without keeping them. */
interface SeenTable<K, V> extends TableParts<K, V> {
  readonly view: () => TableView<V>
}

/** @internal */
export function joinTables<K, V, V2, R>(
  leftTable: SeenTable<K, V>,
  rightTable: SeenTable<K, V2>,
  kind: TableJoinPlan<K>['kind'],
  joiner: TableJoinPlan<K>['joiner'],
  options: TableJoinOptions<R>
): TableParts<K, R> {
  const left = leftTable.part
  const right = rightTable.part
  const { graph } = left
  if (right.graph !== graph) {
    throw new TopologyError(
      `${kind} (${callSite()}) takes a table of another topology: build both from one topology().`
    )
  }
  const key = keySerde(left, undefined, kind)
  const stores = { left: leftTable.materialise(), right: rightTable.materialise() }
  const views = isWindowed(key as Serde<unknown>) ? undefined : { left: leftTable.view(), right: rightTable.view() }
  const name = options.name ?? deriveName(left.anchor, kind, (n) => graph.hasName(n))
  // A table's rows come out of the node that has the name of their store: only behind it do changes say what was before.
  const common = graph.upstream(stores.left).some((node) => graph.upstream(stores.right).includes(node))
  const causes = common ? new WeakMap<object, SameCause>() : undefined
  const values = { left: valueSerde(left, undefined), right: valueSerde(right, undefined) }
  const plan = { key, kind, ...stores, views, values, joiner, causes } as TableJoinPlan<K>
  const used = [...new Set([stores.left, stores.right, ...(views?.left.stores ?? []), ...(views?.right.stores ?? [])])]
  for (const side of ['left', 'right'] as const) {
    graph.addProcessor({
      name: `${name}-${side}-side`,
      parents: [stores[side]],
      stores: used,
      what: `${kind}, ${side} side`,
      create: () => new TableTableJoinOperator(plan, side === 'left'),
      keepsKey: true
    })
  }
  const parts = resultTable<K, R>(left, name, [`${name}-left-side`, `${name}-right-side`], kind, key, options)
  graph.copartition(name, [stores.left, stores.right])
  return parts
}

/** @internal The node that results come out of. It keeps them when it has a name of the user's, or somebody asks for the rows. */
export function resultTable<K, R>(
  from: Part<K, unknown>,
  name: string,
  parents: readonly string[],
  what: string,
  key: Serde<K>,
  options: TableJoinOptions<R>
): TableParts<K, R> {
  const { graph } = from
  let store: string | undefined
  const create = (): TableRowsOperator<K, R> => new TableRowsOperator<K, R>(() => store, key)
  graph.addProcessor({ name, parents, what, create, keepsKey: true })
  const anchor = options.name ?? from.anchor
  const part: Part<K, R> = { graph, node: name, anchor, key, value: options.value, rekeyed: false }
  const materialise = (): string => {
    if (store !== undefined) return store
    store = name
    if (options.name === undefined) graph.unnamed(name)
    const { caching = true, logged, topicConfig } = options
    const value = valueSerde(part, undefined)
    graph.addStore(specOf({ name, kind: 'keyValue', key, value, caching, logged, topicConfig }), name)
    return store
  }
  if (options.name !== undefined) materialise()
  return { part, materialise }
}
