/** From a topology to tasks: checks the topics it reads and writes, creates internal ones, and says what each task reads. */
import { nearest, TopicError } from '../errors.ts'
import type { Admin, TopicSpec, Transport } from '../kafka/port.ts'
import { type Tp, tpKey } from '../record.ts'
import { deadLetterTopics } from '../supervise/rules.ts'
import type { TaskPlan } from '../task/port.ts'
import type { Clock } from '../time.ts'
import type { BuiltTopology } from '../topology/built.ts'
import { shapesTopic } from '../topology/names.ts'
import { resolvePartitions } from '../topology/partitions.ts'
import { bindPatterns, patternLabel, patternSources } from '../topology/patterns.ts'
import { checkShapes, type TopologyChange } from './shapes.ts'

export interface PreparedTopology extends TopicPlan {
  /** Topics whose records are deleted once they are committed. */
  readonly repartitionTopics: readonly string[]
  /** Partition counts as they were at the start, of topics that are written too. */
  readonly otherCounts: ReadonlyMap<string, number>
  /** What works but will bite: for the log. */
  readonly warnings: readonly string[]
}

export interface PrepareOptions {
  readonly built: BuiltTopology
  readonly transport: Pick<Transport, 'admin' | 'reader' | 'producer' | 'offsets'>
  /** Of internal topics; -1 = the broker's default. */
  readonly replicationFactor: number
  /** What becomes of a topology that does not fit the state of the last one. Default 'refuse'. */
  readonly topologyChange?: TopologyChange
  /** Topics of dead letters by rules of the runtime. Default: none. */
  readonly deadLetters?: readonly string[]
  readonly clock: Clock
}

/**
 * Idempotent, and safe when several processes of a job start at once.
 * @throws TopicError ERR_MISSING_TOPIC, ERR_COPARTITION, ERR_INTERNAL_TOPIC; TopologyError ERR_TOPOLOGY_CHANGED; TransportError or UnreachableError of the broker
 */
export async function prepare(options: PrepareOptions): Promise<PreparedTopology> {
  const { built, transport, replicationFactor, topologyChange = 'refuse', clock } = options
  const { admin } = transport
  const matched = await matchedTopics(built, admin)
  const internal = internalNames(built)
  const record = shapesTopic(built.applicationId)
  const sourceTopics = sourcesOf(bindPatterns(built, matched))
  const deadLetters = [...sinksOfRules(built), ...(options.deadLetters ?? [])]
  const sinkTopics = [...new Set([...sinksOf(built), ...deadLetters])].filter((topic) => !internal.has(topic))
  const globalTopics = built.globals.map(({ topic }) => topic)
  const wanted = [...new Set([...sourceTopics, ...globalTopics, ...sinkTopics, ...internal, record])]
  const counts = await admin.partitions(wanted)
  const read = [...new Set([...sourceTopics.filter((topic) => !matched.includes(topic)), ...globalTopics])]
  const missing = [...new Set([...read, ...sinkTopics])].filter((topic) => !internal.has(topic) && !counts.has(topic))
  if (missing.length > 0) throw missingTopics(missing, read, deadLetters, await admin.topics(), internal)

  // What is only written must not be taken for a source, should it match a pattern and have come in this moment.
  const plan = planOf(
    built,
    new Map([...counts].filter(([topic]) => sourceTopics.includes(topic) || internal.has(topic)))
  )
  const retention = retentionWarnings(admin, built, sinkTopics, counts) // asked for meanwhile, heard last
  retention.catch(() => {})
  const shapes = await checkShapes(built, transport, counts.has(record), topologyChange, clock)
  await create(admin, [...plan.internal, ...shapes.topics], counts, replicationFactor)
  await shapes.record()
  return {
    ...plan,
    repartitionTopics: built.internalTopics.repartition.map((t) => t.topic),
    otherCounts: counts,
    warnings: [
      ...built.warnings,
      ...shapes.warnings,
      ...patternSources(plan.built)
        .filter(({ topics }) => topics.length === 0)
        .map(
          ({ name, pattern }) =>
            `No topic matches ${patternLabel(pattern!)} of source "${name}" yet: it is read as soon as there is one.`
        ),
      ...(await retention)
    ]
  }
}

