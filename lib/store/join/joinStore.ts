/** What one side of a stream-stream join has seen: in memory and in the changelog while it fits, written in blocks instead of row by row. */
import { NO_HEADERS, type RecordSet, type Serde } from '../../record.ts'
import type { Clock } from '../../time.ts'
import { localKey, ROW_VALUE_AT, readInt64, storeEnd, windowId, windowStart, writeInt64 } from '../bytes.ts'
import { excess } from '../cache/budget.ts'
import { decodeFault, encodeFault } from '../cache/faults.ts'
import { CachedRow } from '../cache/row.ts'
import type { RowStoreOptions } from '../cache/rowStore.ts'
import type { CacheBudget, ChangelogSink, MaybePromise, RestoredRows, Row } from '../port.ts'
import { WindowRowStore } from '../windowRows.ts'
import { BLOCK_HEAD, Bucket } from './bucket.ts'
import { type EntriesSerde, type Entry, insert } from './entries.ts'

// Ids are start of the bucket(8) ‖ tag(1) ‖ number of the block(8), or key.
const BLOCK = '\u0000'
const ROW = '\u0001'
/** Of one write at a clean close: what RocksDB takes for it is little, and given back. */
const WRITE_BYTES = 512 << 10
/**
 * Who opens a store numbers its blocks from a multiple of this on: by the second, and above all that it finds. At-least-once nothing fences a
 * predecessor that does not know yet that it was replaced: numbers that went on where it was would be its as well, and the later one's block
 * would take the other's place. Nobody writes so many blocks a second, and 2^32 seconds are enough until 2106.
 */
const LIFE = 2 ** 21
/** Heap of a block beside its bytes: its number, twice, and where it lies. */
const BLOCK_OVERHEAD = 176
/** Of what was given before the first commit: where that begins. */
const BEFORE_ALL = -1
/** Buckets leave the memory when stream time has moved by this part of the retention: mostly less than one of them. */
const PARTS = 64

/**
 * A join writes every record once and mostly asks for what is not there. So a bucket of time is in memory as a whole: a key without an entry is
 * known to have none, and what a commit has added is *one* record of the changelog, whatever number of keys. The database gets it at a clean close
 * only: until then its position in the changelog stays before the oldest block that is in memory alone, and who crashes reads those
 * again. When the process's caches are full, the oldest buckets become rows by key (`spilled`), which are read and written one by one through
 * the cache, like any window; new ones begin in memory again. Without a changelog blocks are rows of the database at each commit.
 */
export class JoinStore<V> extends WindowRowStore<Entry<V>[]> {
  /** What the database holds is known: nothing may be asked before. */
  ready = false
  /** Of the value in an entry. */
  readonly value: Serde<V>
  readonly #share: CacheBudget
  readonly #clock: Clock
  readonly #buckets = new Map<number, Bucket<V>>()
  readonly #spilled = new Set<number>() // starts of buckets that are rows
  #loading: Promise<void> | undefined
  #number = 0 // of the next block
  #touched: Bucket<V>[] = []
  #dead: string[] = [] // ids of blocks whose entries are rows now
  readonly #part: number // of the retention
  #oldest = 0 // buckets that begin before are past retention
  #swept = 0 // and those that begin before this have left the memory
  #past: Pick<Bucket<V>, 'start' | 'blocks' | 'since'>[] = [] // of those, the ones whose blocks have no tombstones yet
  #pastRows = -1 // the last of them that it may hold as rows
  #next: number | undefined // the changelog's position at the last commit

  constructor(options: RowStoreOptions<Entry<V>[]>, clock: Clock) {
    super(options)
    this.#clock = clock
    this.value = (options.spec.value as EntriesSerde<V>).value
    this.#share = options.budget
    this.#part = Math.ceil((options.spec.retentionMs ?? 0) / PARTS)
  }

  override get dirty(): boolean {
    return super.dirty || this.#touched.length > 0 || this.#dead.length > 0
  }

