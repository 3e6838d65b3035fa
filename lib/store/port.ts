/** What the engine needs from local state: a database per task below, stores with a write-back cache above. */
import type { Headers, RecordSet, Serde } from '../record.ts'

export type MaybePromise<T> = T | Promise<T>

/** One atomic write. Keys and values are kept until the write is done: hand over buffers that do not change. */
export interface WriteBatch {
  put(key: Buffer, value: Buffer): void
  /** As `put`, of the key [start, split) and the value [split, end) of `rows`. */
  putRow(rows: Buffer, start: number, split: number, end: number): void
  delete(key: Buffer): void
  /** All keys in [from, to). */
  deleteRange(from: Buffer, to: Buffer): void
}

/** An ordered key-value database of one task (RocksDB or memory). Reads may answer at once or by a promise. */
export interface Database {
  get(key: Buffer): MaybePromise<Buffer | null>
  /** In the order of `keys`; null = absent. One call into the binding. */
  getMany(keys: Buffer[]): MaybePromise<(Buffer | null)[]>
  /** Keys in [from, to), ascending, or descending with `reverse`; in chunks, so that a scan is few calls into the binding. */
  range(options: {
    from: Buffer
    to: Buffer
    reverse?: boolean
    limit?: number
  }): AsyncIterable<(readonly [key: Buffer, value: Buffer])[]>
  /** All or nothing, also after SIGKILL. */
  write(fill: (batch: WriteBatch) => void): Promise<void>
  /** Waits for running calls, then closes. Further calls throw StateError. */
  close(): Promise<void>
}

export type Binding = 'rocksdb-native' | 'rocksdb' | 'memory'

export interface DatabaseDriver {
  readonly name: Binding
  /** False: nothing survives a close, restore always starts at the beginning. */
  readonly durable: boolean
  /** Begins to load the native module, which takes some 30 ms: while a start waits for its brokers. What fails is thrown by `open`. */
  load?(): void
  /** @throws StoreCorruptedError when the files cannot be read. */
  open(directory: string): Promise<Database>
  /** Removes the files. */
  destroy(directory: string): Promise<void>
}

/** Bytes of all write-back caches of the process. `cacheBudget(limit)` of lib/store/cache/budget.ts makes one. */
export interface CacheBudget {
  readonly limit: number
  used: number
}

/** What a topology says of a store. */
export interface StoreSpec<K = unknown, V = unknown> {
  readonly name: string
  readonly kind: 'keyValue' | 'window' | 'session' | 'buffer' | 'join'
  readonly key: Serde<K>
  readonly value: Serde<V>
  /** Key-value stores: a row leaves when stream time has passed its own time by this, ms. Needs a store `expiryName(name)` beside it. */
  readonly ttlMs?: number
  /** Window stores: how long after its start a window is kept, in ms of stream time (size + grace at least). */
  readonly retentionMs?: number
  /** Window stores: the size of each window, in ms. */
  readonly windowMs?: number
  /** Versioned tables: rows are the versions of a value, kept for so long, in ms of stream time. */
  readonly historyMs?: number
  /** Aggregations forward on flush (deduplicated per key) instead of at once. Default true. */
  readonly caching: boolean
  /** Written to a changelog topic and restored from it. Default true. */
  readonly logged: boolean
  /** Overrides of the changelog topic's configuration. */
  readonly topicConfig?: Readonly<Record<string, string>>
  /** Another store of the task that follows from this one's rows. It needs no changelog: restore makes it from the rows. */
  readonly index?: StoreIndex
}

/**
 * Two changelogs cannot be written at once: a crash between them would leave a row without its place in the order of time, for ever. So
 * only the rows are logged, and restore makes their places. Some of older rows may be left (places that moved): whoever follows a place looks at
 * the row, and drops the place when the row does not know it.
 */
export interface StoreIndex {
  /** Name of the store. Its rows have ids, and empty values. */
  readonly store: string
  /** Ids in it of a row: bytes of its key and value, and its time. */
  ids(key: Buffer, value: Buffer, timestamp: number): Iterable<string>
}

/** The store that knows when the rows of a store with a time to live are to be looked at. */
export const expiryName = (store: string): string => `${store}-expiry`

/**
 * One row in the write-back cache: the deserialised value, serialised once at flush however often it changed.
 * `id` is the binary key as latin1 text (an exact and cheap mapping); window rows have `start(8 bytes big-endian) ‖ key`.
 */
export interface Row<V> {
  readonly id: string
  /** null = absent. */
  value: V | null
  /** Event time of the value, ms; -1 when absent. */
  timestamp: number
  headers: Headers
  readonly dirty: boolean
  /** The value that was last given downstream (what `Change.old` needs); equals `value` of the last flush. */
  readonly sent: V | null
}

