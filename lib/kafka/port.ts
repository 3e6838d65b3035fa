/** What the engine needs from a log. Kafka and the embedded log give the same; offsets and times are plain numbers. */
import type { TransportError } from '../errors.ts'
import type { Headers, RecordSet, Tp } from '../record.ts'

export type Codec = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
export type Isolation = 'committed' | 'uncommitted'

/** What one fetch brought for one partition. `records` may be empty: markers, aborted data and emptied batches move `next` too. */
export interface Batch extends Tp {
  readonly records: RecordSet
  /** The offset to go on from. */
  readonly next: number
  /** Last stable offset and high watermark at the time of the answer. */
  readonly lso: number
  readonly hw: number
  /** Bytes this batch keeps alive; queues are bounded by it. */
  readonly bytes: number
}

/** Reads partitions without a group: sources, restore, standbys, global tables. */
export interface Reader {
  /** `sink` is synchronous: a push into a bounded queue. A partition added again starts anew at `offset`. */
  add(tp: Tp, offset: number, sink: (batch: Batch) => void): void
  pause(tp: Tp): void
  resume(tp: Tp): void
  remove(tp: Tp): void
  close(): Promise<void>
}

export interface ReaderOptions {
  isolation: Isolation
  /** Source and restore reads use different connections: one long poll must not delay the other. */
  lane: 'source' | 'restore'
  /** Per answer. Default 50 MiB. */
  maxBytes?: number
  /** Per partition and answer. Default 1 MiB. */
  partitionMaxBytes?: number
  /** How long the broker may wait for data. Default 500. */
  maxWaitMs?: number
  /** Called for faults that retrying does not mend ('out-of-range', 'fatal'); that partition is removed first. */
  onError(error: TransportError, tp: Tp | undefined): void
}

export interface GroupMeta {
  readonly groupId: string
  readonly generation: number
  readonly memberId: string
  readonly instanceId?: string | undefined
}

export interface Offset extends Tp {
  readonly offset: number
  /** At most 4096 bytes. */
  readonly metadata?: string | undefined
}

export interface Member {
  readonly memberId: string
  readonly instanceId?: string | undefined
  readonly topics: string[]
  readonly owned: Tp[]
  /** Generation in which `owned` was true; -1 when the member did not say. */
  readonly generation: number
  readonly userData: Buffer
}

export interface Assignment {
  readonly memberId: string
  readonly partitions: Tp[]
  readonly userData: Buffer
}

export interface GroupHandler {
  /** Read at each join; keep it stable except to signal. */
  userData(): Buffer
  /** Runs on the leader. The group itself withholds a partition that another live member still owns (KIP-429). */
  assign(members: Member[], partitionCount: (topic: string) => number): Assignment[] | Promise<Assignment[]>
  /** Topics that are to be read beside those that members name; the leader asks at each of its looks at the topics. */
  discover?(): Promise<readonly string[]>
  /** Before the join: commit what is ready, then hold commits. Processing goes on. */
  onRebalance(): Promise<void>
  /** Awaited, bounded by a deadline; heartbeats go on. */
  onRevoked(tps: Tp[], meta: GroupMeta): Promise<void>
  /** Hand `meta` to each task in `all`. Must return quickly: opening a task is not awaited here. */
  onAssigned(added: Tp[], all: Tp[], userData: Buffer, meta: GroupMeta): Promise<void>
  /** The generation is gone: no commit. */
  onLost(tps: Tp[], cause: TransportError): Promise<void>
  /** The group cannot go on (fatal fault, instance id taken over). No callback follows. */
  onError(error: TransportError): void
}

export interface GroupOptions {
  groupId: string
  /** Read at each join, when it is a function. */
  topics: readonly string[] | (() => readonly string[])
  instanceId?: string | undefined
  /** Default 45 000. */
  sessionMs: number
  /** Default 60 000: bounds onRebalance + onRevoked. */
  rebalanceMs: number
  /** Default 3 000. */
  heartbeatMs: number
  /** One name for all members of a group. Default 'millrace'. */
  protocol?: string
  /** How often the leader looks for topics and partitions that were added, in ms. Default 300 000. */
  metadataMs?: number
}

export interface Group {
  /** Undefined until the first assignment, and after the membership was lost. */
  readonly meta: GroupMeta | undefined
  /** Asks for a rebalance (changed user data). */
  rejoin(): void
  /** Stored even for partitions of others: pass the meta handed to the task, never the group's current one. */
  commit(meta: GroupMeta, offsets: Offset[]): Promise<void>
  /** Revokes what is owned (awaited), then leaves. A static member leaves for good only when `forget` is set. */
  leave(options?: { forget?: boolean }): Promise<void>
}

/**
 * Encodes records of one partition straight into a batch in wire form. Bytes are copied at the call; nothing is kept alive.
 * @throws TransportError 'too-large' when the record alone exceeds the batch limit; EncodeError for a time that is none (below 0,
 *   NaN, 2^53 and above; fractions of a millisecond are cut off); the failure of its producer, once that has failed.
 */