  override get holds(): boolean {
    return super.holds || (this.#buckets.size > 0 && excess(this.#share, this) > 0)
  }

  /** Reads the buckets into memory, those apart that are rows. */
  load(): Promise<void> {
    this.#loading ??= this.#load()
    return this.#loading
  }

  /** Some bucket is rows: the ids of what is asked for must be prefetched. */
  get anySpilled(): boolean {
    return this.#spilled.size > 0
  }

  spilled(start: number): boolean {
    return this.#spilled.has(start)
  }

  /** Id of a key's row in a spilled bucket. */
  rowId(start: number, key: string): string {
    return windowId(start, ROW + key)
  }

  /** Adds an entry, the value as [from, to) of `bytes`; nothing when the bucket is past retention. Not for a spilled bucket. */
  put(start: number, key: string, time: number, open: boolean, bytes: Buffer, from: number, to: number): void {
    if (start < this.#oldest) return
    let bucket = this.#buckets.get(start)
    if (bucket === undefined) {
      bucket = new Bucket(start, this.value)
      this.#buckets.set(start, bucket)
    }
    if (!bucket.touched) this.#touched.push(bucket)
    const before = bucket.bytes
    bucket.put(key, time, open, bytes, from, to)
    if (bucket.bytes !== before) this.grow(bucket.bytes - before)
    this.changes++
  }

  /** As `put`. @throws EncodeError that names the key, when the value does not encode */
  putValue(start: number, key: string, time: number, open: boolean, value: V): void {
    let bytes: Buffer
    try {
      bytes = this.value.encode(value)
    } catch (cause) {
      throw encodeFault(this.#valueSpec, key, cause)
    }
    this.put(start, key, time, open, bytes, 0, bytes.length)
  }

  /** Adds an entry to a row of a spilled bucket. */
  putRow(row: Row<Entry<V>[]>, entry: Entry<V>): void {
    const entries = row.value ?? []
    insert(entries, entry)
    this.set(row, entries, Math.max(entry.timestamp, row.timestamp), NO_HEADERS)
  }

  /** Adds the key's entries of [from, to] in this bucket to `found`, in the order of time. Not for a spilled bucket. */
  collect(start: number, key: string, from: number, to: number, found: Entry<V>[] | undefined): Entry<V>[] | undefined {
    const bucket = this.#buckets.get(start)
    return bucket === undefined ? found : this.#collect(bucket, key, from, to, found)
  }

  /** Whether an entry of that key and time may wait for a partner. Not for a spilled bucket. */
  hasOpen(start: number, key: string, time: number): boolean {
    return this.#buckets.get(start)?.hasOpen(key, time) ?? false
  }

  /** Says whether entries of that key and time wait for a partner. Not for a spilled bucket. */
  setOpen(start: number, key: string, time: number, open: boolean): void {
    this.#buckets.get(start)?.setOpen(key, time, open)
  }

  override resume(streamTime: number): void {
    super.resume(streamTime)
    this.observe(streamTime)
  }

  /** What is past retention leaves the memory at once: nobody looks at it. */
  override observe(streamTime: number): void {
    super.observe(streamTime)
    this.#oldest = Math.max(this.#oldest, this.oldest(streamTime))
    // Not at every call: a join of few ms with a long grace has very many buckets.
    if (this.#oldest - this.#swept >= this.#part) this.#forgetPast()
  }

  override expire(streamTime: number): MaybePromise<void> {
    this.observe(streamTime)
    return super.expire(streamTime)
  }

  /** Buckets past retention leave the memory. */
  #forgetPast(): void {
    this.#swept = this.#oldest
    for (const bucket of this.#buckets.values()) {
      if (bucket.start >= this.#oldest) continue
      this.#forget(bucket)
      this.#past.push({ start: bucket.start, blocks: bucket.blocks, since: bucket.since })
    }
    for (const start of this.#spilled) {
      if (start < this.#oldest && this.#spilled.delete(start)) this.#pastRows = Math.max(this.#pastRows, start)
    }
  }

  /** Known without a scan, which would read every block for its key. */
  protected override async held(from: Buffer, to: Buffer, limit: number): Promise<Buffer[]> {
    this.#forgetPast()
    let keys = this.ready ? this.#pastKeys(from, to, limit) : []
    if (!this.ready || this.#pastRows >= 0) {
      const all = keys.concat(await super.held(from, to, limit)).sort(Buffer.compare)
      keys = all.filter((key, i) => i === 0 || !key.equals(all[i - 1]!)).slice(0, limit)
    }
    if (this.ready && keys.length < limit) {
      const waits = (start: number): boolean => localKey(this.id, windowId(start, '')).compare(to) >= 0
      if (!waits(this.#pastRows)) this.#pastRows = -1
      this.#past = this.#past.filter(({ start }) => waits(start))
    }
    return keys
  }

  #pastKeys(from: Buffer, to: Buffer, limit: number): Buffer[] {
    const keys: Buffer[] = []
    for (const { start, blocks } of this.#past.sort((a, b) => a.start - b.start)) {
      for (const number of blocks) {
        if (keys.length === limit) return keys
        const key = localKey(this.id, blockId(start, number))
        if (key.compare(from) >= 0 && key.compare(to) < 0) keys.push(key)
      }
    }
    return keys
  }

  override flush(changelog: ChangelogSink | undefined): MaybePromise<void> {
    this.#spill(excess(this.#share, this))
    const touched = this.#touched
    this.#touched = []
    for (const bucket of touched) if (!bucket.gone) this.#giveBlocks(bucket, changelog)
    const given = super.flush(changelog)
    if (given instanceof Promise) return given.then(() => this.#bury(changelog))
    this.#bury(changelog)
  }

  /**
   * How far the database goes with the changelog when it has this commit: up to the oldest block that is only in memory.
   * @param next the changelog's position behind the commit
   * @param known the last one that the database was given
   */
  reached(next: number, known: number): number {
    const before = this.#next ?? known
    this.#next = next
    let reached = next
    for (const part of [...this.#buckets.values(), ...this.#past]) {
      if (part.since === BEFORE_ALL) part.since = before
      if (part.since !== undefined) reached = Math.min(reached, part.since)
    }
    return reached
  }

  /**
   * Before a clean close: the blocks go into the database, so that they are not read again; those past retention, which still need their
   * tombstones, without their entries.
   * @returns how far the database goes now; undefined when nothing was committed
   */
  async settle(): Promise<number | undefined> {
    const blocks: [id: string, bytes: Buffer][] = []
    for (const { start, unwritten } of this.#buckets.values()) {
      for (const { number, bytes } of unwritten) blocks.push([blockId(start, number), bytes])
    }
    const none = Buffer.alloc(BLOCK_HEAD)
    for (const { start, since, blocks: numbers } of this.#past) {
      if (since !== undefined) for (const number of numbers) blocks.push([blockId(start, number), none])
    }
    for (let at = 0; at < blocks.length; ) {
      await this.database.write((batch) => {
        for (let size = 0; at < blocks.length && size < WRITE_BYTES; at++) {
          const [id, bytes] = blocks[at]!
          batch.put(localKey(this.id, id), bytes)
          size += bytes.length
        }
      })
    }
    for (const bucket of this.#buckets.values()) bucket.unwritten = []
    for (const part of [...this.#buckets.values(), ...this.#past]) part.since = undefined
    return this.#next
  }

  override restoreSet(set: RecordSet): RestoredRows {
    this.ready = false
    this.#loading = undefined
    this.#next = undefined
    return super.restoreSet(set)
  }

  override clear(): void {
    super.clear()
    this.#buckets.clear()
    this.#spilled.clear()
    this.#touched = []
    this.#dead = []
    this.#past = []
    this.#next = undefined
    this.#pastRows = -1
    this.#oldest = 0
    this.#swept = 0
    this.#number = 0
    this.#loading = undefined
    this.ready = false
  }

  async #load(): Promise<void> {
    let next = await this.#firstId('')
    while (next !== undefined) {
      const start = windowStart(next)
      const bucket = new Bucket(start, this.value)
      const rows = windowId(start, ROW)
      if (next < rows) {
        for await (const chunk of this.database.range({ from: localKey(this.id, next), to: localKey(this.id, rows) })) {
          for (const [key, bytes] of chunk) {
            bucket.adopt(bytes, ROW_VALUE_AT, bytes.length)
            bucket.blocks.push(readInt64(key, key.length - 8))
          }
        }
        this.#number = Math.max(this.#number, bucket.blocks.at(-1)!)
        this.#buckets.set(start, bucket)
        this.grow(bucket.bytes)
        next = await this.#firstId(rows)
      }
      if (next === undefined || windowStart(next) !== start) continue
      this.#spilled.add(start)
      if (bucket.blocks.length > 0) await this.#finishSpill(bucket)
      next = await this.#firstId(windowId(start + 1, ''))
    }
    this.#number = Math.max(Math.floor(this.#number / LIFE) + 1, Math.floor(this.#clock.now() / 1_000)) * LIFE
    this.ready = true
  }

  async #firstId(from: string): Promise<string | undefined> {
    const range = { from: localKey(this.id, from), to: storeEnd(this.id), limit: 1 }
    for await (const [[key]] of this.database.range(range) as AsyncIterable<[[Buffer, Buffer]]>) {
      return key.toString('latin1', 2)
    }
  }

  #giveBlocks(bucket: Bucket<V>, changelog: ChangelogSink | undefined): void {
    for (const { bytes, from, to, time } of bucket.take()) {
      const number = this.#number++
      bucket.blocks.push(number)
      writeInt64(bytes, time, from - BLOCK_HEAD)
      const id = blockId(bucket.start, number)
      const row = bytes.subarray(from - BLOCK_HEAD, to)
      if (changelog === undefined) {
        this.#leave(id, row)
        continue
      }
      bucket.unwritten.push({ number, bytes: row })
      bucket.bytes += BLOCK_OVERHEAD
      this.grow(BLOCK_OVERHEAD)
      bucket.since ??= this.#next ?? BEFORE_ALL
      changelog(Buffer.from(id, 'latin1'), bytes.subarray(from, to), time)
    }
  }

  /** To the database with the next persist, past the cache. */
  #leave(id: string, bytes: Buffer | null): Buffer {
    const row = new CachedRow<Entry<V>[]>(id, null, -1, 0)
    row.cached = false
    row.key = localKey(this.id, id)
    row.flushed = bytes
    this.flushed.push(row)
    return row.key
  }

  /**
   * The oldest buckets, until they have freed so many bytes: one of them alone may be less than what has come since the last flush. Their
   * rows take some of it again, until they are persisted.
   */
  #spill(bytes: number): void {
    if (bytes <= 0) return
    let left = bytes
    for (const bucket of [...this.#buckets.values()].sort((a, b) => a.start - b.start)) {
      left -= bucket.bytes
      for (const key of bucket.keys()) this.#toRow(bucket, key, this.known(this.rowId(bucket.start, key), null))
      this.#spilled.add(bucket.start)
      this.#retire(bucket)
      if (left <= 0) return
    }
  }

  /**
   * At-least-once, a crash may come between the rows of a spill and the tombstones of its blocks, and a predecessor that does not know yet that it
   * was replaced may make rows of what it knew. So a row gets those entries of the blocks that it lacks, and none a second time.
   */
  async #finishSpill(bucket: Bucket<V>): Promise<void> {
    for (const key of bucket.keys()) {
      const row = await this.row(this.rowId(bucket.start, key))
      if (row.value === null) this.#toRow(bucket, key, row)
      else for (const entry of this.#lacking(row.value, this.#all(bucket, key))) this.putRow(row, entry)
    }
    this.#retire(bucket)
  }

  #lacking(there: readonly Entry<V>[], entries: readonly Entry<V>[]): Entry<V>[] {
    const left = there.map(({ timestamp, value }) => ({ timestamp, bytes: this.value.encode(value) }))
    return entries.filter(({ timestamp, value }) => {
      const bytes = this.value.encode(value)
      const at = left.findIndex((other) => other.timestamp === timestamp && bytes.equals(other.bytes))
      if (at >= 0) left.splice(at, 1)
      return at < 0
    })
  }

  #all(bucket: Bucket<V>, key: string): Entry<V>[] {
    return this.#collect(bucket, key, 0, Number.MAX_SAFE_INTEGER, undefined)!
  }

  #toRow(bucket: Bucket<V>, key: string, row: Row<Entry<V>[]>): void {
    const entries = this.#all(bucket, key)
    this.set(row, entries, entries[entries.length - 1]!.timestamp, NO_HEADERS)
  }

  #collect(
    bucket: Bucket<V>,
    key: string,
    from: number,
    to: number,
    found: Entry<V>[] | undefined
  ): Entry<V>[] | undefined {
    try {
      return bucket.collect(key, from, to, found)
    } catch (cause) {
      throw decodeFault(this.#valueSpec, key, cause)
    }
  }

  /** For messages: of one value. */
  get #valueSpec() {
    return { ...this.spec, value: this.value }
  }

  #retire(bucket: Bucket<V>): void {
    for (const number of bucket.blocks) this.#dead.push(blockId(bucket.start, number))
    this.#forget(bucket)
  }

  #forget(bucket: Bucket<V>): void {
    bucket.gone = true
    this.#buckets.delete(bucket.start)
    this.grow(-bucket.bytes)
  }

  /** Tombstones of blocks, behind the rows that have their entries now. */
  #bury(changelog: ChangelogSink | undefined): void {
    const dead = this.#dead
    this.#dead = []
    for (const id of dead) changelog?.(this.#leave(id, null).subarray(2), null, windowStart(id))
  }
}

/** Numbers in the order of their bytes. */
const blockId = (start: number, number: number): string => windowId(start, BLOCK + windowId(number, ''))
