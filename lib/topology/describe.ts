/** The topology as text for people. The form is a contract: tests and reviews compare it. */

import type { StoreSpec } from '../store/port.ts'
import { describeRules } from '../supervise/rules.ts'
import type { BuiltTopology } from './built.ts'
import type { Node, ProcessorNode, SubTopology } from './node.ts'

/**
 * One block per sub-topology: its stores with their changelogs, then a tree from each topic it reads to the topics it writes. Internal
 * topics name the sub-topology at their other end. A node with several parents stands below the first, and is named below the others.
 */
export function describeTopology(built: BuiltTopology): string {
  const { subtopologies: subs, copartitioned } = built
  const lines = [
    `Topology ${built.applicationId}: ${subs.length === 1 ? '1 sub-topology' : `${subs.length} sub-topologies`}`
  ]
  for (const sub of subs) {
    const tasks = sub.sourceTopics.length > 1 ? `the largest of ${sub.sourceTopics.length} topics` : sub.sourceTopics[0]
    lines.push('', `Sub-topology ${sub.id}, a task for each partition of ${tasks}`)
    for (const store of sub.stores) lines.push(`  ${storeLine(store, built)}`)
    if (sub.supervise) lines.push(`  on ${describeRules(sub.supervise).replaceAll('\n', '; ')}`)
    const shown = new Set<string>()
    for (const node of sub.nodes) if (node.kind === 'source') tree(node, sub, built, shown, '  ', '  ', lines)
  }
  if (built.globals.length > 0) lines.push('')
  for (const { topic, store } of built.globals) {
    lines.push(
      `Global table ${store.name}: from topic ${topic} [${store.key.name}, ${store.value.name}], whole in each process`
    )
  }
  const together = copartitioned.filter(({ topics }) => topics.length > 1)
  if (together.length > 0) lines.push('')
  for (const { node, topics } of together) lines.push(`Equal partition counts: ${topics.join(', ')} (for ${node})`)
  return `${lines.join('\n')}\n`
}

/** @param first in front of the node's own line, `rest` in front of those below it */
function tree(
  node: Node,
  sub: SubTopology,
  built: BuiltTopology,
  shown: Set<string>,
  first: string,
  rest: string,
  lines: string[]
): void {
  if (shown.has(node.name)) {
    lines.push(`${first}${node.name}, see above`)
    return
  }
  shown.add(node.name)
  lines.push(`${first}${nodeText(node, built)}`)
  const children = sub.nodes.filter((n) => n.kind !== 'source' && n.parents.includes(node.name))
  for (const [i, child] of children.entries()) {
    const last = i === children.length - 1
    tree(child, sub, built, shown, `${rest}${last ? '└ ' : '├ '}`, `${rest}${last ? '  ' : '│ '}`, lines)
  }
}

function nodeText(node: Node, built: BuiltTopology): string {
  const serdes = (n: { key: { name: string }; value: { name: string } }): string => `[${n.key.name}, ${n.value.name}]`
  if (node.kind === 'source') {
    const topics = node.topics.map((topic) => topic + otherEnd(topic, 'sink', 'from', built))
    return `${node.name}: from ${topics.join(', ')} ${serdes(node)}`
  }
  const rules = node.supervise?.length ? `, on ${describeRules(node.supervise).replaceAll('\n', '; ')}` : ''
  if (node.kind === 'processor') return processorText(node) + rules
  if (typeof node.topic !== 'string') return `${node.name}: to a topic chosen per record ${serdes(node)}${rules}`
  return `${node.name}: to ${node.topic}${otherEnd(node.topic, 'source', 'to', built)} ${serdes(node)}${rules}`
}

/** What it does stands behind names that do not say it. */
function processorText({ name, what, stores, globals = [] }: ProcessorNode): string {
  const says = what === undefined || name.split('-').some((part) => part === what)
  const using = stores.length > 0 ? ` (${stores.length > 1 ? 'stores' : 'store'} ${stores.join(', ')})` : ''
  const reading = globals.length > 0 ? ` (global ${globals.length > 1 ? 'tables' : 'table'} ${globals.join(', ')})` : ''
  return `${name}${says ? '' : `: ${what}`}${using}${reading}`
}

/** For an internal topic: which sub-topologies write or read it. */
function otherEnd(topic: string, kind: 'source' | 'sink', word: string, built: BuiltTopology): string {
  if (!built.internalTopics.repartition.some((r) => r.topic === topic)) return ''
  const ends = built.subtopologies.filter((sub) =>
    sub.nodes.some((n) => n.kind === kind && (n.kind === 'source' ? n.topics.includes(topic) : n.topic === topic))
  )
  return ` (internal, ${word} sub-topology ${ends.map((sub) => sub.id).join(', ')})`
}

function storeLine(store: StoreSpec, built: BuiltTopology): string {
  const changelog = built.internalTopics.changelogs.find((c) => c.store.name === store.name)?.topic
  const kind =
    store.kind === 'window'
      ? `windows of ${duration(store.windowMs!)}, kept ${duration(store.retentionMs ?? Number.POSITIVE_INFINITY)} from their start`
      : store.kind === 'keyValue'
        ? 'key-value'
        : { session: 'sessions', buffer: 'what waits', join: 'what a join has seen' }[store.kind]
  const caching = store.caching ? 'cached' : 'not cached'
  const rows = built.subtopologies.flatMap((sub) => sub.stores).find((it) => it.index?.store === store.name)
  const kept = changelog ? `changelog ${changelog}` : rows?.logged ? `restored from ${rows.name}` : 'no changelog'
  return `store ${store.name}: ${kind} [${store.key.name}, ${store.value.name}], ${caching}, ${kept}`
}

/** The largest unit that gives a whole number. */
function duration(ms: number): string {
  if (ms === Number.POSITIVE_INFINITY) return 'ever'
  const units = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 }
  for (const [unit, size] of Object.entries(units)) if (ms >= size && ms % size === 0) return `${ms / size}${unit}`
  return `${ms} ms`
}
