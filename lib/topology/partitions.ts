/** How many tasks and internal partitions there are: from the counts of the topics that exist, or an error that names what is wrong. */
import { changelogSpec, repartitionConfig } from '../changelog/topics.ts'
import { nearest, TopicError } from '../errors.ts'
import type { TopicSpec } from '../kafka/port.ts'
import type { BuiltTopology, RepartitionTopic } from './built.ts'

export interface ResolvedPartitions {
  /** Tasks of a sub-topology: the highest count of its source topics; 0 while no topic matches its patterns. */
  tasks(subtopology: number): number
  /** Partitions of any topic the topology reads or keeps. */
  partitions(topic: string): number
  /** Every internal topic, existing ones included: creating is idempotent. */
  readonly internal: readonly TopicSpec[]
}

/**
 * @param counts partition counts of all topics that exist, internal ones included
 * @throws TopicError ERR_MISSING_TOPIC (a source topic does not exist), ERR_COPARTITION (joined topics differ), ERR_INTERNAL_TOPIC (an
 *   internal topic exists with another count)
 */
export function resolvePartitions(built: BuiltTopology, counts: ReadonlyMap<string, number>): ResolvedPartitions {
  const repartitions = new Map(built.internalTopics.repartition.map((r) => [r.topic, r]))
  const known = externalCounts(built, counts, repartitions)
  for (const { topic, partitions } of repartitions.values()) if (partitions !== undefined) known.set(topic, partitions)
  adoptExisting(built, repartitions, known, counts)
  settle(built, repartitions, known)
  checkCopartitions(built, repartitions, known)
  const tasks = built.subtopologies.map((sub) => Math.max(0, ...sub.sourceTopics.map((t) => known.get(t)!)))
  const internal: TopicSpec[] = [
    ...[...repartitions.keys()].map((topic) => repartitionSpec(topic, known.get(topic)!)),
    ...built.internalTopics.changelogs.map(({ store, subtopology }) =>
      changelogSpec(built.applicationId, store, tasks[subtopology]!)
    )
  ].filter(({ partitions }) => partitions > 0) // nothing matches a pattern yet
  for (const { topic, partitions } of internal) {
    known.set(topic, partitions)
    const existing = counts.get(topic)
    if (existing === undefined || existing === partitions) continue
    throw new TopicError(
      `The internal topic "${topic}" has ${existing} partitions, the topology needs ${partitions}. The partitions of an input have changed, or the topic is another ` +
        `job's: reset application "${built.applicationId}" (its state is rebuilt), or start it under a new application id.`,
      { code: 'ERR_INTERNAL_TOPIC', details: { topic, existing, needed: partitions } }
    )
  }
  return {
    tasks: (subtopology) => tasks[subtopology]!,
    partitions: (topic) => known.get(topic) ?? 0,
    internal
  }
}

const repartitionSpec = (topic: string, partitions: number): TopicSpec => ({
  topic,
  partitions,
  replication: -1,
  config: repartitionConfig()
})

function externalCounts(
  built: BuiltTopology,
  counts: ReadonlyMap<string, number>,
  repartitions: ReadonlyMap<string, RepartitionTopic>
): Map<string, number> {
  const known = new Map<string, number>()
  const missing: string[] = []
  for (const topic of built.subtopologies.flatMap((sub) => sub.sourceTopics)) {
    if (repartitions.has(topic)) continue
    const count = counts.get(topic)
    if (count === undefined) missing.push(topic)
    else known.set(topic, count)
  }
  if (missing.length > 0) {
    const names = missing.map((topic) => {
      const near = nearest(topic, [...counts.keys()])
      return `"${topic}"${near ? ` (did you mean "${near}"?)` : ''}`
    })
    throw new TopicError(
      `${missing.length === 1 ? 'The source topic' : 'The source topics'} ${names.join(', ')} ${missing.length === 1 ? 'does' : 'do'} not exist. Create ` +
        `${missing.length === 1 ? 'it' : 'them'} with the partition count you want (it decides how far the job scales), then start again.`,
      { code: 'ERR_MISSING_TOPIC', details: { topics: missing } }
    )
  }
  return known
}

