/** Deduplicate: the store and node behind the method of Stream. */
import { DeduplicateOperator, deduplicateRetention } from '../operators/deduplicate.ts'
import type { StreamRecord } from '../record.ts'
import { long } from '../serde/numbers.ts'
import { type Duration, ms } from '../time.ts'
import { keySerde, type Part, stateName, step } from './part.ts'
import { specOf } from './store.ts'

export interface DeduplicateOptions<K, V> {
  /** Equal records that are at most so far apart in event time are one. */
  readonly within: Duration
  /** How much later than `within` a record may come and still be checked; later ones are dropped as 'late'. Default: as `within`. */
  readonly grace?: Duration
  /**
   * What makes records equal, as text; null: the record passes. Default: the key. Only records of one partition are compared, so equal
   * records must have equal keys.
   */
  readonly by?: (record: StreamRecord<K, V>) => string | null
  /** Names the node, its store and so its changelog. Without one the name is derived, with a warning. */
  readonly name?: string
  /** Times are written to a changelog topic and restored from it. Default true. */
  readonly logged?: boolean
  /** Settings of the changelog topic that differ from Millrace's. */
  readonly topicConfig?: Readonly<Record<string, string>>
}

/** @internal @throws RangeError for durations that are none */
export function deduplicatePart<K, V>(part: Part<K, V>, options: DeduplicateOptions<K, V>): Part<K, V> {
  const { by, logged, topicConfig } = options
  const within = ms(options.within)
  const how = { within, grace: ms(options.grace ?? within), by }
  const key = keySerde(part, undefined, 'deduplicate()')
  const name = stateName(part, 'deduplicate', options.name)
  const retentionMs = deduplicateRetention({ ...how, by: undefined })
  const kind = 'window' as const
  const windowMs = Math.max(1, within)
  part.graph.addStore(
    specOf({ name, kind, key, value: long(), caching: true, logged, topicConfig, windowMs, retentionMs })
  )
  const create = (): DeduplicateOperator<K, V> => new DeduplicateOperator(name, key, how)
  const node = step(part, 'deduplicate', { name, stores: [name], keepsKey: true }, create)
  return { ...part, node, anchor: name }
}
