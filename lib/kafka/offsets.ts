/** Where partitions begin and end, and what a group has committed: asked of leaders and coordinators, repeated while they move. */
import { type Tp, tpKey } from '../record.ts'
import { byTopic } from './byTopic.ts'
import type { Cluster } from './cluster.ts'
import { callCoordinator, firstError, mayRepeat } from './coordinatorCall.ts'
import type { Offset } from './port.ts'
import { Code, faultOf, kafkaError } from './protocol/errors.ts'
import { retry } from './retry.ts'

const PATIENCE_MS = 30_000
/** Of other producers: those of whoever asks are settled when it has its epoch. */
const STABLE_PATIENCE_MS = 20_000

export type At = 'start' | 'lso' | 'hw' | { timestamp: number }

/**
 * By `tpKey`.
 * @throws TransportError the last fault met, when a leader does not answer for 30 s; RangeError for a timestamp that is none
 */
export async function listOffsets(cluster: Cluster, tps: readonly Tp[], at: At): Promise<Map<string, number>> {
  const timestamp = at === 'start' ? -2 : at === 'lso' || at === 'hw' ? -1 : checkedTime(at.timestamp)
  const isolation = at === 'hw' ? 'uncommitted' : 'committed'
  const found = new Map<string, number>()
  await atLeaders(cluster, tps, 'Looking up offsets', async (node, asked) => {
    const topics = byTopic(asked, ({ partition }) => ({ partition, timestamp }))
    const answer = await cluster.wire.lane('control').call(node, 'ListOffsets', { isolation, topics })
    return answer.topics.flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, error, offset }) => {
        if (error === Code.NONE) found.set(tpKey(topic, partition), offset)
        return { topic, partition, error }
      })
    )
  })
  return found
}

/**
 * Asks the leader of each partition, and again those that were refused because their leader moved. `ask` gives the code of each.
 * @throws TransportError the first refusal that asking again does not mend
 */
export async function atLeaders<T extends Tp>(
  cluster: Cluster,
  items: readonly T[],
  what: string,
  ask: (node: number, items: T[]) => Promise<{ topic: string; partition: number; error: number }[]>
): Promise<void> {
  const left = new Map(items.map((item) => [tpKey(item.topic, item.partition), item]))
  if (left.size === 0) return
  await retry(cluster, { what, baseMs: 20, timeoutMs: PATIENCE_MS, retriable: mayRepeat }, async () => {
    const byNode = new Map<number, T[]>()
    for (const item of left.values()) {
      const node = await cluster.leader(item.topic, item.partition)
      if (!byNode.get(node)?.push(item)) byNode.set(node, [item])
    }
    const outcomes = await Promise.allSettled(
      Array.from(byNode, async ([node, asked]) => {
        try {
          for (const { topic, partition, error } of await ask(node, asked)) {
            if (error !== Code.NONE) throw kafkaError(error, `${what} of ${topic}-${partition}`, { topic, partition })
            left.delete(tpKey(topic, partition))
          }
        } catch (error) {
          for (const { topic } of asked) cluster.invalidate(topic)
          throw error
        }
      })
    )
    const failed = outcomes.filter((o) => o.status === 'rejected')
    const worst = failed.find((o) => !mayRepeat(o.reason)) ?? failed[0]
    if (worst) throw worst.reason
    const [missing] = left.values()
    // Neither an offset nor an error: treated as a leader that is not ready.
    if (missing) throw kafkaError(Code.LEADER_NOT_AVAILABLE, `${what} of ${missing.topic}-${missing.partition}`)
  })
}

/**
 * What the group has committed, by `tpKey`; partitions without a commit are left out. Waits for transactions that hold new offsets
 * (KIP-447): the old offset, read while a commit is on its way, would be processed twice.
 * @throws TransportError 'unstable' when such a transaction does not end
 */
export async function committedOffsets(
  cluster: Cluster,
  groupId: string,
  tps: readonly Tp[],
  patienceMs: number = STABLE_PATIENCE_MS
): Promise<Map<string, Offset>> {
  const found = new Map<string, Offset>()
  if (tps.length === 0) return found
  const answer = await callCoordinator(cluster, cluster.wire.lane('control'), {
    kind: 'group',
    key: groupId,
    api: 'OffsetFetch',
    request: { groupId, topics: byTopic(tps, ({ partition }) => partition), requireStable: true },
    code: (a) => a.error || firstUnmet(a.topics),
    what: `Reading the offsets of group "${groupId}"`,
    timeoutMs: patienceMs
  })
  for (const { topic, partitions } of answer.topics) {
    for (const { partition, offset, metadata } of partitions) {
      if (offset < 0) continue
      found.set(tpKey(topic, partition), { topic, partition, offset, ...(metadata ? { metadata } : {}) })
    }
  }
  return found
}

// A partition that does not exist has no offset: that is no failure of the others.
function firstUnmet(topics: { topic: string; partitions: { partition: number; error: number }[] }[]): number {
  const unmet = topics.map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.filter((p) => faultOf(p.error) !== 'metadata')
  }))
  return firstError(unmet).code
}

// Below 0 the protocol means something else: -1 the end, -2 the start.
function checkedTime(timestamp: number): number {
  if (timestamp >= 0 && timestamp <= Number.MAX_SAFE_INTEGER) return Math.floor(timestamp)
  throw new RangeError(`Looking up offsets at the time ${timestamp}: give milliseconds since 1970, 0 or more`)
}
