/** Cuts a graph into its connected parts: nodes that are joined by an edge or by a shared store belong together. */
import type { Node } from './node.ts'

/** The parts in order of discovery; nodes keep their order, which is a topological one (parents are always added first). */
export function connectedParts(nodes: readonly Node[]): Node[][] {
  const leader = new Map<string, string>()
  const find = (name: string): string => {
    let at = name
    while (leader.get(at) !== at) at = leader.get(at)!
    leader.set(name, at)
    return at
  }
  // Node and store names are told apart by a prefix: a store usually has the name of its node.
  const join = (a: string, b: string): void => {
    for (const name of [a, b]) if (!leader.has(name)) leader.set(name, name)
    leader.set(find(b), find(a))
  }
  for (const node of nodes) {
    join(`n:${node.name}`, `n:${node.name}`)
    if (node.kind === 'source') continue
    for (const parent of node.parents) join(`n:${parent}`, `n:${node.name}`)
    if (node.kind === 'processor') for (const store of node.stores) join(`n:${node.name}`, `s:${store}`)
  }
  const parts = new Map<string, Node[]>()
  for (const node of nodes) {
    const root = find(`n:${node.name}`)
    const part = parts.get(root)
    if (part) part.push(node)
    else parts.set(root, [node])
  }
  return [...parts.values()]
}
