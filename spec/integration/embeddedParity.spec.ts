import { expect } from 'chai'
import { embeddedBroker } from '../../lib/embedded/index.ts'
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import type { ApiName, Wire } from '../../lib/kafka/wire.ts'
import { until } from '../../lib/testing/until.ts'
import { batch, owner, type Producer } from '../embedded/support.ts'
import { broker, uniqueName } from './support.ts'

/** Not yet: a new leader, a coordinator that loads, a transaction that is being settled. */
const PASSING = [5, 6, 14, 15, 16, 51]

/** Sends the same requests to a broker and notes what it answers. */
class Probe {
  readonly seen: Record<string, unknown> = {}
  readonly #wire: Wire
  #node = 1
  readonly topic = uniqueName('parity')
  readonly missing = uniqueName('missing')
  readonly txn = uniqueName('txn')
  readonly group = uniqueName('group')

  constructor(wire: Wire) {
    this.#wire = wire
  }

  /** Comes again while the answer is one of a broker that is not ready. */
  async call<A extends ApiName>(
    api: A,
    request: ApiMap[A]['request'],
    code: (answer: ApiMap[A]['response']) => number = () => 0
  ): Promise<ApiMap[A]['response']> {
    const controller = ['CreateTopics', 'DeleteTopics', 'CreatePartitions', 'IncrementalAlterConfigs'].includes(api)
    let answer: ApiMap[A]['response'] | undefined
    await until(async () => {
      answer = await this.#wire.lane('probe').call(controller ? 'controller' : this.#node, api, request)
      return !PASSING.includes(code(answer))
    })
    return answer!
  }

  async create(topic = this.topic, over: Partial<ApiMap['CreateTopics']['request']['topics'][number]> = {}) {
    const spec = { topic, partitions: 2, replication: 1, config: {}, ...over }
    return (await this.call('CreateTopics', { timeoutMs: 5_000, topics: [spec] })).topics[0]!.error
  }

  async ready(topic: string): Promise<void> {
    await until(async () => {
      const answer = await this.#wire.lane('probe').call('any', 'Metadata', { topics: [topic] })
      const found = answer.topics[0]!
      this.#node = found.partitions[0]?.leader ?? this.#node
      return found.error === 0 && found.partitions.length === 2 && found.partitions.every((p) => p.leader >= 0)
    })
  }

  async produce(records: Buffer, txn: string | null = null, topic = this.topic, partition = 0) {
    const topics = [{ topic, partitions: [{ partition, records }] }]
    const request = { transactionalId: txn, timeoutMs: 5_000, topics }
    const answer = await this.call('Produce', request, (a) => a.topics[0]!.partitions[0]!.error)
    const { error, baseOffset } = answer.topics[0]!.partitions[0]!
    return { error, baseOffset }
  }

  async fetch(offset: number, isolation: 'committed' | 'uncommitted' = 'committed', topic = this.topic) {
    const topics = [{ topic, partitions: [{ partition: 0, offset, maxBytes: 1 << 20 }] }]
    const answer = await this.call('Fetch', { maxWaitMs: 0, minBytes: 1, maxBytes: 1 << 20, isolation, topics })
    const { error, highWatermark, lastStableOffset, logStartOffset, aborted, records } =
      answer.topics[0]!.partitions[0]!
    const ids = aborted.map((a) => a.firstOffset)
    return { error, highWatermark, lastStableOffset, logStartOffset, aborted: ids, some: records.length > 0 }
  }

  async list(timestamp: number, partition = 0) {
    const topics = [{ topic: this.topic, partitions: [{ partition, timestamp }] }]
    const answer = await this.call('ListOffsets', { isolation: 'committed', topics })
    const { error, offset } = answer.topics[0]!.partitions[0]!
    return { error, offset }
  }

  async init(): Promise<Producer> {
    const { producerId, producerEpoch } = await this.call(
      'InitProducerId',
      { transactionalId: this.txn, timeoutMs: 60_000 },
      (a) => a.error
    )
    return { producerId, producerEpoch }
  }

