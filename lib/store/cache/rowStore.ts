/** The write-back cache over a task's database: values as objects, serialised once at flush, however often they changed. */
import type { Headers, RecordSet } from '../../record.ts'
import { latin1, localKey, ROW_VALUE_AT, readInt64, rowBytes, storeEnd } from '../bytes.ts'
import type {
  CacheBudget,
  ChangelogSink,
  Database,
  FlushHandler,
  MaybePromise,
  RestoredRows,
  Row,
  RowStore,
  StoreSpec,
  WriteBatch
} from '../port.ts'
import { Aging } from './aging.ts'
import { type Evictor, enrol, resign, shrink } from './budget.ts'
import { encodeRows, flushedBytes, flushedKey } from './encode.ts'
import { decodeFault } from './faults.ts'
import { IdFilter } from './idFilter.ts'
import { SortedRows } from './restored.ts'
import { CachedRow } from './row.ts'
import { mergeScan, overlayOf, type Scanned, type ScanRange } from './scan.ts'

/** Heap of a row without its value: object, Map entry, id. */
const ROW_OVERHEAD = 240
/** A deserialised value and the one that was sent before, against the bytes of one. */
const HEAP_PER_BYTE = 2
/** A row whose read is being put together in the same call: nobody can wait for it yet. */
const UNASKED: Promise<unknown> = Promise.resolve()
/** Rows that the eviction may look at before a batch; after a commit it may look at all. */
const STEPS = 20_000

export interface RowStoreOptions<V> {
  readonly spec: StoreSpec<unknown, V>
  /** The store's number in the database: the prefix of its keys. */
  readonly id: number
  readonly database: Database
  readonly budget: CacheBudget
  /** The database holds no row of this store yet. Default false: not known. */
  readonly empty?: boolean
}

/**
 * A row passes through: read → set (dirty) → flushed (changelog and downstream have it, the database not) → writing → clean.
 * Only clean rows are evicted. A row may be set again in every state: what is persisted are the flushed bytes, never the
 * newer value, so that the database always equals the changelog up to the position written with it.
 */
export class CachedRowStore<V> extends Aging implements RowStore<V>, Evictor {
  readonly spec: StoreSpec<unknown, V>
  readonly id: number
  onFlush: FlushHandler<V> | undefined = undefined
  order: ((rows: CachedRow<V>[]) => CachedRow<V>[]) | undefined = undefined // of a flush: a crash may leave half of it in the changelog

  /** Calls of `set` since it was opened. */
  changes = 0
  protected readonly database: Database
  protected readonly rows = new Map<string, CachedRow<V>>()
  protected changed: CachedRow<V>[] = [] // dirty, in the order of the first change since the last flush
  protected flushed: CachedRow<V>[] = [] // each once, in the order of the first flush since the last persist
  #writing: CachedRow<V>[] = [] // in the database write under way
  #giving: readonly CachedRow<V>[] = [] // of the flush under way: an operator may scan while it is given a row
  readonly #budget: CacheBudget
  #bytes = 0
  #hand: IterableIterator<CachedRow<V>> // of the eviction clock
  #ahead: CachedRow<V>[] = [] // of the last prefetch
  #at = 0 // the next one of them
  #typical = 64 // bytes of a serialised value, a moving average
  #ids: IdFilter | undefined // of all that is, or may be, in the database; undefined = not known, always read

  constructor({ spec, id, database, budget, empty = false }: RowStoreOptions<V>) {
    super()
    this.spec = spec
    this.id = id
    this.database = database
    this.#budget = budget
    this.#hand = this.rows.values()
    if (empty) this.#ids = new IdFilter(budget)
    enrol(budget, this)
  }

  get dirty(): boolean {
    return this.changed.length > 0
  }

  /** Some rows wait for a flush or a persist and cannot be evicted. */
  get holds(): boolean {
    return this.changed.length + this.flushed.length + this.#writing.length > 0
  }

  /** Heap this cache is held to use. */
  get bytes(): number {
    return this.#bytes
  }

  /** Rows in the cache. */
  get size(): number {
    return this.rows.size
  }

  row(id: string): MaybePromise<CachedRow<V>> {
    const row = this.#next(id) ?? this.rows.get(id)
    if (row === undefined) return this.#read(id)
    row.used = true
    // Two ask for the same row: one read. When it fails, the row is gone from the cache and the second asks anew.
    if (row.loading !== undefined) return row.loading.then(() => this.row(id))
    return row
  }

