/** A whole broker in this process, behind the wire: playground, test kit and simulation stand on it. */
import type { ApiMap } from '../kafka/protocol/api.ts'
import { decompress } from '../kafka/protocol/compression.ts'
import { Code } from '../kafka/protocol/errors.ts'
import type { ApiName, Wire } from '../kafka/wire.ts'
import { type Clock, type Random, systemClock, systemRandom } from '../time.ts'
import { checkBrokerOptions } from './brokerOptions.ts'
import { cleanLog } from './clean.ts'
import { fetch } from './fetch.ts'
import { failedJoin } from './group.ts'
import { Groups } from './groups.ts'
import type { PartitionLog } from './log.ts'
import { Timers } from './timers.ts'
import { spread, Topics } from './topics.ts'
import { Transactions } from './transactions.ts'
import { EmbeddedWire, type FaultFn } from './wire.ts'

export interface EmbeddedBrokerOptions {
  /** Default: the system's. */
  clock?: Clock
  /** Default: the system's. Names members only. */
  random?: Random
  /** Milliseconds from call to answer; a function is asked twice a call, for each way. Default 0: answers come in a microtask. */
  latencyMs?: number | (() => number)
  /** Partitions of a topic that is created because somebody asked for it; false = such topics do not come up. Default false. */
  autoCreate?: number | false
  /** Partitions of a topic created without a number. Default 1. */
  defaultPartitions?: number
  /** Leaders and coordinators are spread over so many nodes. Default 1. */
  nodes?: number
  /** Milliseconds between two runs of retention and compaction; 0 = only by `clean()`. Default 300,000, as Kafka's retention check. */
  cleanEveryMs?: number
  /** Milliseconds until the markers of an ended transaction are written. Default 0: at once. */
  markerDelayMs?: number
  /** Milliseconds that the first join of an empty group waits for others. Default 0 (Kafka: 3,000). */
  initialRebalanceDelayMs?: number
  /** Smallest session time-out a member may ask for. Default 6,000, as Kafka. */
  minSessionMs?: number
  /** Longest transaction time-out. Default 900,000, as Kafka. */
  maxTransactionTimeoutMs?: number
}

export interface EmbeddedBroker {
  /** The one it was given: its clients should take the same. */
  readonly clock: Clock
  /** The connections of one client. */
  readonly wire: Wire
  /** Another client, with connections of its own; `client` is told to the fault function. Two members of a group need two. */
  connect(client: string): Wire
  /** Runs retention and compaction now. */
  clean(): void
  /** Asks `fn` what goes wrong at each call from now on; undefined mends the connection. */
  fault(fn: FaultFn | undefined): void
  /** Gives a partition to another node; its old leader answers NOT_LEADER_OR_FOLLOWER from now on. */
  moveLeader(topic: string, partition: number, node: number): void
  /** Ends every timer and open call. */
  close(): Promise<void>
}

/**
 * Starts a broker. Nothing is shared between two of them, and nothing outlives the process.
 * @throws ConfigError ERR_UNKNOWN_OPTION with the nearest name; ERR_OPTION for a value that cannot work
 * @example
 * const broker = embeddedBroker({ nodes: 3, latencyMs: 2 })
 * const transport = embeddedTransport({ broker })
 */
export function embeddedBroker(options: EmbeddedBrokerOptions = {}): EmbeddedBroker {
  checkBrokerOptions(options)
  return new Broker(options)
}

type Handlers = {
  [A in ApiName]: (
    request: ApiMap[A]['request'],
    node: number
  ) => ApiMap[A]['response'] | Promise<ApiMap[A]['response']>
}

class Broker implements EmbeddedBroker {
  readonly clock: Clock
  readonly wire: Wire
  readonly #nodes: number
  readonly #autoCreate: number | false
  readonly #timers: Timers
  readonly #topics: Topics
  readonly #groups: Groups
  readonly #transactions: Transactions
  readonly #latency: () => number
  readonly #wires: Wire[] = []
  #fault: FaultFn | undefined

