import { expect } from 'chai'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { until } from '../../lib/testing/until.ts'
import { broker, put, uniqueName } from './support.ts'

describe('admin and offsets on Kafka', function () {
  this.timeout(30_000)
  let transport: Transport

  before(async () => {
    transport = kafkaTransport({ brokers: (await broker()).brokers })
  })
  after(() => transport?.close())

  async function topic(partitions = 1, config: Record<string, string> = {}): Promise<string> {
    const name = uniqueName('admin')
    await transport.admin.create([{ topic: name, partitions, replication: -1, config }])
    return name
  }

  async function write(name: string, values: [partition: number, value: string, timestamp?: number][]): Promise<void> {
    const producer = await transport.producer({ lane: 0 })
    for (const [partition, value, timestamp] of values) {
      put(producer.writer(name, partition), value, timestamp)
      await producer.flush() // a batch each, so that timestamps can be looked up one by one
    }
    await producer.close()
  }

  it('creates topics with their settings; creating again is no error', async () => {
    const name = await topic(3, { 'cleanup.policy': 'compact', 'retention.ms': '-1' })
    await transport.admin.create([{ topic: name, partitions: 1, replication: -1, config: {} }])
    expect([...(await transport.admin.partitions([name, 'no-such-topic']))]).to.deep.equal([[name, 3]])
    expect(await transport.admin.topics()).to.include(name)
    expect(await transport.admin.describe(name)).to.include({ 'cleanup.policy': 'compact', 'retention.ms': '-1' })
  })

  it('says which topic cannot be created and why', async () => {
    const error = await transport.admin
      .create([{ topic: 'no spaces', partitions: 1, replication: -1, config: {} }])
      .catch((e: unknown) => e)
    expect(error).to.have.property('fault', 'fatal')
    expect((error as Error).message).to.include('"no spaces"')
  })

  it('changes one setting and leaves the others', async () => {
    const name = await topic(1, { 'cleanup.policy': 'compact,delete', 'retention.ms': '1000000' })
    await transport.admin.alter(name, { 'segment.bytes': '2000000', 'retention.ms': null })
    const untouched = await transport.admin.describe(await topic(1))
    expect(untouched['retention.ms']).to.not.equal('1000000')
    expect(await transport.admin.describe(name)).to.include({
      'cleanup.policy': 'compact,delete',
      'segment.bytes': '2000000',
      'retention.ms': untouched['retention.ms']
    })
  })

  it('adds partitions that can be written to at once (D4)', async () => {
    const name = await topic(1)
    await transport.admin.addPartitions(name, 3)
    await write(name, [[2, 'x']])
    const ends = await transport.offsets(
      [0, 1, 2].map((partition) => ({ topic: name, partition })),
      'lso'
    )
    expect(Object.fromEntries(ends)).to.deep.equal({ [`${name}-0`]: 0, [`${name}-1`]: 0, [`${name}-2`]: 1 })
  })

  it('finds start, end, and the first record of a time', async () => {
    const name = await topic(1)
    await write(name, [
      [0, 'a', 1_000],
      [0, 'b', 2_000],
      [0, 'c', 3_000]
    ])
    const tp = { topic: name, partition: 0 }
    const at = async (where: Parameters<Transport['offsets']>[1]): Promise<number> =>
      (await transport.offsets([tp], where)).get(`${name}-0`)!
    expect(await at('start')).to.equal(0)
    expect(await at('hw')).to.equal(3)
    expect(await at({ timestamp: 1_500 })).to.equal(1)
    expect(await at({ timestamp: 9_000 })).to.equal(-1)
    await transport.admin.deleteRecords([{ ...tp, offset: 2 }])
    expect(await at('start')).to.equal(2)
  })

  it('an open transaction separates the end of committed data from the end of all data', async () => {
    const name = await topic(1)
    const tp = { topic: name, partition: 0 }
    const producer = await transport.txnProducer(uniqueName('txn'), { timeoutMs: 30_000, lane: 0 })
    put(producer.writer(name, 0), 'x')
    await producer.flush()
    expect((await transport.offsets([tp], 'hw')).get(`${name}-0`)).to.equal(1)
    expect((await transport.offsets([tp], 'lso')).get(`${name}-0`)).to.equal(0)
    await producer.commit()
    await until(async () => (await transport.offsets([tp], 'lso')).get(`${name}-0`) === 2)
    await producer.close()
  })

  it('reads offsets only when no transaction holds newer ones', async () => {
    const name = await topic(2)
    const groupId = uniqueName('group')
    const [zero, one] = [0, 1].map((partition) => ({ topic: name, partition })) as [never, never]
    expect((await transport.committed(groupId, [zero, one])).size).to.equal(0)
    const producer = await transport.txnProducer(uniqueName('txn'), { timeoutMs: 30_000, lane: 0 })
    const nobody = { groupId, generation: -1, memberId: '' }
    await producer.sendOffsets(nobody, [{ topic: name, partition: 0, offset: 7, metadata: 'm' }])
    let known: unknown
    const pending = transport.committed(groupId, [zero, one]).then((offsets) => {
      known = [...offsets.values()]
    })
    await transport.committed(uniqueName('group'), [zero]) // a round trip to the same coordinator, which answered the first too
    expect(known).to.equal(undefined)
    await producer.commit()
    await pending
    expect(known).to.deep.equal([{ topic: name, partition: 0, offset: 7, metadata: 'm' }])
    await producer.close()
  })

  it('resets the offsets of a group without members, and deletes the group', async () => {
    const name = await topic(1)
    const groupId = uniqueName('group')
    const tp = { topic: name, partition: 0 }
    await transport.admin.resetOffsets(groupId, [{ ...tp, offset: 42 }])
    expect((await transport.committed(groupId, [tp])).get(`${name}-0`)).to.deep.equal({ ...tp, offset: 42 })
    await transport.admin.deleteGroup(groupId)
    await transport.admin.deleteGroup(groupId)
    expect((await transport.committed(groupId, [tp])).size).to.equal(0)
    expect(await transport.admin.members(groupId)).to.deep.equal([])
  })

  it('deletes topics for good: the name can be used again at once', async () => {
    const name = await topic(2)
    await write(name, [[0, 'x']])
    await transport.admin.deleteTopics([name])
    await transport.admin.deleteTopics([name])
    expect((await transport.admin.partitions([name])).size).to.equal(0)
    await transport.admin.create([{ topic: name, partitions: 1, replication: -1, config: {} }])
    expect((await transport.offsets([{ topic: name, partition: 0 }], 'hw')).get(`${name}-0`)).to.equal(0)
  })
})