  /**
   * The cached row, or a new one without a read: for ids of which the caller knows what the store holds.
   * @param value what the store holds under the id; null = nothing
   */
  known(id: string, value: V | null): Row<V> {
    const cached = this.rows.get(id)
    if (cached !== undefined && cached.loading === undefined) {
      cached.used = true
      return cached
    }
    this.#makeRoom()
    const row = cached ?? this.#expect(id)
    row.loading = undefined
    row.value = row.sent = value
    return row
  }

  prefetch(ids: Iterable<string | undefined>): MaybePromise<void> {
    let misses: CachedRow<V>[] | undefined
    let pending: Set<Promise<unknown>> | undefined
    const ahead: CachedRow<V>[] = []
    this.#ahead = ahead
    this.#at = 0
    for (const id of ids) {
      if (id === undefined) continue
      const row = this.rows.get(id)
      if (row === undefined) {
        misses ??= this.#makeRoom()
        const expected = this.#expect(id) // its place in the Map also tells doubles within `ids`
        if (expected.loading !== undefined) misses.push(expected)
        ahead.push(expected)
        continue
      }
      ahead.push(row)
      row.used = true
      if (row.loading === undefined || row.loading === UNASKED) continue
      pending ??= new Set()
      pending.add(row.loading)
    }
    const own = misses && misses.length > 0 ? this.#load(misses) : undefined
    if (pending === undefined) return own
    if (own !== undefined) pending.add(own)
    return Promise.all(pending).then(() => {})
  }

  set(row: Row<V>, value: V | null, timestamp: number, headers: Headers): void {
    this.changes++
    let target = row as CachedRow<V>
    if (!target.cached) target = this.#readmit(target, value, timestamp)
    target.value = value
    target.timestamp = timestamp
    target.headers = headers
    if (target.dirty) return
    target.dirty = true
    this.changed.push(target)
  }

  flush(changelog: ChangelogSink | undefined): MaybePromise<void> {
    if (this.changed.length === 0) return
    const rows = this.order ? this.order(this.changed) : this.changed
    const encoded = encodeRows(this.spec, this.id, rows) // first all of them: a value that does not encode must not leave others half-written
    this.changed = []
    this.#giving = rows
    for (const row of rows) row.dirty = false
    for (let i = 0; i < rows.length; i++) {
      const answer = this.#give(rows, encoded, i, changelog)
      if (answer instanceof Promise) return this.#giveRest(answer, rows, encoded, i + 1, changelog)
    }
    this.#giving = []
  }

  persist(batch: WriteBatch): void {
    const rows = this.flushed
    this.flushed = []
    // A write that failed leaves its rows here: they stay held, its task is about to close.
    this.#writing = this.#writing.length > 0 ? this.#writing.concat(rows) : rows
    for (const row of rows) {
      const bytes = flushedBytes(row)
      if (bytes !== null) {
        this.#remember(row.id)
        batch.put(flushedKey(row), bytes)
      } else batch.delete(flushedKey(row))
      row.flushed = undefined
      row.writing = true
    }
  }

