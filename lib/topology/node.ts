/** The nodes of a topology as data, and the operators that run in them. */
import type { RecordSet, Serde, StreamRecord, Tp } from '../record.ts'
import type { GlobalRows } from '../store/globalRows.ts'
import type { MaybePromise, StoreSpec, TaskStore } from '../store/port.ts'
import type { Rule } from '../supervise/rules.ts'
import type { Clock } from '../time.ts'

/** Event time of a record: ms; negative skips the record. `partitionTime` is the highest time seen on its partition, -1 before. */
export type TimestampExtractor<K, V> = (record: StreamRecord<K, V>, partitionTime: number) => number

export interface SourceNode {
  readonly kind: 'source'
  readonly name: string
  readonly topics: readonly string[]
  /** It reads all topics that match; `topics` has the pattern's label until they are known. */
  readonly pattern?: RegExp
  // biome-ignore lint/suspicious/noExplicitAny: the typed builders above guarantee that the parts fit
  readonly key: Serde<any>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly value: Serde<any>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly timestamp?: TimestampExtractor<any, any>
  /** Where to start without a committed offset. Default 'earliest'. */
  readonly offsetReset?: 'earliest' | 'latest' | 'none'
}

export interface ProcessorNode {
  readonly kind: 'processor'
  readonly name: string
  readonly parents: readonly string[]
  readonly stores: readonly string[]
  /** Global tables it reads. */
  readonly globals?: readonly string[]
  /** A new operator for each task. */
  readonly create: () => Operator
  /** The key that goes in comes out: prefetching may look through this node. */
  readonly keepsKey: boolean
  /** What it does, in a word, for people: 'join'. */
  readonly what?: string
  /** What follows when a record fails here; before the rules of the topology and of the runtime. */
  readonly supervise?: readonly Rule[]
}

export interface SinkNode {
  readonly kind: 'sink'
  readonly name: string
  readonly parents: readonly string[]
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly topic: string | ((record: StreamRecord<any, any>) => string)
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly key: Serde<any>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly value: Serde<any>
  /** null = the default (murmur2 of the key's bytes, as Java). */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly partitioner?: (record: StreamRecord<any, any>, partitions: number) => number
  /** As that of a processor. */
  readonly supervise?: readonly Rule[]
}

export type Node = SourceNode | ProcessorNode | SinkNode

/** What changed in a table: flows as the value of a table's records. null = absent. */
export interface Change<V> {
  readonly value: V | null
  readonly old: V | null
  /** false: an older version that came late to a versioned table. The present value is still another. */
  readonly latest?: false
}

/** Where the record in hand came from; undefined in punctuators and timers. */
export interface RecordContext extends Tp {
  readonly offset: number
}

export interface Cancellable {
  cancel(): void
}

/** What an operator may ask of its task. One object per node and task, alive from `init` to `close`. */
export interface OperatorContext {
  readonly applicationId: string
  readonly taskId: string
  readonly partition: number
  readonly nodeName: string
  readonly clock: Clock
  /** The record in hand; undefined in punctuators. */
  readonly source: RecordContext | undefined
  /** Highest event time taken for processing in this task; -1 before the first record. Never falls, survives restarts. */
  readonly streamTime: number
  /** To all children in order, or to the child of that name. Await it when it gives a promise. */
  // biome-ignore lint/suspicious/noExplicitAny: typed at the operators
  forward(record: StreamRecord<any, any>, child?: string): MaybePromise<void>
  /** As `forward`, for a record that was taken earlier: until it is through, `source` is where that one came from. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  forwardFrom(source: RecordContext | undefined, record: StreamRecord<any, any>): MaybePromise<void>
  /**
   * Runs `call` for a record of its own choosing, as a hop into this node is run: rules for records hold, for this record alone. For timers, whose
   * record is made up, and for records that waited. `source`: where the record came from; null = that of the record in hand.
   * @param attempt which run of the record this is, from 1
   */
  supervised(
    // biome-ignore lint/suspicious/noExplicitAny: as above
    record: StreamRecord<any, any>,
    source: RecordContext | undefined | null,
    call: () => MaybePromise<void>,
    attempt?: number
  ): MaybePromise<void>
  /** After how many ms a record that failed here is to come again by its key, should the rules say so. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  putOff(error: unknown, record: StreamRecord<any, any>, attempt: number): number | undefined
  /** Work that went on after `process` has come to something: the task shall call `settle` soon. */
  wake(): void
  /** @throws TopologyError when the store is not connected to this node. */
  store(name: string): TaskStore
  /** A global table. @throws TopologyError when the node does not say that it reads it. */
  global(name: string): GlobalRows<unknown>
  /** 'stream' first fires with the first record; 'wall' after one interval. A due schedule fires once, then on its grid (missed points are skipped). */
  schedule(intervalMs: number, type: 'stream' | 'wall', fire: (time: number) => MaybePromise<void>): Cancellable
  /**
   * While no record comes to the task for `afterMs` of wall clock, `advance` is called each time so much has passed: with stream time moved on as
   * the wall clock has. Every store above is flushed by then.
   */
  onIdle(afterMs: number, advance: (time: number) => MaybePromise<void>): void
  /** Counts and reports a record that is not processed further: 'null-key', 'late', … */
  drop(reason: string): void
  /** To the runtime's logger. */
  log(facts: object, message: string): void
  /** A number that survives restarts with the task's state, per node and slot: an operator's own stream time. undefined before the first set. */
  saved(slot: string): number | undefined
  save(slot: string, value: number): void
}

/** A question from outside about one key: a query only reads, an ask may change and forward. */
export interface OperatorRequest {
  readonly kind: 'query' | 'ask'
  readonly name: string
  readonly key: unknown
  readonly input: unknown
}

/** `refused` is the asker's to hear, and nothing has changed then; what `answer` throws is the task's failure. */
export type Answer = { readonly reply: unknown } | { readonly refused: unknown }

export interface Operator {
  init?(context: OperatorContext): void
  // biome-ignore lint/suspicious/noExplicitAny: typed at the operators
  process(record: StreamRecord<any, any>): MaybePromise<void>
  /** Rows [from, to) of a fetched set are about to come with their source key: read what they need with one multi-get. */
  prefetch?(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void>
  /** What `prefetch` reads depends on the times in the set: not called where an extractor gives other times. */
  readonly prefetchByTime?: boolean
  /** Called with no record in hand. */
  answer?(request: OperatorRequest): MaybePromise<Answer>
  /** True while it holds records whose work goes on after `process` returned. */
  readonly unsettled?: boolean
  /** Passes on what such work has given; with `all`, waits until nothing is unsettled. Called between records, and before a commit flushes. */
  settle?(all: boolean): MaybePromise<void>
  /** The task stops without a commit: ends waits in `process` and `settle`, and passes nothing on any more. */
  abandon?(): void
  close?(): void
}

/** A connected part of the topology: the unit that partitions cut into tasks. */
export interface SubTopology {
  /** Stable number in order of discovery; task ids are `<id>_<partition>`. */
  readonly id: number
  readonly nodes: readonly Node[]
  readonly stores: readonly StoreSpec[]
  /** User topics and repartition topics (full names). */
  readonly sourceTopics: readonly string[]
  /** Full names of the repartition topics it writes or reads. */
  readonly repartitionTopics: readonly string[]
  /** Rules of the topology, behind those of each node. */
  readonly supervise?: readonly Rule[]
}
