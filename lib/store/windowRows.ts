/** The row store of windows: rows sort by start, so what is past retention is one range, deleted as a whole. */
import type { Headers } from '../record.ts'
import { localKey, readInt64, windowId } from './bytes.ts'
import { flushedBytes, flushedKey } from './cache/encode.ts'
import type { CachedRow } from './cache/row.ts'
import { CachedRowStore, type RowStoreOptions } from './cache/rowStore.ts'
import type { ChangelogSink, MaybePromise, Row, WriteBatch } from './port.ts'

/** Expiry runs when stream time has moved by this part of the retention, so that rows stay at most so much too long on disk. */
const PARTS = 8
/** Tombstones one call may find at least; a jump of stream time over a million windows is worked off over many commits. */
const MOST = 20_000

export class WindowRowStore<V> extends CachedRowStore<V> {
  readonly #retention: number
  readonly #step: number
  #due = Number.NEGATIVE_INFINITY // stream time at which expire has work again
  #gone = '' // ids below are expired: no read gives them, no set keeps them
  #goneOnDisk = '' // ids below were in a range delete already
  #tombstones: Buffer[] = [] // database keys found by expire, for the changelog at the next flush
  #leaving: CachedRow<V>[] = [] // expired rows that stay in the cache until the persist under way is done
  #sweep = false // the cache may hold rows below #gone
  #changesThen = 0 // `changes` at the last expiry that was due

  constructor(options: RowStoreOptions<V>) {
    super(options)
    this.#retention = options.spec.retentionMs ?? Number.POSITIVE_INFINITY
    this.#step = Math.max(1, options.spec.windowMs ?? 1, Math.ceil(this.#retention / PARTS))
  }

  override get dirty(): boolean {
    return super.dirty || this.#tombstones.length > 0 || this.#sweep
  }

  /** The first window start that is still kept at this stream time. */
  oldest(streamTime: number): number {
    return streamTime - this.#retention + 1
  }

  override get expiring(): boolean {
    return this.through >= Math.max(this.#due, this.#retention)
  }

  override cut(atomic: boolean): MaybePromise<void> {
    super.cut(atomic)
    return this.expire(this.through)
  }

  /**
   * Finds the windows that are past retention: start + retention ≤ stream time. Cheap until stream time has passed the next step. What it
   * finds gets tombstones in the changelog at the next flush and one range delete at the next persist. At most 20,000 rows a call, and as many
   * as were changed since the last: the next one goes on, and the store does not grow for ever.
   */
  expire(streamTime: number): MaybePromise<void> {
    if (streamTime < this.#due) return
    const oldest = this.oldest(streamTime)
    // Starts are never negative; until then nothing can be expired.
    if (oldest <= 0) {
      this.#due = this.#retention
      return
    }
    return this.#find(windowId(oldest, ''), streamTime)
  }

  /** A set of an expired row is refused: its tombstone may be in the changelog already, and a later row would stay for ever. */
  override set(row: Row<V>, value: V | null, timestamp: number, headers: Headers): void {
    if (row.id >= this.#gone) super.set(row, value, timestamp, headers)
  }

  override flush(changelog: ChangelogSink | undefined): MaybePromise<void> {
    // First the changes: a window changed while it was open goes downstream and to the changelog although it is past retention by now.
    const given = super.flush(changelog)
    if (given instanceof Promise) return given.then(() => this.#bury(changelog))
    this.#bury(changelog)
  }

  override persist(batch: WriteBatch): void {
    super.persist(batch)
    // Behind the puts, which may hold rows that are expired by now. While the sweep is due, tombstones are missing in the changelog.
    if (this.#goneOnDisk === this.#gone || this.#sweep) return
    batch.deleteRange(localKey(this.id, this.#goneOnDisk), localKey(this.id, this.#gone))
    this.#goneOnDisk = this.#gone
  }

  override persisted(): void {
    super.persisted()
    for (const row of this.#leaving) if (row.cached && !row.held) this.drop(row)
    this.#leaving = []
  }

  override clear(): void {
    super.clear()
    this.#leaving = []
    this.#due = Number.NEGATIVE_INFINITY
    this.#gone = ''
    this.#goneOnDisk = ''
    this.#tombstones = []
    this.#sweep = false
    this.#changesThen = 0
  }

  /** Database keys of [from, to) that the database holds, ascending, at most `limit`. May give some that it does not. */
  protected async held(from: Buffer, to: Buffer, limit: number): Promise<Buffer[]> {
    const keys: Buffer[] = []
    for await (const chunk of this.database.range({ from, to, limit })) for (const [key] of chunk) keys.push(key)
    return keys
  }

  async #find(bound: string, streamTime: number): Promise<void> {
    // A commit under way has rows in the changelog that the scan may come too early for, and is perhaps through when the scan is.
    const under = [...this.underWay()].filter(({ id }) => id >= this.#gone && id < bound)
    const most = MOST + this.changes - this.#changesThen
    this.#changesThen = this.changes
    const keys = await this.held(localKey(this.id, this.#gone), localKey(this.id, bound), most)
    for (const key of keys) this.#tombstones.push(key)
    const found = keys.length
    const end = found < most ? bound : `${keys[found - 1]!.toString('latin1', 2)}\0`
    for (const { id } of under) if (id < end) this.#tombstones.push(localKey(this.id, id))
    this.#gone = end
    if (found < most) this.#due = streamTime + this.#step
    this.#sweep = true
  }

  /** Tombstones, once nothing below the bound is dirty any more; then the cache forgets those rows. */
  #bury(changelog: ChangelogSink | undefined): void {
    if (!this.#sweep) return
    for (const row of this.changed) if (row.id < this.#gone) return // changed during this very flush: after the next one
    for (const key of this.#tombstones) this.#bury1(changelog, key)
    this.#tombstones = []
    // Rows the changelog has and the database not yet: the scan cannot have found them.
    for (const row of this.flushed) {
      if (row.id < this.#gone && flushedBytes(row)) this.#bury1(changelog, flushedKey(row))
    }
    for (const row of this.rows.values()) {
      if (row.id >= this.#gone) continue
      if (row.held) this.#leaving.push(row)
      else this.drop(row)
    }
    this.#sweep = false
  }

  /** A tombstone carries the window's start: old enough for every rule that looks at event time, and never negative. */
  #bury1(changelog: ChangelogSink | undefined, key: Buffer): void {
    changelog?.(key.subarray(2), null, readInt64(key, 2))
  }
}