export interface PartitionWriter extends Tp {
  /** [keyStart, keyEnd) of `key`, or `key` null; likewise the value. `timestamp` ≥ 0. */
  append(
    timestamp: number,
    key: Buffer | null,
    keyStart: number,
    keyEnd: number,
    value: Buffer | null,
    valueStart: number,
    valueEnd: number,
    headers: Headers
  ): void
  /** Offset after the last acknowledged record of this writer; -1 before the first. */
  readonly ackedNext: number
}

/** Idempotent, acks from all replicas, at most one request in flight, in order per partition. */
export interface Producer {
  /**
   * Always the same object for the same partition.
   * @param turn 0, the default: sent as it comes. Else only by a seal, and when all of lower turns that it seals is acknowledged. Ignored in transactions
   */
  writer(topic: string, partition: number, turn?: number): PartitionWriter
  /** Bytes appended and not yet acknowledged. */
  readonly pendingBytes: number
  /** Sends what is appended, without waiting (full batches are sent by themselves). */
  kick(): void
  /** Resolves at once, or when `pendingBytes` has fallen below `limit` (0: to nothing). Rejects as `flush` does. */
  room(limit: number): Promise<void>
  /** Sends everything; resolves when every partition's batch is acknowledged. A failure is final for this producer. */
  flush(): Promise<void>
  /** As `flush`; what is appended after the call is not sent before `unseal`, so that work goes on while a commit is under way. */
  seal(): Promise<void>
  /** Nothing happens without a seal. */
  unseal(): void
  /** Abandons what is not acknowledged. */
  close(): Promise<void>
}

/** One transaction at a time; it begins by itself with the first append or offset. Open = the predecessor is fenced and settled. */
export interface TxnProducer extends Producer {
  /** Something was appended or staged since the last commit or abort. */
  readonly inTransaction: boolean
  /**
   * Flushes, then stages consumed offsets. Fault 'stale-member' may be answered by calling again with newer meta in the same transaction,
   * or by `abort`.
   */
  sendOffsets(meta: GroupMeta, offsets: Offset[]): Promise<void>
  /** Flushes and commits. A lost answer is repeated with the same epoch; fault 'unknown-outcome' = restart from Open. */
  commit(): Promise<void>
  /** Allowed until commit was tried. Drops what is not sent. */
  abort(): Promise<void>
  /**
   * Takes away offsets that a predecessor's late request staged outside any transaction: until then the group's offsets are 'unstable'.
   * Only before the first transaction of this producer.
   */
  clearOffsets(groupId: string): Promise<void>
}

export interface ProducerOptions {
  /** Tasks are spread over connection lanes by this number. */
  lane: number
  compression?: Codec
  /** Default 1 000 000: must stay below the topics' max.message.bytes. */
  batchBytes?: number
  /** Ends the opening: nothing is asked again after it aborts (a late one would fence a successor). */
  signal?: AbortSignal
}

export interface TopicSpec {
  readonly topic: string
  readonly partitions: number
  /** -1 = the broker's default. */
  readonly replication: number
  readonly config: Readonly<Record<string, string>>
}

export interface Admin {
  /** Partition counts; topics that do not exist are left out. */
  partitions(topics: string[]): Promise<Map<string, number>>
  /** All topic names. */
  topics(): Promise<string[]>
  /** Creates what is missing; an existing topic is no error. Resolves when every partition has a leader. */
  create(specs: TopicSpec[]): Promise<void>
  describe(topic: string): Promise<Record<string, string>>
  /** Sets some settings and leaves the others; null deletes one. */
  alter(topic: string, settings: Record<string, string | null>): Promise<void>
  addPartitions(topic: string, total: number): Promise<void>
  deleteTopics(topics: string[]): Promise<void>
  /** Removes records below the offsets. */
  deleteRecords(before: Offset[]): Promise<void>
  members(groupId: string): Promise<Member[]>
  /** Only for a group without members. */
  resetOffsets(groupId: string, to: Offset[]): Promise<void>
  deleteGroup(groupId: string): Promise<void>
}

export interface Transport {
  reader(options: ReaderOptions): Reader
  group(options: GroupOptions, handler: GroupHandler): Promise<Group>
  producer(options: ProducerOptions): Promise<Producer>
  /** Resolves when the epoch is bumped: the predecessor is fenced and its transaction settled. */
  txnProducer(id: string, options: ProducerOptions & { timeoutMs: number }): Promise<TxnProducer>
  /** By `tpKey`. 'lso' = end for committed readers, 'hw' = end of everything; a timestamp past the end gives -1. */
  offsets(tps: Tp[], at: 'start' | 'lso' | 'hw' | { timestamp: number }): Promise<Map<string, number>>
  /**
   * By `tpKey`; always stable (waits for pending transactions, `patienceMs` at most, default 20 s). Partitions without a commit are left out.
   * @throws TransportError 'unstable' when such a transaction does not end
   */
  committed(groupId: string, tps: Tp[], patienceMs?: number): Promise<Map<string, Offset>>
  readonly admin: Admin
  close(): Promise<void>
}
