/** One row in the write-back cache, with what the cache must know of it beside its value. */
import { type Headers, NO_HEADERS, type RecordSet } from '../../record.ts'
import type { Row } from '../port.ts'

export class CachedRow<V> implements Row<V> {
  readonly id: string
  value: V | null
  timestamp: number
  headers: Headers = NO_HEADERS
  dirty = false
  sent: V | null
  /** What it counts in the budget: an estimate from the length of its serialised form. */
  size: number
  /** Second chance: set at each use, cleared when the eviction's hand passes. */
  used = true
  /** False after eviction: whoever still holds it holds a copy of what the database has. */
  cached = true
  /** What the changelog got and the database has not: row `at` of a flush's set; or row bytes under `key`, null = tombstone. */
  flushed: RecordSet | Buffer | null | undefined = undefined
  at = 0
  key: Buffer | undefined = undefined
  /** On its way from the database: what is in the other fields means nothing until then. */
  loading: Promise<unknown> | undefined = undefined
  /** In a database write that has not been answered. */
  writing = false

  constructor(id: string, value: V | null, timestamp: number, size: number) {
    this.id = id
    this.value = value
    this.sent = value
    this.timestamp = timestamp
    this.size = size
  }

  /** The database does not have this value yet: the row must stay. */
  get held(): boolean {
    return this.dirty || this.flushed !== undefined || this.writing || this.loading !== undefined
  }
}