  async add(p: Producer, partitions = [0]): Promise<number[]> {
    const topics = [{ topic: this.topic, partitions }]
    const answer = await this.call(
      'AddPartitionsToTxn',
      { transactionalId: this.txn, ...owner(p), topics },
      (a) => a.topics[0]!.partitions[0]!.error
    )
    return answer.topics[0]!.partitions.toSorted((a, b) => a.partition - b.partition).map((x) => x.error)
  }

  async addOffsets(p: Producer): Promise<number> {
    const request = { transactionalId: this.txn, ...owner(p), groupId: this.group }
    return (await this.call('AddOffsetsToTxn', request, (a) => a.error)).error
  }

  async end(p: Producer, commit: boolean): Promise<number> {
    return (await this.call('EndTxn', { transactionalId: this.txn, ...owner(p), commit }, (a) => a.error)).error
  }

  async stage(p: Producer, offset: number, generation = -1, memberId = ''): Promise<number> {
    const topics = [{ topic: this.topic, partitions: [{ partition: 0, offset, metadata: null }] }]
    const member = { groupId: this.group, generation, memberId, instanceId: null }
    const answer = await this.call(
      'TxnOffsetCommit',
      { transactionalId: this.txn, ...owner(p), ...member, topics },
      (a) => a.topics[0]!.partitions[0]!.error
    )
    return answer.topics[0]!.partitions[0]!.error
  }

  async commit(offset: number, topic = this.topic): Promise<number> {
    const topics = [{ topic, partitions: [{ partition: 0, offset, metadata: null }] }]
    const request = { groupId: this.group, generation: -1, memberId: '', instanceId: null, topics }
    const answer = await this.call('OffsetCommit', request, (a) => a.topics[0]!.partitions[0]!.error)
    return answer.topics[0]!.partitions[0]!.error
  }

  async offsets(requireStable: boolean) {
    const request = { groupId: this.group, topics: [{ topic: this.topic, partitions: [0] }], requireStable }
    const { error, offset } = (await this.call('OffsetFetch', request, (a) => a.error)).topics[0]!.partitions[0]!
    return { error, offset }
  }

  async deleteRecords(offset: number, topic = this.topic) {
    const topics = [{ topic, partitions: [{ partition: 0, offset }] }]
    const answer = await this.call('DeleteRecords', { timeoutMs: 5_000, topics })
    const { error, lowWatermark } = answer.topics[0]!.partitions[0]!
    return { error, lowWatermark }
  }

  async join(over: Partial<ApiMap['JoinGroup']['request']>): Promise<number> {
    const answer = await this.call(
      'JoinGroup',
      {
        groupId: this.group,
        sessionTimeoutMs: 6_000,
        rebalanceTimeoutMs: 6_000,
        memberId: '',
        instanceId: null,
        protocolType: 'consumer',
        protocols: [{ name: 'p', metadata: Buffer.from([0, 0, 0, 0, 0, 0, 255, 255, 255, 255]) }],
        ...over
      },
      (a) => a.error
    )
    return answer.error
  }
}