  override persisted(): void {
    super.persisted()
    for (const row of this.#writing) {
      row.writing = false
      if (row.flushed === undefined && row.value === null && !row.dirty) row.timestamp = -1
    }
    this.#writing = []
    shrink(this.#budget, Number.POSITIVE_INFINITY)
  }

  restore(batch: WriteBatch, key: Buffer, value: Buffer | null, timestamp: number): void {
    const id = latin1(key)
    const local = localKey(this.id, id)
    if (value === null) batch.delete(local)
    else {
      this.#remember(id)
      batch.put(local, rowBytes(timestamp, value))
    }
  }

  restoreSet(set: RecordSet): RestoredRows {
    return new SortedRows(set, this.id, this.#ids, () => this.#knowNothing())
  }

  /** Rows by the order of their ids, cache over database, as they are at this call. */
  scan(range: ScanRange): AsyncGenerator<Scanned<V>> {
    const overlay = overlayOf(this.#held(), range)
    const chunks = this.database.range({
      from: localKey(this.id, range.from),
      to: range.to === undefined ? storeEnd(this.id) : localKey(this.id, range.to),
      ...(range.reverse ? { reverse: true } : {}),
      // The overlay may hide rows, each at most one.
      ...(range.limit === undefined ? {} : { limit: range.limit + overlay.length })
    })
    return mergeScan(overlay, chunks, (key, value) => this.#scanned(key, value), range)
  }

  evict(bytes: number, steps: number): number {
    let freed = 0
    let left = Math.min(steps, this.rows.size * 2 + 2)
    if (this.changed.length + this.flushed.length + this.#writing.length >= this.rows.size) return 0
    while (freed < bytes && left-- > 0) {
      const next = this.#hand.next()
      if (next.done) {
        this.#hand = this.rows.values()
        continue
      }
      const row = next.value
      if (row.held) continue
      if (row.used) row.used = false
      else freed += this.drop(row)
    }
    return freed
  }

  /** Forgets every row, changes included (the database was wiped, or the task closes). */
  override clear(): void {
    super.clear()
    for (const row of this.rows.values()) row.cached = false
    this.rows.clear()
    this.#ahead = []
    this.#hand = this.rows.values()
    this.changed = []
    this.flushed = []
    this.#writing = []
    this.#budget.used -= this.#bytes
    this.#bytes = 0
  }

  /** `clear` after the database was wiped: from here on it is known what is in it. */
  wiped(): void {
    this.clear()
    this.#ids?.clear()
    this.#ids = new IdFilter(this.#budget)
  }

  /** `clear`, and the budget forgets this cache. */
  release(): void {
    this.clear()
    this.#knowNothing()
    resign(this.#budget, this)
  }

  protected drop(row: CachedRow<V>): number {
    this.rows.delete(row.id)
    row.cached = false
    this.grow(-row.size)
    return row.size
  }

  /** Mostly rows are asked for in the order in which they were prefetched, some left out: no look-up then. */
  #next(id: string): CachedRow<V> | undefined {
    let row = this.#ahead[this.#at]
    if (row === undefined) return undefined
    if (row.id !== id) {
      row = this.#ahead[this.#at + 1]
      if (row === undefined || row.id !== id) return undefined
      this.#at++
    }
    this.#at++
    return row.cached ? row : undefined
  }

  #read(id: string): MaybePromise<CachedRow<V>> {
    this.#makeRoom()
    const row = this.#expect(id)
    const answer = row.loading && this.#load([row])
    return answer === undefined ? row : answer.then(() => row)
  }

  /** Takes the row's place in the cache before the database has answered, if it must be asked. */
  #expect(id: string): CachedRow<V> {
    const size = ROW_OVERHEAD + id.length + HEAP_PER_BYTE * this.#typical
    const row = new CachedRow<V>(id, null, -1, size)
    if (this.#ids === undefined || this.#ids.mayHold(id)) row.loading = UNASKED
    this.rows.set(id, row)
    this.grow(size)
    return row
  }

  /** Before the row is written: a filter that knows too much only costs a read. */
  #remember(id: string): void {
    if (this.#ids !== undefined && !this.#ids.add(id)) this.#knowNothing()
  }

  #knowNothing(): void {
    this.#ids?.clear()
    this.#ids = undefined
  }

  /** One multi-get for expected rows. */
  #load(rows: readonly CachedRow<V>[]): MaybePromise<void> {
    try {
      const keys = new Array<Buffer>(rows.length)
      for (let i = 0; i < rows.length; i++) keys[i] = localKey(this.id, rows[i]!.id)
      const answer = this.database.getMany(keys)
      if (!(answer instanceof Promise)) return this.#admit(rows, answer)
      const loading = answer.then(
        (values) => this.#admit(rows, values),
        (error) => this.#forget(rows, error)
      )
      for (const row of rows) row.loading = loading
      return loading
    } catch (error) {
      this.#forget(rows, error)
    }
  }

  /** Rows from the database; absent ones stay in the cache too, so that a new key is asked for once. */
  #admit(rows: readonly CachedRow<V>[], values: readonly (Buffer | null)[]): void {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!
      const bytes = values[i]!
      if (bytes !== null) {
        try {
          row.value = row.sent = this.#decode(row.id, bytes)
        } catch (error) {
          this.#forget(rows.slice(i), error)
        }
        row.timestamp = readInt64(bytes, 0)
        this.#resize(row, bytes.length - ROW_VALUE_AT)
      }
      row.loading = undefined
    }
  }

