/** Where a task starts to read: the committed offsets, or what the source says for a partition that has none. */
import { TopicError, TransportError } from '../errors.ts'
import type { Producer, Transport, TxnProducer } from '../kafka/port.ts'
import { type Tp, tpKey } from '../record.ts'
import type { SourceNode, SubTopology } from '../topology/node.ts'
import type { TaskEnv, TaskPlan } from './port.ts'
import { decodeTimes, type OffsetTimes } from './streamTime.ts'

export interface Start {
  readonly tp: Tp
  readonly source: SourceNode
  readonly offset: number
  /** -1 = nothing committed. */
  readonly committed: number
  /** The broker's last stable offset at this moment. */
  readonly end: number
  readonly times: OffsetTimes
}

type Log = Pick<Transport, 'offsets' | 'committed'>

/** The source node that reads a topic. */
export function sourceOf(sub: SubTopology, topic: string): SourceNode {
  for (const node of sub.nodes) if (node.kind === 'source' && node.topics.includes(topic)) return node
  throw new TopicError(`No source of sub-topology ${sub.id} reads the topic "${topic}".`, { details: { topic } })
}

/**
 * Stable committed offsets, reset where there is none.
 * @param patienceMs how long to wait for offsets that are not stable
 * @throws TopicError ERR_NO_OFFSET for a source with `offsetReset: 'none'`
 */
async function startOffsets(
  log: Log,
  groupId: string,
  sub: SubTopology,
  tps: readonly Tp[],
  patienceMs?: number
): Promise<Start[]> {
  const list = [...tps]
  // Committed first: it waits for a predecessor's transaction to settle, and only then are the ends the final ones.
  const committed = await log.committed(groupId, list, patienceMs)
  const ends = await log.offsets(list, 'lso')
  const starts: Start[] = []
  for (const tp of list) {
    const source = sourceOf(sub, tp.topic)
    const known = committed.get(tpKey(tp.topic, tp.partition))
    const offset = known?.offset ?? (await resetOffset(log, source, tp, 'nothing is committed for it'))
    starts.push({
      tp,
      source,
      offset,
      committed: known?.offset ?? -1,
      end: ends.get(tpKey(tp.topic, tp.partition)) ?? 0,
      times: decodeTimes(known?.metadata)
    })
  }
  return starts
}

/**
 * The predecessor's transaction was settled before its successor got an epoch, so its offsets are stable at once. Those that are not
 * after this were staged by a late request of its, and are cleared. Should they be another producer's after all, clearing ours changes
 * nothing, and they are waited for.
 */
const SETTLED_MS = 2_000

/**
 * `Start`s of a task that has its producer.
 * @throws TopicError ERR_NO_OFFSET for a source with `offsetReset: 'none'`
 */
export async function settledOffsets(
  { transport, applicationId, logger }: Pick<TaskEnv, 'transport' | 'applicationId' | 'logger'>,
  { id, subtopology, sources }: TaskPlan,
  producer: Producer | TxnProducer
): Promise<Start[]> {
  const clears = 'clearOffsets' in producer
  try {
    return await startOffsets(transport, applicationId, subtopology, sources, clears ? SETTLED_MS : undefined)
  } catch (error) {
    if (!(error instanceof TransportError && error.fault === 'unstable' && clears)) throw error
    logger.warn({ task: id }, 'Offsets of a dead transaction are in the way; they are cleared')
    await producer.clearOffsets(applicationId)
    return startOffsets(transport, applicationId, subtopology, sources)
  }
}

/**
 * Where `offsetReset` of the source points now.
 * @param why for the message
 * @throws TopicError ERR_NO_OFFSET when the source allows no reset
 */
export async function resetOffset(log: Pick<Log, 'offsets'>, source: SourceNode, tp: Tp, why: string): Promise<number> {
  const policy = source.offsetReset ?? 'earliest'
  if (policy === 'none') {
    throw new TopicError(
      `Source "${source.name}" cannot read partition ${tp.partition} of topic "${tp.topic}": ${why}, and the source has offsetReset: 'none'. ` +
        "Set the group's offset to where the job shall start, or give the source offsetReset: 'earliest' or 'latest'.",
      { code: 'ERR_NO_OFFSET', details: { node: source.name, topic: tp.topic, partition: tp.partition } }
    )
  }
  const at = await log.offsets([tp], policy === 'earliest' ? 'start' : 'lso')
  const offset = at.get(tpKey(tp.topic, tp.partition))
  if (offset === undefined) {
    throw new TransportError(
      `The broker gave no offset for partition ${tp.partition} of topic "${tp.topic}".`,
      'metadata'
    )
  }
  return offset
}

/** The log holds nothing behind these positions. */
export async function allRead(
  log: Pick<Log, 'offsets'>,
  queues: readonly { readonly tp: Tp; readonly position: number }[]
): Promise<boolean> {
  const ends = await log.offsets(
    queues.map((queue) => queue.tp),
    'lso'
  )
  return queues.every(({ tp, position }) => position >= (ends.get(tpKey(tp.topic, tp.partition)) ?? 0))
}