/** What follows from the partition counts of the topics that are read. Every process of the group comes to the same. */
export interface TopicPlan {
  /** With the topics that its patterns match. */
  readonly built: BuiltTopology
  readonly plans: readonly TaskPlan[]
  /** Topics the group subscribes to. */
  readonly sourceTopics: readonly string[]
  /** Their partition counts. */
  readonly counts: ReadonlyMap<string, number>
  /** Internal topics that must exist. */
  readonly internal: readonly TopicSpec[]
  /** Of the topics it reads and keeps; 0 for others. */
  readonly partitions: (topic: string) => number
}

/**
 * @param built with its patterns
 * @param counts of the topics that are there, internal ones included
 * @throws as `resolvePartitions` and `bindPatterns`
 */
export function planOf(built: BuiltTopology, counts: ReadonlyMap<string, number>): TopicPlan {
  const bound = bindPatterns(built, counts.keys())
  const { tasks, partitions, internal } = resolvePartitions(bound, counts)
  const sourceTopics = sourcesOf(bound)
  return {
    built: bound,
    plans: plansOf(bound, tasks, partitions),
    sourceTopics,
    counts: new Map(sourceTopics.map((topic) => [topic, partitions(topic)])),
    internal,
    partitions
  }
}

/** The plan for topics that came, went or grew since; its internal topics are made. @param counts of the topics to be read */
export async function replan(
  built: BuiltTopology,
  counts: ReadonlyMap<string, number>,
  admin: Admin,
  replicationFactor: number
): Promise<TopicPlan> {
  const all = new Map([...counts, ...(await admin.partitions([...internalNames(built)]))])
  const plan = planOf(built, all)
  await create(admin, plan.internal, all, replicationFactor)
  return plan
}

/** Topics that its patterns match now; none, without a question, where it has no pattern. */
export async function matchedTopics(built: BuiltTopology, admin: Pick<Admin, 'topics'>): Promise<string[]> {
  if (patternSources(built).length === 0) return []
  return patternSources(bindPatterns(built, await admin.topics())).flatMap(({ topics }) => topics)
}

const sourcesOf = (built: BuiltTopology): string[] => [
  ...new Set(built.subtopologies.flatMap((sub) => sub.sourceTopics))
]

const internalNames = ({ internalTopics: { repartition, changelogs } }: BuiltTopology): Set<string> =>
  new Set([...repartition, ...changelogs].map(({ topic }) => topic))

const create = (
  admin: Admin,
  specs: readonly TopicSpec[],
  existing: ReadonlyMap<string, number>,
  replication: number
): Promise<void> =>
  admin.create(specs.filter((spec) => !existing.has(spec.topic)).map((spec) => ({ ...spec, replication })))

/** One task per partition; a topic with fewer partitions than its sub-topology has tasks is read by the first of them only. */
export function plansOf(
  built: BuiltTopology,
  tasks: (subtopology: number) => number,
  partitions: (topic: string) => number
): TaskPlan[] {
  return built.subtopologies.flatMap((subtopology) =>
    Array.from({ length: tasks(subtopology.id) }, (_, partition) => ({
      id: `${subtopology.id}_${partition}`,
      subtopology,
      partition,
      sources: subtopology.sourceTopics
        .filter((topic) => partition < partitions(topic))
        .map((topic) => ({ topic, partition }))
    }))
  )
}

/** The tasks of which every partition is in `tps`: a task does not start before the group has handed over all of its sources. */
export function completeTasks(plans: readonly TaskPlan[], tps: readonly Tp[]): TaskPlan[] {
  const held = new Set(tps.map((tp) => tpKey(tp.topic, tp.partition)))
  return plans.filter((plan) => plan.sources.every((tp) => held.has(tpKey(tp.topic, tp.partition))))
}

/** Tasks that read any of `tps`. */
export function affectedTasks(plans: readonly TaskPlan[], tps: readonly Tp[]): TaskPlan[] {
  const touched = new Set(tps.map((tp) => tpKey(tp.topic, tp.partition)))
  return plans.filter((plan) => plan.sources.some((tp) => touched.has(tpKey(tp.topic, tp.partition))))
}

