/** Settings of internal topics. Old event times must never let a broker take their records away: see the notes on each. */
import type { StoreSpec } from '../store/port.ts'

/** Accepts any event time: jobs that reprocess data of years ago write records as old as their input. */
const ANY_TIME = {
  'message.timestamp.type': 'CreateTime',
  'message.timestamp.before.max.ms': '9223372036854775807',
  'message.timestamp.after.max.ms': '9223372036854775807'
}

/** Kept until the records behind them are committed, then deleted by offset (deleteRecords), never by age or size. */
export const REPARTITION_CONFIG: Readonly<Record<string, string>> = {
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'retention.bytes': '-1',
  'segment.bytes': '52428800',
  ...ANY_TIME
}

/**
 * Compacted only, window stores too: deletion by age goes by event time and would take the state of a replay of old data. What
 * expires is deleted by tombstones.
 */
export const changelogConfig = (_store: StoreSpec): Readonly<Record<string, string>> => ({
  'cleanup.policy': 'compact',
  ...ANY_TIME
})