/** Idempotence, offsets, deletion. */
async function probeLog(p: Probe): Promise<void> {
  const { seen } = p
  seen.create = await p.create()
  await p.ready(p.topic)
  const id = await p.call('InitProducerId', { transactionalId: null, timeoutMs: 1_000 }, (a) => a.error)
  const one = { producerId: id.producerId, producerEpoch: 0 }
  const two = { ...one, producerEpoch: 1 }
  for (let i = 0; i < 6; i++) seen[`sequence ${i}`] = await p.produce(batch([`${i}`], { ...one, sequence: i }))
  seen['repeated batch'] = await p.produce(batch(['1'], { ...one, sequence: 1 }))
  seen['repeated batch, forgotten'] = await p.produce(batch(['0'], { ...one, sequence: 0 }))
  seen.gap = await p.produce(batch(['x'], { ...one, sequence: 9 }))
  seen['new epoch, not from 0'] = await p.produce(batch(['x'], { ...two, sequence: 3 }))
  seen['new epoch'] = await p.produce(batch(['x'], { ...two, sequence: 0 }))
  seen['old epoch'] = await p.produce(batch(['x'], { ...one, sequence: 6 }))
  const stranger = { producerId: id.producerId + 77_777, producerEpoch: 0 }
  seen['unknown producer, not from 0'] = await p.produce(batch(['x'], { ...stranger, sequence: 4 }))
  seen['transactional, no id'] = await p.produce(batch(['x'], { ...two, sequence: 1, transactional: true }))
  const corrupt = batch(['x'])
  corrupt[corrupt.length - 2]! ^= 1
  seen['wrong checksum'] = await p.produce(corrupt)
  seen['no such partition'] = await p.produce(batch(['x']), null, p.topic, 9)
  seen['no such topic'] = await p.produce(batch(['x']), null, p.missing)
  seen['fetch beyond'] = await p.fetch(99)
  seen['fetch at the end'] = await p.fetch(8)
  seen['fetch all'] = await p.fetch(0, 'uncommitted')
  seen['fetch no such topic'] = await p.fetch(0, 'committed', p.missing)
  seen['delete beyond'] = await p.deleteRecords(99)
  seen['delete all'] = await p.deleteRecords(-1)
  seen['fetch deleted'] = await p.fetch(0)
  seen['fetch at start and end'] = await p.fetch(8)
  for (const at of [-2, -1, 5]) seen[`list ${at}`] = await p.list(at)
  seen['list no such partition'] = await p.list(-1, 7)
  const compacted = uniqueName('compacted')
  await p.create(compacted, { config: { 'cleanup.policy': 'compact' } })
  await p.ready(compacted)
  seen['no key, compacted'] = await p.produce(batch([{ key: 'k', value: 'v' }, 'x']), null, compacted)
  seen['delete records, compacted'] = await p.deleteRecords(0, compacted)
}

async function probeTransactions(p: Probe): Promise<void> {
  const { seen, txn } = p
  const one = await p.init()
  const write = (producer: Producer, sequence: number) =>
    p.produce(batch(['x'], { ...owner(producer), sequence, transactional: true }), txn)
  const stableAt = (offset: number) => until(async () => (await p.list(-1)).offset === offset)
  seen['end unknown'] = await p.end({ ...one, producerId: one.producerId + 5 }, true)
  seen['end nothing'] = [await p.end(one, true), await p.end(one, false)]
  seen['write, not added'] = await write(one, 0)
  seen['add, one missing'] = await p.add(one, [0, 9])
  seen.add = await p.add(one)
  seen.write = await write(one, 0)
  seen['plain batch in a transaction'] = await p.produce(batch(['y'], { ...owner(one), sequence: 1 }))
  seen.abort = await p.end(one, false)
  await stableAt(10)
  seen['abort again, commit after'] = [await p.end(one, false), await p.end(one, true)]
  seen['late batch'] = await write(one, 1)
  seen['fetch aborted'] = await p.fetch(8)
  seen['fetch the marker'] = await p.fetch(9)
  seen['end, newer epoch'] = await p.end({ ...one, producerEpoch: one.producerEpoch + 5 }, true)
  seen['stage, not added'] = await p.stage(one, 3)
  seen['add offsets'] = await p.addOffsets(one)
  seen['stage, ghost'] = await p.stage(one, 3, 3, 'ghost')
  seen.stage = await p.stage(one, 3)
  seen['pending offsets'] = [await p.offsets(true), await p.offsets(false)]
  const two = await p.init()
  seen['epochs of a takeover'] = two.producerEpoch - one.producerEpoch
  seen['offsets after takeover'] = await p.offsets(true)
  seen['predecessor adds, ends'] = [await p.add(one), await p.addOffsets(one), await p.end(one, true)]
  seen['predecessor stages'] = await p.stage(one, 4)
  seen['predecessor writes'] = await write(one, 1)
  await p.addOffsets(two)
  await p.stage(two, 5)
  seen['plain commit before the end'] = await p.commit(6)
  await p.end(two, true)
  await until(async () => (await p.offsets(true)).error === 0)
  seen['plain commit wins'] = await p.offsets(true)
  const init = (transactionalId: string, timeoutMs: number) =>
    p.call('InitProducerId', { transactionalId, timeoutMs }, (a) => a.error).then((a) => a.error)
  seen['init refused'] = [await init(txn, 900_001), await init('', 1_000)]
}