function sinksOf(built: BuiltTopology): string[] {
  const topics = new Set<string>()
  for (const sub of built.subtopologies) {
    for (const node of sub.nodes) if (node.kind === 'sink' && typeof node.topic === 'string') topics.add(node.topic)
  }
  return [...topics]
}

/** Topics of dead letters by rules of nodes and of the topology. */
const sinksOfRules = (built: BuiltTopology): string[] =>
  built.subtopologies.flatMap(({ nodes, supervise = [] }) => [
    ...deadLetterTopics(supervise),
    ...nodes.flatMap((node) => (node.kind === 'source' ? [] : deadLetterTopics(node.supervise ?? [])))
  ])

function missingTopics(
  missing: readonly string[],
  sources: readonly string[],
  deadLetters: readonly string[],
  existing: readonly string[],
  internal: ReadonlySet<string>
): TopicError {
  const candidates = existing.filter((topic) => !topic.startsWith('__') && !internal.has(topic))
  const described = missing.map((topic) => {
    const near = nearest(topic, candidates)
    const role = sources.includes(topic) ? 'source' : deadLetters.includes(topic) ? 'dead-letter' : 'output'
    return `${role} topic "${topic}"${near ? ` (did you mean "${near}"?)` : ''}`
  })
  const them = missing.length === 1 ? 'it' : 'them'
  return new TopicError(
    `There is no ${described.join(', no ')}. Create ${them} with the partition count you want (that of the sources decides how far the job scales), then start again.`,
    { code: 'ERR_MISSING_TOPIC', details: { topics: missing } }
  )
}

/**
 * Brokers delete by the event time in the records. Output carries that of its input, so a replay of old data into a topic that deletes by
 * age is deleted as it is written; internal topics that somebody made by hand, or with other settings, would lose what is still needed.
 */
async function retentionWarnings(
  admin: Admin,
  built: BuiltTopology,
  sinks: readonly string[],
  existing: ReadonlyMap<string, number>
): Promise<string[]> {
  const there = ({ topic }: { topic: string }): boolean => existing.has(topic)
  const consequences = new Map([
    ...sinks.map((topic) => [topic, OLD_OUTPUT] as const),
    ...built.globals.map(({ topic }) => [topic, GLOBAL_ROWS] as const),
    ...built.internalTopics.repartition.filter(there).map(({ topic }) => [topic, UNREAD_RECORDS] as const),
    ...built.internalTopics.changelogs.filter(there).map(({ topic }) => [topic, STATE_ROWS] as const)
  ])
  const settings = await Promise.all(
    [...consequences].map(async ([topic, text]) => ({ topic, text, config: await admin.describe(topic) }))
  )
  const compacted = settings
    .filter(({ text, config }) => text === UNREAD_RECORDS && (config['cleanup.policy'] ?? '').includes('compact'))
    .map(
      ({ topic }) =>
        `The repartition topic "${topic}" is compacted: records of a key that are not processed yet would be lost. Set cleanup.policy=delete.`
    )
  const deleting = settings
    .filter(({ config }) => config['message.timestamp.type'] !== 'LogAppendTime')
    .filter(({ config }) => (config['cleanup.policy'] ?? 'delete').includes('delete'))
    .filter(({ config }) => Number(config['retention.ms'] ?? -1) >= 0)
    .map(
      ({ topic, text, config }) =>
        `The ${text.kind} topic "${topic}" deletes records whose event time is older than ${Math.round(Number(config['retention.ms']) / 3_600_000)} h ` +
        `(retention.ms=${config['retention.ms']}). ${text.mend}`
    )
  return [...compacted, ...deleting]
}

const OLD_OUTPUT = {
  kind: 'output',
  mend: 'Output of old input would be deleted: set retention.ms=-1 if you replay history.'
}
const GLOBAL_ROWS = {
  kind: 'global-table',
  mend: 'Rows would be missing where the table is read from the beginning: set cleanup.policy=compact.'
}
const UNREAD_RECORDS = {
  kind: 'repartition',
  mend: 'Records that are not processed yet would be lost: set retention.ms=-1; Millrace deletes what is committed.'
}
const STATE_ROWS = {
  kind: 'changelog',
  mend: 'Rows of the state would be lost on the next restore: set cleanup.policy=compact.'
}
