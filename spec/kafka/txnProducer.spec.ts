/** The transactional producer against the embedded broker with faults on order: what an abort, a commit and a close meet half-way. */
import { expect } from 'chai'
import { type EmbeddedBroker, embeddedBroker } from '../../lib/embedded/index.ts'
import { StateError } from '../../lib/errors.ts'
import { Cluster } from '../../lib/kafka/cluster.ts'
import { committedOffsets } from '../../lib/kafka/offsets.ts'
import type { GroupMeta, TxnProducer } from '../../lib/kafka/port.ts'
import { Code } from '../../lib/kafka/protocol/errors.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { createTxnProducer } from '../../lib/kafka/txnProducer.ts'
import { until } from '../../lib/testing/until.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { answer, type Call, FaultyWire, hold } from './faultyWire.ts'

const NOBODY: GroupMeta = { groupId: 'g', generation: -1, memberId: '' }
const IN = { topic: 'in', partition: 0 }

describe('transactional producer', () => {
  let broker: EmbeddedBroker
  let wire: FaultyWire
  let cluster: Cluster
  let producer: TxnProducer

  beforeEach(async () => {
    broker = embeddedBroker({ cleanEveryMs: 0 })
    wire = new FaultyWire(broker.wire)
    cluster = new Cluster(wire, { clock: systemClock, random: systemRandom })
    const { admin } = createTransport(broker.connect('admin'), { clock: systemClock, random: systemRandom })
    await admin.create(['in', 'out'].map((topic) => ({ topic, partitions: 2, replication: 1, config: {} })))
    producer = await createTxnProducer(cluster, 'id', { lane: 0, timeoutMs: 60_000 })
  })

  afterEach(async () => {
    await producer.close()
    await broker.close()
  })

  const put = (value: string, partition = 0): void => {
    const bytes = Buffer.from(value)
    producer.writer('out', partition).append(1, null, 0, 0, bytes, 0, bytes.length, [])
  }

  /** What committed readers see of a partition. */
  async function committed(partition = 0): Promise<string[]> {
    const transport = createTransport(broker.connect('reader'), { clock: systemClock, random: systemRandom })
    const tp = { topic: 'out', partition }
    const end = (await transport.offsets([tp], 'lso')).get(`out-${partition}`)!
    const seen: string[] = []
    let position = 0
    const reader = transport.reader({
      isolation: 'committed',
      lane: 'restore',
      maxWaitMs: 10,
      onError: (error) => {
        throw error
      }
    })
    reader.add(tp, 0, ({ records, next }) => {
      position = next
      for (let i = 0; i < records.count; i++) seen.push(String(records.value(i)))
    })
    await until(() => position >= end, { everyMs: 1 })
    await transport.close()
    return seen
  }

  const refused = (call: Call<'AddPartitionsToTxn'>, error: number) =>
    answer<'AddPartitionsToTxn'>({
      topics: call.request.topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map((partition) => ({ partition, error }))
      }))
    })(call)

  // Found by the storm. The abort ran between two tries of AddPartitionsToTxn: the second try then marked the partition as added to a
  // transaction that was over, so the next one never told the coordinator of it and its commit sent no EndTxn.
  it('commits what follows an abort that met partitions being added', async () => {
    const first = hold<'AddPartitionsToTxn'>((call) => refused(call, Code.CONCURRENT_TRANSACTIONS))
    wire.next('AddPartitionsToTxn', first.fault)
    put('dropped')
    producer.kick()
    await first.arrived
    const aborting = producer.abort()
    first.release()
    await aborting
    put('kept')
    await producer.commit()
    expect(await committed()).to.deep.equal(['kept'])
  })

  it('stages offsets after an abort that met the group being added', async () => {
    const first = hold<'AddOffsetsToTxn'>(answer({ error: Code.CONCURRENT_TRANSACTIONS }))
    wire.next('AddOffsetsToTxn', first.fault)
    const staging = producer.sendOffsets(NOBODY, [{ ...IN, offset: 1 }])
    const dropped = staging.then(
      () => undefined,
      (error: unknown) => error
    )
    await first.arrived
    const aborting = producer.abort()
    first.release()
    await aborting
    expect(await dropped).to.be.instanceOf(StateError)
    await producer.sendOffsets(NOBODY, [{ ...IN, offset: 2 }])
    await producer.commit()
    expect((await committedOffsets(cluster, 'g', [IN])).get('in-0')?.offset).to.equal(2)
  })

  for (const end of ['commit', 'abort'] as const) {
    it(`puts records that are appended during the ${end} into the next transaction`, async () => {
      put('first')
      await producer.flush()
      const ending = hold<'EndTxn'>()
      wire.next('EndTxn', ending.fault)
      const ended = producer[end]()
      await ending.arrived
      put('second')
      producer.kick()
      put('third', 1)
      const produced = wire.count('Produce')
      ending.release()
      await ended
      expect(produced, 'nothing is sent into a transaction that ends').to.equal(1)
      expect(producer.inTransaction).to.equal(true)
      expect(producer.pendingBytes).to.be.above(0)
      expect(await committed()).to.deep.equal(end === 'commit' ? ['first'] : [])
      await producer.commit()
      expect(await committed()).to.deep.equal(end === 'commit' ? ['first', 'second'] : ['second'])
      expect(await committed(1)).to.deep.equal(['third'])
      expect(producer.inTransaction).to.equal(false)
    })
  }

  it('gives up repeating when it is closed: a commit under way ends as unknown', async () => {
    put('x')
    await producer.flush()
    wire.always('EndTxn', answer({ error: Code.COORDINATOR_NOT_AVAILABLE }))
    const commit = producer.commit().then(
      () => 'committed',
      (error: { fault?: string }) => error.fault
    )
    await until(() => wire.count('EndTxn') >= 2)
    await producer.close()
    expect(await commit).to.equal('unknown-outcome')
    const tries = wire.count('EndTxn')
    await committed(1) // some requests later
    expect(wire.count('EndTxn')).to.equal(tries)
  })

  it('gives up repeating when it is closed: partitions being added', async () => {
    wire.always('AddPartitionsToTxn', (call) => refused(call, Code.COORDINATOR_NOT_AVAILABLE))
    put('x')
    const flushed = producer.flush().catch((error: unknown) => error)
    await until(() => wire.count('AddPartitionsToTxn') >= 2)
    await producer.close()
    expect(await flushed).to.be.instanceOf(StateError)
    const tries = wire.count('AddPartitionsToTxn')
    await committed(1) // some requests later
    expect(wire.count('AddPartitionsToTxn')).to.equal(tries)
  })
})