async function probeGroupsAndTopics(p: Probe): Promise<void> {
  const { seen, missing: none } = p
  seen['commit, no such topic'] = await p.commit(1, none)
  seen['short session'] = await p.join({ sessionTimeoutMs: 100 })
  seen['ghost joins'] = await p.join({ memberId: 'ghost' })
  seen['no protocols'] = await p.join({ protocols: [] })
  seen['no group id'] = await p.join({ groupId: '' })
  seen['first join'] = await p.join({})
  seen['no such group'] = [
    await p.call('DescribeGroup', { groupId: none }),
    (await p.call('DeleteGroup', { groupId: none }, (a) => a.error)).error,
    (await p.call('LeaveGroup', { groupId: none, members: [{ memberId: 'x', instanceId: null }] })).members[0]!.error,
    (await p.call('Heartbeat', { groupId: none, generation: 1, memberId: 'x', instanceId: null })).error
  ]
  seen['topics refused'] = [
    await p.create('a b'),
    await p.create(none, { partitions: 0 }),
    await p.create(none, { replication: 99 }),
    await p.create(none, { config: { 'retention.ms': 'long' } }),
    await p.create(none, { config: { 'no.such.setting': '1' } }),
    await p.create(p.topic)
  ]
  const grow = async (topic: string, total: number) =>
    (await p.call('CreatePartitions', { timeoutMs: 5_000, topic, total })).error
  seen['partitions refused'] = [await grow(p.topic, 2), await grow(p.topic, 1), await grow(none, 3)]
  const alter = async (topic: string, name: string, value: string) =>
    (await p.call('IncrementalAlterConfigs', { topic, settings: [{ name, value }] })).error
  seen['settings refused'] = [
    await alter(none, 'retention.ms', '5'),
    await alter(p.topic, 'no.such.setting', '5'),
    await alter(p.topic, 'cleanup.policy', 'x'),
    (await p.call('DescribeConfigs', { topic: none })).error,
    (await p.call('DeleteTopics', { timeoutMs: 5_000, topics: [none] })).topics[0]!.error
  ]
}

describe('embedded log and Kafka answer the same requests alike', function () {
  this.timeout(60_000)

  const both = async (probe: (p: Probe) => Promise<void>): Promise<[Probe, Probe]> => {
    const { brokers } = await broker()
    const wire = kafkajsWire({ brokers })
    const embedded = embeddedBroker({ markerDelayMs: 5 })
    const [real, ours] = [new Probe(wire), new Probe(embedded.wire)]
    try {
      for (const p of [real, ours]) {
        await probeLog(p)
        if (probe !== probeLog) await probe(p)
      }
    } finally {
      await wire.close()
      await embedded.close()
    }
    return [real, ours]
  }

  for (const [what, probe] of [
    ['about sequences, epochs, ranges and deletion', probeLog],
    ['about transactions, their offsets and takeovers', probeTransactions],
    ['about groups, topics and settings they refuse', probeGroupsAndTopics]
  ] as const) {
    it(what, async () => {
      const [real, ours] = await both(probe)
      expect(ours.seen).to.deep.equal(real.seen)
    })
  }
})
