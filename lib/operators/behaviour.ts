/** What a windowed aggregation does beside aggregating. */
import type { OnLate } from './late.ts'

export interface WindowBehaviour<K, V> {
  /** 'update': each change goes on (once per commit with a cache). 'close': each window goes on once, when it takes no more records. */
  readonly emit?: 'update' | 'close' | undefined
  readonly onLate?: OnLate<K, V> | undefined
  /** While no record comes for so long, ms, time goes on by wall clock. Default: it stands. */
  readonly idleMs?: number | undefined
}
