/** Names and settings of internal topics. Old event times (a replay of last year's data) must never make a broker delete from them. */
import type { TopicSpec } from '../kafka/port.ts'
import type { StoreSpec } from '../store/port.ts'

const FOREVER = '9223372036854775807'

/** For how long a compacted topic keeps tombstones: Kafka's default, set so that it does not depend on the broker's. */
export const TOMBSTONES_KEPT_MS = 24 * 3_600_000

/**
 * Event times may lie anywhere. A broker begins a new segment file when the times in the present one span more than `segment.ms` (7 days):
 * measured, 38 years of event time with a record a fortnight made 1,000 files of 1,000 records, and writing them took 16 times as long. So
 * segments end by size only, and soon enough that compaction, which leaves the last one alone, has something to do.
 */
const COMMON = {
  'message.timestamp.type': 'CreateTime',
  'message.timestamp.before.max.ms': FOREVER,
  'message.timestamp.after.max.ms': FOREVER,
  'segment.ms': FOREVER,
  'segment.bytes': String(50 << 20)
}

/** @example changelogTopic('shop', 'totals') // 'shop-totals-changelog' */
export const changelogTopic = (applicationId: string, store: string): string => `${applicationId}-${store}-changelog`

/**
 * Compacted only, never deleted by time, for windows too: a broker deletes by the time in the records, and the windows of a replay are old
 * from the start. Windows leave by tombstones that the store writes when stream time has passed their retention.
 */
export const changelogConfig = (spec: Pick<StoreSpec, 'topicConfig'>): Readonly<Record<string, string>> => ({
  'cleanup.policy': 'compact',
  'delete.retention.ms': String(TOMBSTONES_KEPT_MS),
  ...COMMON,
  ...spec.topicConfig
})

/** For how long this store's changelog keeps tombstones, ms: what its own settings say, else ours. */
export const tombstonesKept = (spec: Pick<StoreSpec, 'topicConfig'>): number => {
  const own = Number(spec.topicConfig?.['delete.retention.ms'] ?? Number.NaN)
  return own >= 0 ? own : TOMBSTONES_KEPT_MS
}

/** Kept without bound: what every task of the next sub-topology has committed is removed by deleteRecords. */
export const repartitionConfig = (
  overrides: Readonly<Record<string, string>> = {}
): Readonly<Record<string, string>> => ({
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'retention.bytes': '-1',
  ...COMMON,
  ...overrides
})

/** Partitions = tasks of the sub-topology that owns the store. */
export function changelogSpec(
  applicationId: string,
  spec: Pick<StoreSpec, 'name' | 'topicConfig'>,
  partitions: number,
  replication = -1
): TopicSpec {
  return { topic: changelogTopic(applicationId, spec.name), partitions, replication, config: changelogConfig(spec) }
}
