/** Where a run ends by itself: the input of a batch. */
import { refuseUnknown, wrong } from '../check.ts'

/**
 * - `'caught-up'`: at what the source topics hold when the run starts (last stable offset of each partition)
 * - `{ timestamp }`: before the first record of each partition with that event time or a later one (ms since the epoch); where there is none, as 'caught-up'
 * - `{ offsets }`: before these offsets, by `topic-partition`; partitions that are not named as 'caught-up'. An offset that does not exist yet is waited for
 */
export type Until =
  | 'caught-up'
  | { readonly timestamp: number }
  | { readonly offsets: Readonly<Record<string, number>> }

/** @throws ConfigError ERR_OPTION, ERR_UNKNOWN_OPTION */
export function checkUntil(value: unknown): Until {
  if (value === 'caught-up') return value
  const expected = `'caught-up', { timestamp: ms } or { offsets: { 'topic-0': 100 } }`
  if (typeof value !== 'object' || value === null) return wrong('until', value, expected)
  refuseUnknown(value, ['timestamp', 'offsets'], 'until.')
  const { timestamp, offsets } = value as { timestamp?: unknown; offsets?: unknown }
  if ((timestamp === undefined) === (offsets === undefined)) return wrong('until', value, expected)
  if (timestamp !== undefined) {
    if (isOffset(timestamp)) return { timestamp }
    return wrong('until.timestamp', timestamp, 'milliseconds since the epoch')
  }
  if (typeof offsets !== 'object' || offsets === null) return wrong('until.offsets', offsets, `{ 'topic-0': 100 }`)
  for (const [tp, offset] of Object.entries(offsets)) {
    if (!isOffset(offset)) wrong(`until.offsets.${tp}`, offset, 'an offset: a whole number, 0 or more')
  }
  return { offsets: offsets as Record<string, number> }
}

const isOffset = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