/** A repartition topic that follows from no other topic keeps the count it has: what flows into it may come from any number of partitions. */
function adoptExisting(
  built: BuiltTopology,
  repartitions: ReadonlyMap<string, RepartitionTopic>,
  known: Map<string, number>,
  counts: ReadonlyMap<string, number>
): void {
  for (const topic of repartitions.keys()) {
    const existing = counts.get(topic)
    const free = [...connected(topic, built)].every((t) => repartitions.has(t) && !repartitions.get(t)!.partitions)
    if (existing !== undefined && free) known.set(topic, existing)
  }
}

/**
 * Gives every repartition topic without a count the highest of what it must fit: the group it is joined in if that has a fixed
 * member, else everything upstream. Counts depend on counts of other repartition topics, so it goes round until nothing is open.
 */
function settle(
  built: BuiltTopology,
  repartitions: ReadonlyMap<string, RepartitionTopic>,
  known: Map<string, number>
): void {
  const open = new Set([...repartitions.keys()].filter((topic) => !known.has(topic)))
  const groupOf = (topic: string): string[] => [...connected(topic, built)].filter((t) => t !== topic)
  while (open.size > 0) {
    const before = open.size
    for (const topic of open) {
      const partners = groupOf(topic)
      const external = partners.filter((t) => known.has(t) && !(repartitions.has(t) && open.has(t)))
      const fixed = external.find((t) => !repartitions.has(t)) ?? external[0]
      const group = [topic, ...partners.filter((t) => open.has(t))]
      if (fixed !== undefined) {
        known.set(topic, known.get(fixed)!)
        open.delete(topic)
        continue
      }
      // All members are ours to choose: one count, the highest that any of them would have alone.
      const upstream = group.flatMap((t) => repartitions.get(t)!.upstream)
      if (upstream.some((t) => !known.has(t) && !group.includes(t))) continue
      const highest = Math.max(0, ...upstream.filter((t) => known.has(t)).map((t) => known.get(t)!))
      for (const member of group) {
        known.set(member, highest)
        open.delete(member)
      }
    }
    if (open.size < before) continue
    // Only a loop through topics gets here (a topic that feeds itself): start it from one partition.
    const first = [...open][0]!
    const upstream = repartitions.get(first)!.upstream.filter((t) => known.has(t))
    known.set(first, Math.max(1, ...upstream.map((t) => known.get(t)!)))
    open.delete(first)
  }
}

/** All topics that must agree with `topic`, directly or through others. */
function connected(topic: string, built: BuiltTopology): Set<string> {
  const found = new Set([topic])
  for (let size = 0; size !== found.size; ) {
    size = found.size
    for (const { topics } of built.copartitioned) {
      if (topics.some((t) => found.has(t))) for (const t of topics) found.add(t)
    }
  }
  return found
}

function checkCopartitions(
  built: BuiltTopology,
  repartitions: ReadonlyMap<string, RepartitionTopic>,
  known: ReadonlyMap<string, number>
): void {
  for (const { node, topics } of built.copartitioned) {
    if (new Set(topics.map((t) => known.get(t))).size <= 1) continue
    const listed = topics.map((t) => `${t} (${known.get(t)})`).join(', ')
    const mend = mendOf(node, topics, repartitions, known)
    throw new TopicError(
      `"${node}" joins topics with different partition counts: ${listed}. Equal keys would lie in different tasks. ${mend}`,
      { code: 'ERR_COPARTITION', details: { node, counts: Object.fromEntries(topics.map((t) => [t, known.get(t)!])) } }
    )
  }
}

/** What makes the counts equal; the topics of the user's own decide whether repartition() is the fault or the mend. */
function mendOf(
  node: string,
  topics: readonly string[],
  repartitions: ReadonlyMap<string, RepartitionTopic>,
  known: ReadonlyMap<string, number>
): string {
  const external = new Set(topics.filter((t) => !repartitions.has(t)).map((t) => known.get(t)!))
  if (external.size > 1) {
    return (
      `Create them with equal counts, or put repartition() in front of "${node}": the stream then takes the table's count. ` +
      `If the table comes from several topics, make it by stream(…).repartition().toTable().`
    )
  }
  const enforced = topics.filter((t) => repartitions.get(t)?.partitions !== undefined).join(', ')
  const [count] = external
  return count === undefined
    ? `Ask for the same count in each repartition() (${enforced}), or in one only: the others then take it.`
    : `Ask for ${count} partitions in repartition() (${enforced}), or leave the count out: then it follows from the other topics.`
}
