/** Typed calls to an embedded broker on a clock that stands still: the broker's own specs need no client. */
import { type EmbeddedBroker, type EmbeddedBrokerOptions, embeddedBroker } from '../../lib/embedded/broker.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import { decodeBatches } from '../../lib/kafka/protocol/recordBatch.ts'
import { RecordBatchWriter } from '../../lib/kafka/protocol/recordBatchWriter.ts'
import type { ApiName, Lane } from '../../lib/kafka/wire.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { seededRandom, VirtualClock } from '../../lib/time.ts'

export const T = 'numbers'
export const NOW = 1_700_000_000_000

export interface Written {
  key?: string | null
  value?: string | null
  at?: number
}

export interface Producer {
  producerId: number
  producerEpoch: number
}

export class Bench {
  readonly clock = new VirtualClock(NOW)
  readonly broker: EmbeddedBroker
  readonly lane: Lane

  constructor(options: EmbeddedBrokerOptions = {}) {
    this.broker = embeddedBroker({ clock: this.clock, random: seededRandom(1), cleanEveryMs: 0, ...options })
    this.lane = this.broker.wire.lane('spec')
  }

  call<A extends ApiName>(api: A, request: ApiMap[A]['request'], node = 1): Promise<ApiMap[A]['response']> {
    return this.lane.call(node, api, request)
  }

  /** On a connection of its own: for requests that park. */
  aside<A extends ApiName>(name: string, api: A, request: ApiMap[A]['request']): Promise<ApiMap[A]['response']> {
    return this.broker.wire.lane(name).call(1, api, request)
  }

  async topic(config: Record<string, string> = {}, partitions = 1, topic = T): Promise<void> {
    await this.call('CreateTopics', { timeoutMs: 1_000, topics: [{ topic, partitions, replication: 1, config }] })
  }

  async produce(records: Buffer, transactionalId: string | null = null, partition = 0) {
    const topics = [{ topic: T, partitions: [{ partition, records }] }]
    const answer = await this.call('Produce', { transactionalId, timeoutMs: 1_000, topics })
    return answer.topics[0]!.partitions[0]!
  }

  fetchAnswer(offset: number, over: Partial<ApiMap['Fetch']['request']> = {}, partition = 0) {
    const topics = [{ topic: T, partitions: [{ partition, offset, maxBytes: 1 << 20 }] }]
    return this.call('Fetch', {
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 1 << 20,
      isolation: 'committed',
      topics,
      ...over
    })
  }

  async fetch(offset: number, over: Partial<ApiMap['Fetch']['request']> = {}) {
    return (await this.fetchAnswer(offset, over)).topics[0]!.partitions[0]!
  }

  /** Everything a committed (or uncommitted) reader gets from `offset`: "offset=value", tombstones as "offset=-". */
  async read(offset = 0, isolation: 'committed' | 'uncommitted' = 'committed'): Promise<string[]> {
    const found: string[] = []
    for (let at = offset; ; ) {
      const { records, aborted, error } = await this.fetch(at, { isolation })
      if (error !== 0) throw new Error(`fetch at ${at}: error ${error}`)
      const decoded = decodeBatches(records, { offset: at, committed: isolation === 'committed', aborted })
      if (decoded.error) throw decoded.error
      for (const { records: set } of decoded.pieces) {
        for (let i = 0; i < set.count; i++) found.push(`${set.offsets[i]}=${set.value(i)?.toString() ?? '-'}`)
      }
      if (decoded.next === at) return found
      at = decoded.next
    }
  }

  async end(isolation: 'committed' | 'uncommitted', timestamp = -1): Promise<number> {
    const topics = [{ topic: T, partitions: [{ partition: 0, timestamp }] }]
    return (await this.call('ListOffsets', { isolation, topics })).topics[0]!.partitions[0]!.offset
  }

  /** Opens a transactional producer, coming again while its predecessor is being settled. */
  async init(transactionalId: string, timeoutMs = 60_000): Promise<Producer> {
    for (;;) {
      const answer = await this.call('InitProducerId', { transactionalId, timeoutMs })
      if (answer.error === 0) return answer
      if (answer.error !== 51) throw new Error(`InitProducerId: error ${answer.error}`)
    }
  }

  async addPartition(transactionalId: string, producer: Producer): Promise<number> {
    const topics = [{ topic: T, partitions: [0] }]
    const answer = await this.call('AddPartitionsToTxn', { transactionalId, ...owner(producer), topics })
    return answer.topics[0]!.partitions[0]!.error
  }

  async endTxn(transactionalId: string, producer: Producer, commit: boolean): Promise<number> {
    return (await this.call('EndTxn', { transactionalId, ...owner(producer), commit })).error
  }
}

export const owner = ({ producerId, producerEpoch }: Producer): Producer => ({ producerId, producerEpoch })

export interface BatchOptions extends Partial<Producer> {
  sequence?: number
  transactional?: boolean
  codec?: 'none' | 'gzip'
}

/** One record batch in wire form. Strings are values without a key. */
export function batch(records: (string | Written)[], options: BatchOptions = {}): Buffer {
  const writer = new RecordBatchWriter(1 << 22)
  for (const record of records) {
    const { key = null, value = null, at = NOW } = typeof record === 'string' ? { value: record } : record
    const k = key === null ? null : Buffer.from(key)
    const v = value === null ? null : Buffer.from(value)
    writer.append(at, k, 0, k?.length ?? 0, v, 0, v?.length ?? 0, NO_HEADERS)
  }
  const bytes = writer.finish({
    producerId: options.producerId ?? -1,
    producerEpoch: options.producerEpoch ?? -1,
    baseSequence: options.producerId === undefined ? -1 : (options.sequence ?? 0),
    transactional: options.transactional ?? false,
    codec: options.codec ?? 'none'
  })
  return Buffer.from(bytes)
}