/** Where a flush puts changelog records: key bytes, value bytes (null = tombstone), timestamp. Bytes are copied at the call. */
export interface ChangelogSink {
  (key: Buffer, value: Buffer | null, timestamp: number): void
  /** The same for row `at` of a set, without views made of it. */
  row?(set: RecordSet, at: number): void
}

/** Called at flush once per changed row, with what was sent before, and where its bytes lie: row `at` of the flush's set. */
export type FlushHandler<V> = (row: Row<V>, old: V | null, set: RecordSet, at: number) => MaybePromise<void>

/** What the task drives on every store, whatever its kind. The order of the four is the commit order of the architecture. */
export interface TaskStore {
  readonly spec: StoreSpec
  /** True when something changed since the last flush. */
  readonly dirty: boolean
  /**
   * Commit step 1: gives every changed row once to `onFlush` (which forwards downstream and may change stores further down), and to the changelog.
   * Rows changed while it runs stay dirty for the next call: the caller repeats in topological order until nothing is dirty.
   */
  flush(changelog: ChangelogSink | undefined): MaybePromise<void>
  /** Commit step 4: what was flushed since the last persist goes into the task's one write batch. */
  persist(batch: WriteBatch): void
  /** After the batch is written: those rows are clean and may be evicted. */
  persisted(): void
  /** A changelog record on restore, straight into the batch, without the cache. */
  restore(batch: WriteBatch, key: Buffer, value: Buffer | null, timestamp: number): void
  /** As `restore`, for all records of a set that have a key. What comes of it must be put. */
  restoreSet(set: RecordSet): RestoredRows
  /** Where an earlier life stood: what has expired by then may leave with the first commit. */
  resume(streamTime: number): void
  /** The stream time that rows are kept by has come to this. Nothing leaves before a commit does. */
  observe(streamTime: number): void
  /**
   * A commit begins. What has expired by the stream time of the last commit that is through leaves with it (tombstones to the changelog at
   * the flush, deletes at persist): at-least-once, what expires later must be there for the records that come again after a crash.
   * @param atomic the changelog comes with the offsets or not at all: what has expired by now leaves at once
   */
  cut(atomic: boolean): MaybePromise<void>
  /** More has expired than has left: further commits are wanted, though nothing else is to be committed. */
  readonly expiring: boolean
}

/** Rows on their way into the database, those of one key in the order of the log. */
export interface RestoredRows {
  readonly count: number
  /** Puts the rows [from, to) into a batch. */
  put(batch: WriteBatch, from: number, to: number): void
}

/** The row level that operators work on. Ids, not keys: a record's key bytes are an id without being decoded. */
export interface RowStore<V> extends TaskStore {
  /** The cached row, or a promise when it must be read; never undefined: an absent row has value null. */
  row(id: string): MaybePromise<Row<V>>
  /** Reads all rows of `ids` that are not cached with one multi-get; undefined = a record without a key. */
  prefetch(ids: Iterable<string | undefined>): MaybePromise<void>
  /** Changes a row obtained by `row` in this batch, and marks it dirty. value null deletes. */
  set(row: Row<V>, value: V | null, timestamp: number, headers: Headers): void
  /** Set by the operator that owns the store. */
  onFlush: FlushHandler<V> | undefined
}

/** The typed face for user code and queries. Values must not be mutated nor kept: they are the cache's own. */
export interface KeyValueStore<K, V> extends ReadableStore<K, V> {
  /** Timestamp defaults to that of the record in hand. */
  put(key: K, value: V, timestamp?: number): MaybePromise<void>
  delete(key: K): MaybePromise<void>
}

/** A store that may only be read: that of a global table. */
export interface ReadableStore<K, V> {
  get(key: K): MaybePromise<V | null>
  /** Keys in [from, to] by their bytes, cache included. */
  range(from: K, to: K, options?: { reverse?: boolean; limit?: number }): AsyncIterable<[K, V]>
  all(): AsyncIterable<[K, V]>
}

export interface WindowStore<K, V> {
  /** `start` is the window's start, ms. A put to a window past retention is refused (dropped). */
  put(key: K, value: V, start: number): MaybePromise<void>
  fetch(key: K, start: number): MaybePromise<V | null>
  /** Windows of one key that start in [from, to], in time order. */
  fetchRange(key: K, from: number, to: number): AsyncIterable<[start: number, V]>
  /** All windows that start in [from, to], in time order. */
  all(from?: number, to?: number): AsyncIterable<[{ key: K; start: number }, V]>
}
