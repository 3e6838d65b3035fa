/** What the methods of streams may be told beside their functions. */
import type { Serde, StreamRecord } from '../record.ts'
import type { Rule } from '../supervise/rules.ts'
import type { Duration } from '../time.ts'
import type { StoreDefinition } from './store.ts'

export interface NodeOptions {
  /** Default: derived from the operator's place, such as `flights-filter`. */
  readonly name?: string
  /**
   * What follows when a record fails in this node: the first rule that matches; without one the rules of the topology, then of the runtime decide.
   * See docs/supervision.md.
   */
  readonly supervise?: readonly Rule[]
}

export interface SerdeOptions<K, V> extends NodeOptions {
  /** Needed where the key was changed without one. Keys have no default. */
  readonly key?: Serde<K>
  /** Default: the stream's, or json(). */
  readonly value?: Serde<V>
}

export interface RepartitionOptions<K, V> extends SerdeOptions<K, V> {
  /** Partitions of the topic, at least 1. Default: those of the topics it is joined with, else the highest count upstream. */
  readonly partitions?: number
  /**
   * The partition of a record, 0 to partitions − 1. Default: murmur2 of the key's bytes, as in the JVM. Streams and tables that are joined
   * must agree on it, which cannot be checked.
   */
  readonly partitioner?: (record: StreamRecord<NonNullable<K>, V>, partitions: number) => number
}

export interface ToOptions<K, V> extends SerdeOptions<K, V> {
  /** The partition of a record, 0 to partitions − 1. Default: murmur2 of the key's bytes, as in the JVM; without a key, by turns. */
  readonly partitioner?: (record: StreamRecord<K, V>, partitions: number) => number
}

/** The store faces of a tuple of definitions, by name. */
export type StoreFaces<S extends readonly StoreDefinition<string, unknown>[]> = {
  [D in S[number] as D['name']]: D extends StoreDefinition<string, infer F> ? F : never
}

export interface ProcessOptions<K2, V2, S extends readonly StoreDefinition<string, unknown>[]> extends NodeOptions {
  /** What `context.store(name)` gives; a definition used by several nodes is one store. */
  readonly stores?: S
  /** Serde, and type, of the keys that come out. Default: those that go in. */
  readonly key?: Serde<K2>
  /** Serde, and type, of the values that come out. Default: those that go in. */
  readonly value?: Serde<V2>
}

export type ProcessValuesOptions<V2, S extends readonly StoreDefinition<string, unknown>[]> = Omit<
  ProcessOptions<never, V2, S>,
  'key'
>

export interface MapAsyncOptions<V2> extends NodeOptions {
  /** How many records may be under way at once, in each task: at least 1. */
  readonly concurrency: number
  /** A call that takes longer fails its record. Default: none. */
  readonly timeout?: Duration
  /**
   * 'key' (default): results of one key come in the order of its records, those of different keys as they are there. 'input': all in the
   * order of the records, so that a window behind it finds none of them late; a slow one holds the others up.
   */
  readonly order?: 'key' | 'input'
  /** Serde of the results. */
  readonly value?: Serde<V2>
}

export interface JoinOptions<K, V, V2> extends NodeOptions {
  /** For the repartition topic in front of the join, should one be needed. */
  readonly key?: Serde<K>
  /** As `key`: the stream's values before the join. */
  readonly value?: Serde<V>
  /** Serde of the results, where they are written without one of their own. */
  readonly result?: Serde<V2>
  /**
   * Records wait until stream time has passed theirs by so much, so that late changes of the table are there. The table must be versioned,
   * with a history of at least that. Default: they join at once.
   */
  readonly grace?: Duration
  /**
   * With a grace: while a task gets no record for so long, at least 100 ms, time goes on as the wall clock does, and what waits joins. Default: time is
   * that of records only.
   */
  readonly closeIdleAfter?: Duration
  /** With a grace: what waits is written to a changelog topic and restored from it. Default true. */
  readonly logged?: boolean
  /** With a grace: settings of the changelog topic that differ from Millrace's. */
  readonly topicConfig?: Readonly<Record<string, string>>
}