  /** The read failed: the next one who asks reads again. */
  #forget(rows: readonly CachedRow<V>[], error: unknown): never {
    for (const row of rows) {
      row.loading = undefined
      if (row.cached) this.drop(row)
    }
    throw error
  }

  /**
   * An operator held a row over a batch, in which it was evicted. It was clean, so what it holds is what the database has: it goes back
   * in, unless the row was read anew since; then that one is changed, and the held one only follows.
   */
  #readmit(row: CachedRow<V>, value: V | null, timestamp: number): CachedRow<V> {
    const current = this.rows.get(row.id)
    if (current !== undefined) {
      row.value = value
      row.timestamp = timestamp
      return current
    }
    row.cached = true
    row.used = true
    this.rows.set(row.id, row)
    this.grow(row.size)
    return row
  }

  /** One row to the changelog and downstream. A throw leaves it and those behind it dirty. */
  #give(
    rows: readonly CachedRow<V>[],
    encoded: RecordSet,
    i: number,
    changelog: ChangelogSink | undefined
  ): MaybePromise<void> {
    const row = rows[i]!
    // Set again while a row before it was on its way downstream: the next flush gives it, once, with the newer value.
    if (row.dirty) return
    const old = row.sent
    if (row.value === null && old === null) {
      row.timestamp = -1
      return // it came and went between two flushes: nobody has seen it
    }
    try {
      if (changelog !== undefined) {
        if (changelog.row !== undefined) changelog.row(encoded, i)
        else changelog(encoded.key(i)!, encoded.value(i), row.timestamp)
      }
      if (row.flushed === undefined) this.flushed.push(row)
      row.flushed = encoded
      row.at = i
      this.#resize(row, row.value === null ? 0 : encoded.valueEnd[i]! - encoded.valueStart[i]!)
      row.sent = row.value
      const answer = this.onFlush?.(row, old, encoded, i)
      if (answer instanceof Promise) return answer
    } catch (error) {
      this.#keep(rows, i)
      throw error
    }
  }

  async #giveRest(
    first: Promise<void>,
    rows: readonly CachedRow<V>[],
    encoded: RecordSet,
    from: number,
    changelog: ChangelogSink | undefined
  ): Promise<void> {
    let given: Promise<void> | undefined = first
    for (let i = from; ; i++) {
      try {
        if (given) await given
      } catch (error) {
        this.#keep(rows, i - 1)
        throw error
      }
      if (i >= rows.length) {
        this.#giving = []
        return
      }
      const answer = this.#give(rows, encoded, i, changelog)
      given = answer instanceof Promise ? answer : undefined
    }
  }

  /** Marks rows from `i` on as changed again, before those changed since. */
  #keep(rows: readonly CachedRow<V>[], i: number): void {
    const rest = rows.slice(i).filter((row) => !row.dirty)
    for (const row of rest) row.dirty = true
    this.changed = rest.concat(this.changed)
    this.#giving = []
  }

  /** Rows that the changelog has, and the database perhaps not yet. */
  protected *underWay(): Generator<CachedRow<V>> {
    yield* this.flushed
    yield* this.#writing
  }

  #resize(row: CachedRow<V>, length: number): void {
    this.#typical += (length - this.#typical) / 64
    const size = ROW_OVERHEAD + row.id.length + Math.ceil(HEAP_PER_BYTE * length)
    this.grow(size - row.size)
    row.size = size
  }

  protected grow(bytes: number): void {
    this.#bytes += bytes
    this.#budget.used += bytes
  }

  #makeRoom(): CachedRow<V>[] {
    if (this.#budget.used > this.#budget.limit) shrink(this.#budget, STEPS)
    return []
  }

  *#held(): Generator<CachedRow<V>> {
    yield* this.#writing
    yield* this.#giving
    yield* this.flushed
    yield* this.changed
  }

  #scanned(key: Buffer, bytes: Buffer): Scanned<V> {
    const id = latin1(key, 2)
    const row = this.rows.get(id)
    if (row !== undefined && !row.held && row.value !== null) return row as Scanned<V>
    return { id, value: this.#decode(id, bytes), timestamp: readInt64(bytes, 0) }
  }

  #decode(id: string, bytes: Buffer): V {
    try {
      return this.spec.value.decode(bytes, ROW_VALUE_AT, bytes.length)
    } catch (cause) {
      throw decodeFault(this.spec, id, cause)
    }
  }
}
