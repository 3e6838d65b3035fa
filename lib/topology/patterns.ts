/** Sources that read every topic whose name matches: until the topics are known, `/pattern/` stands for them wherever a topic would. */
import { TopologyError } from '../errors.ts'
import type { BuiltTopology } from './built.ts'
import type { SourceNode } from './node.ts'

/** What stands for the topics of a pattern; no topic's name has a slash. */
export const patternLabel = (pattern: RegExp): string => `/${pattern.source}/${pattern.flags.replace(/[gy]/g, '')}`

export const isPatternLabel = (topic: string): boolean => topic.startsWith('/')

/** The whole name must match, as in Kafka Streams; the broker's own topics never do. */
export function matcher(pattern: RegExp): (topic: string) => boolean {
  const whole = new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gy]/g, ''))
  return (topic) => !topic.startsWith('__') && whole.test(topic)
}

/** Sources by pattern, in the order of the topology. */
export const patternSources = (built: BuiltTopology): SourceNode[] =>
  built.subtopologies.flatMap((sub) =>
    sub.nodes.filter((node): node is SourceNode => node.kind === 'source' && node.pattern !== undefined)
  )

/**
 * The topology with the topics that exist in place of its patterns. Internal topics of the job never match.
 * @throws TopologyError ERR_TOPOLOGY_SOURCE when a topic matches two patterns, or one that is read by its name
 */
export function bindPatterns(built: BuiltTopology, existing: Iterable<string>): BuiltTopology {
  const sources = patternSources(built)
  if (sources.length === 0) return built
  const { repartition, changelogs } = built.internalTopics
  const own = new Set([...repartition, ...changelogs].map(({ topic }) => topic))
  const internal = (topic: string): boolean =>
    own.has(topic) || (topic.startsWith(`${built.applicationId}-`) && /-(changelog|repartition)$/.test(topic))
  const reader = new Map<string, string>() // topic → its source
  for (const { nodes } of built.subtopologies) {
    for (const node of nodes) {
      if (node.kind === 'source' && node.pattern === undefined)
        for (const topic of node.topics) reader.set(topic, node.name)
    }
  }
  const bound = new Map<string, string[]>()
  const names = [...existing].filter((topic) => !internal(topic)).sort()
  for (const { name, pattern } of sources) {
    const matched = names.filter(matcher(pattern!))
    for (const topic of matched) {
      const other = reader.get(topic)
      if (other !== undefined) {
        throw new TopologyError(
          `Topic "${topic}" matches ${patternLabel(pattern!)} of source "${name}", but is read by source "${other}" too: a topic has one source. Make the pattern narrower.`,
          { code: 'ERR_TOPOLOGY_SOURCE', details: { topic } }
        )
      }
      reader.set(topic, name)
    }
    bound.set(patternLabel(pattern!), matched)
  }
  const resolve = (topics: readonly string[]): string[] => topics.flatMap((topic) => bound.get(topic) ?? [topic])
  return {
    ...built,
    subtopologies: built.subtopologies.map((sub) => ({
      ...sub,
      sourceTopics: resolve(sub.sourceTopics),
      nodes: sub.nodes.map((node) => (node.kind === 'source' ? { ...node, topics: resolve(node.topics) } : node))
    })),
    internalTopics: {
      changelogs,
      repartition: repartition.map((topic) => ({ ...topic, upstream: resolve(topic.upstream) }))
    }
  }
}
