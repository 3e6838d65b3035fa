/** Builds the node of a processor of the user's, with the stores and tables that it may use. */
import { TopologyError } from '../errors.ts'
import { ProcessOperator } from '../operators/process.ts'
import type { TableAccess } from '../operators/tableFace.ts'
import type { MaybePromise } from '../store/port.ts'
import { callSite } from '../topology/names.ts'
import { nodeOf, type Part, step } from './part.ts'
import type { StoreDefinition } from './store.ts'
import type { NodeOptions } from './streamOptions.ts'

/** @internal @returns the name of the node */
export function processPart<K, V>(
  part: Part<K, V>,
  what: string,
  // biome-ignore lint/suspicious/noExplicitAny: the callers say it exactly
  processor: ((record: any, context: any) => MaybePromise<void>) | { create(): any },
  options: NodeOptions & { readonly stores?: readonly StoreDefinition<string, unknown>[] },
  keepsKey: boolean
): string {
  const { graph } = part
  const definitions = options.stores ?? []
  const stores = new Set<string>()
  const tables = new Map<string, TableAccess>()
  const partners: string[] = []
  const globals: string[] = []
  for (const { name, spec, beside, table, global } of definitions) {
    for (const own of [spec, beside]) {
      if (own === undefined) continue
      graph.shareStore(own)
      stores.add(own.name)
    }
    if (global !== undefined) globals.push(name)
    const other = table ?? global
    if (other !== undefined && other.graph !== graph) {
      throw new TopologyError(
        `${what} (${callSite()}) takes a table of another topology: build both from one topology().`
      )
    }
    if (table === undefined) continue
    const access = table.access()
    for (const store of access.stores) stores.add(store)
    tables.set(name, access)
    partners.push(table.node)
  }
  const create = typeof processor === 'function' ? () => ({ process: processor }) : () => processor.create()
  const living = definitions.filter(({ beside }) => beside).map(({ name }) => name)
  const parts = { ...nodeOf(options), stores: [...stores], globals, keepsKey }
  const node = step(part, what, parts, () => new ProcessOperator(create(), keepsKey, living, tables, globals))
  if (partners.length > 0) graph.copartition(node, [part.node, ...partners])
  return node
}