  constructor(options: EmbeddedBrokerOptions) {
    const { latencyMs = 0, random = systemRandom, cleanEveryMs = 300_000 } = options
    this.#nodes = options.nodes ?? 1
    this.#autoCreate = options.autoCreate ?? false
    this.clock = options.clock ?? systemClock
    this.#timers = new Timers(this.clock)
    this.#topics = new Topics(this.#nodes, options.defaultPartitions ?? 1, decompress)
    const draw = (): string =>
      Math.floor(random() * 2 ** 48)
        .toString(16)
        .padStart(12, '0')
    this.#groups = new Groups(
      {
        timers: this.#timers,
        newMemberId: (instanceId) => `${instanceId ?? 'member'}-${draw()}`,
        initialDelayMs: options.initialRebalanceDelayMs ?? 0
      },
      { minSessionMs: options.minSessionMs ?? 6_000, maxSessionMs: 1_800_000 },
      (topic, partition) => this.#topics.log(topic, partition) !== undefined
    )
    this.#transactions = new Transactions(this.#topics, this.#groups, this.#timers, {
      maxTimeoutMs: options.maxTransactionTimeoutMs ?? 900_000,
      markerDelayMs: options.markerDelayMs ?? 0
    })
    this.#latency = typeof latencyMs === 'number' ? () => latencyMs : latencyMs
    this.wire = this.connect('client')
    if (cleanEveryMs > 0) this.#cleanEvery(cleanEveryMs)
  }

  connect(client: string): Wire {
    const wire = new EmbeddedWire({
      client,
      timers: this.#timers,
      latency: this.#latency,
      fault: () => this.#fault,
      handle: (node, api, request) => this.#handlers[api](request, node)
    })
    this.#wires.push(wire)
    return wire
  }

  clean(): void {
    const now = this.#timers.clock.now()
    for (const topic of this.#topics.all()) for (const log of topic.partitions) cleanLog(log, now)
  }

  fault(fn: FaultFn | undefined): void {
    this.#fault = fn
  }

  moveLeader(topic: string, partition: number, node: number): void {
    const found = this.#topics.get(topic)
    if (!found) return
    found.leaders[partition] = node
    found.partitions[partition]?.wake()
  }

  async close(): Promise<void> {
    this.#timers.close()
    await Promise.all(this.#wires.map((wire) => wire.close()))
  }

  #cleanEvery(ms: number): void {
    this.#timers.after(ms, () => {
      this.clean()
      this.#cleanEvery(ms)
    })
  }

  /** The partition's log when `node` leads it. */
  #led(node: number, name: string, partition: number): PartitionLog | number {
    const topic = this.#topics.get(name)
    const log = topic?.partitions[partition]
    if (!topic || !log) return Code.UNKNOWN_TOPIC_OR_PARTITION
    return topic.leaders[partition] === node ? log : Code.NOT_LEADER_OR_FOLLOWER
  }

  #coordinator(key: string): number {
    return (spread(key) % this.#nodes) + 1
  }

  #misses(node: number, key: string): boolean {
    return this.#nodes > 1 && this.#coordinator(key) !== node
  }

  readonly #handlers: Handlers = {
    Metadata: ({ topics }) => ({
      brokers: Array.from({ length: this.#nodes }, (_, i) => ({ nodeId: i + 1, host: 'embedded', port: i + 1 })),
      controllerId: 1,
      topics: (topics ?? this.#topics.all().map((t) => t.name)).map((name) => this.#describeTopic(name))
    }),
    FindCoordinator: ({ key }) => ({ error: Code.NONE, nodeId: this.#coordinator(key) }),

    Produce: ({ topics, transactionalId }, node) => {
      const now = this.#timers.clock.now()
      return {
        topics: topics.map(({ topic, partitions }) => ({
          topic,
          partitions: partitions.map(({ partition, records }) => {
            const log = this.#led(node, topic, partition)
            if (typeof log === 'number') return { partition, error: log, baseOffset: -1, logStartOffset: -1 }
            const appended = log.append(records, now, (batch) =>
              this.#transactions.verifyBatch(transactionalId, batch, topic, partition)
            )
            return { partition, ...appended, logStartOffset: log.startOffset }
          })
        }))
      }
    },
    Fetch: (request, node) => fetch(request, (topic, partition) => this.#led(node, topic, partition), this.#timers),
    ListOffsets: ({ isolation, topics }, node) => ({
      topics: topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map(({ partition, timestamp }) => {
          const log = this.#led(node, topic, partition)
          if (typeof log === 'number') return { partition, error: log, timestamp: -1, offset: -1 }
          const end = isolation === 'committed' ? log.stableOffset : log.endOffset
          if (timestamp === -1) return { partition, error: Code.NONE, timestamp: -1, offset: end }
          if (timestamp === -2) return { partition, error: Code.NONE, timestamp: -1, offset: log.startOffset }
          const found = log.atTime(timestamp, end)
          return { partition, error: Code.NONE, timestamp: found?.timestamp ?? -1, offset: found?.offset ?? -1 }
        })
      }))
    }),

    JoinGroup: (request, node) =>
      this.#misses(node, request.groupId)
        ? failedJoin(Code.NOT_COORDINATOR, request.memberId)
        : this.#groups.join(request),
    SyncGroup: (request, node) =>
      this.#misses(node, request.groupId)
        ? { error: Code.NOT_COORDINATOR, assignment: Buffer.alloc(0) }
        : this.#groups.sync(request),
    Heartbeat: (request, node) => ({
      error: this.#misses(node, request.groupId) ? Code.NOT_COORDINATOR : this.#groups.heartbeat(request)
    }),
    LeaveGroup: (request, node) =>
      this.#misses(node, request.groupId) ? { error: Code.NOT_COORDINATOR, members: [] } : this.#groups.leave(request),
    OffsetCommit: (request, node) =>
      this.#misses(node, request.groupId) ? refused(request.topics) : this.#groups.commit(request),
    OffsetFetch: (request, node) =>
      this.#misses(node, request.groupId) ? { error: Code.NOT_COORDINATOR, topics: [] } : this.#groups.fetch(request),
    DescribeGroup: ({ groupId }) => this.#groups.describe(groupId),
    DeleteGroup: ({ groupId }) => ({ error: this.#groups.delete(groupId) }),

    InitProducerId: (request, node) =>
      request.transactionalId !== null && this.#misses(node, request.transactionalId)
        ? { error: Code.NOT_COORDINATOR, producerId: -1, producerEpoch: -1 }
        : this.#transactions.init(request),
    AddPartitionsToTxn: (request, node) =>
      this.#misses(node, request.transactionalId)
        ? refused(request.topics.map((t) => ({ ...t, partitions: t.partitions.map((partition) => ({ partition })) })))
        : this.#transactions.addPartitions(request, request.topics),
    AddOffsetsToTxn: (request, node) => ({
      error: this.#misses(node, request.transactionalId)
        ? Code.NOT_COORDINATOR
        : this.#transactions.addOffsets(request, request.groupId)
    }),
    TxnOffsetCommit: (request, node) =>
      this.#misses(node, request.groupId)
        ? refused(request.topics)
        : this.#groups.stage(request, this.#transactions.verifyGroup(request, request.groupId)),
    EndTxn: (request, node) => ({
      error: this.#misses(node, request.transactionalId)
        ? Code.NOT_COORDINATOR
        : this.#transactions.end(request, request.commit)
    }),

    CreateTopics: ({ topics }) => ({
      topics: topics.map(({ topic, partitions, replication, config }) => ({
        topic,
        ...this.#topics.create(topic, partitions, replication, config)
      }))
    }),
    DeleteTopics: ({ topics }) => ({
      topics: topics.map((topic) => {
        const error = this.#topics.delete(topic)
        if (error === Code.NONE) this.#groups.forgetTopic(topic)
        return { topic, error }
      })
    }),
    CreatePartitions: ({ topic, total }) => this.#topics.grow(topic, total),
    DeleteRecords: ({ topics }, node) => ({
      topics: topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map(({ partition, offset }) => this.#deleteRecords(node, topic, partition, offset))
      }))
    }),
    DescribeConfigs: ({ topic }) => {
      const found = this.#topics.get(topic)
      return found
        ? { error: Code.NONE, message: null, entries: found.config.entries() }
        : { error: Code.UNKNOWN_TOPIC_OR_PARTITION, message: `There is no topic ${topic}`, entries: [] }
    },
    IncrementalAlterConfigs: ({ topic, settings }) => this.#topics.alter(topic, settings)
  }

  #describeTopic(name: string): ApiMap['Metadata']['response']['topics'][number] {
    if (!this.#topics.get(name) && this.#autoCreate) this.#topics.create(name, this.#autoCreate, 1, {})
    const topic = this.#topics.get(name)
    if (!topic) return { topic: name, error: Code.UNKNOWN_TOPIC_OR_PARTITION, partitions: [] }
    return {
      topic: name,
      error: Code.NONE,
      partitions: topic.leaders.map((leader, partition) => ({
        partition,
        error: Code.NONE,
        leader,
        replicas: [leader],
        isr: [leader]
      }))
    }
  }

  #deleteRecords(node: number, topic: string, partition: number, offset: number) {
    const log = this.#led(node, topic, partition)
    if (typeof log === 'number') return { partition, error: log, lowWatermark: -1 }
    if (!log.config.delete) return { partition, error: Code.POLICY_VIOLATION, lowWatermark: -1 }
    const error = offset < -1 ? Code.OFFSET_OUT_OF_RANGE : log.deleteBefore(offset === -1 ? log.endOffset : offset)
    return { partition, error, lowWatermark: error === Code.NONE ? log.startOffset : -1 }
  }
}

const refused = (topics: readonly { topic: string; partitions: readonly { partition: number }[] }[]) => ({
  topics: topics.map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.map(({ partition }) => ({ partition, error: Code.NOT_COORDINATOR }))
  }))
})
