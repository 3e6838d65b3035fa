/** The topology as text for people. The form is a contract: tests and reviews compare it. */

import type { StoreSpec } from '../store/port.ts'
import type { BuiltTopology } from './built.ts'
import type { Node, SubTopology } from './node.ts'

/**
 * One block per sub-topology: what it reads, its stores with their changelogs, its nodes in order with arrows to their children,
 * and the internal topics it shares with others.
 */
export function describeTopology(built: BuiltTopology): string {
  const lines = [`Topology ${built.applicationId}`]
  const changelogs = new Map(built.internalTopics.changelogs.map((c) => [c.store.name, c.topic]))
  const internal = new Set(built.internalTopics.repartition.map((r) => r.topic))
  for (const sub of built.subtopologies) {
    lines.push('', `Sub-topology ${sub.id}  reads ${sub.sourceTopics.join(', ')}`)
    for (const store of sub.stores) lines.push(`  store ${storeLine(store, changelogs.get(store.name))}`)
    for (const node of sub.nodes) {
      lines.push(`  ${nodeLine(node, internal)}`)
      for (const child of childrenOf(node, sub)) lines.push(`    → ${child}`)
    }
  }
  for (const { node, topics } of built.copartitioned) {
    if (topics.length > 1) lines.push('', `Equal partition counts: ${topics.join(', ')}  (for ${node})`)
  }
  return `${lines.join('\n')}\n`
}

function nodeLine(node: Node, internal: ReadonlySet<string>): string {
  const mark = (topic: string): string => (internal.has(topic) ? `${topic} (internal)` : topic)
  const serdes = (n: { key: { name: string }; value: { name: string } }): string => `[${n.key.name}, ${n.value.name}]`
  if (node.kind === 'source') return `source ${node.name}  ← ${node.topics.map(mark).join(', ')} ${serdes(node)}`
  if (node.kind === 'sink') {
    return `sink ${node.name}  ⇒ ${typeof node.topic === 'string' ? mark(node.topic) : 'a topic chosen per record'} ${serdes(node)}`
  }
  return `node ${node.name}${node.stores.length > 0 ? `  (${node.stores.join(', ')})` : ''}`
}

function storeLine(store: StoreSpec, changelog: string | undefined): string {
  const kind = store.kind === 'window' ? `window ${store.windowMs} ms, kept ${store.retentionMs} ms` : 'key-value'
  return `${store.name}  ${kind} [${store.key.name}, ${store.value.name}], ${store.caching ? 'cached' : 'not cached'}, ${changelog ? `changelog ${changelog}` : 'no changelog'}`
}

const childrenOf = (node: Node, sub: SubTopology): string[] =>
  sub.nodes.filter((n) => n.kind !== 'source' && n.parents.includes(node.name)).map((n) => n.name)
