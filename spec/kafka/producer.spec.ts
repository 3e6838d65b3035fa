/** The producer where its caller or its cluster is wrong: it says so at once, and never hangs. */
import { expect } from 'chai'
import { type EmbeddedBroker, embeddedBroker } from '../../lib/embedded/index.ts'
import { MillraceError, TransportError } from '../../lib/errors.ts'
import { Cluster } from '../../lib/kafka/cluster.ts'
import type { Producer } from '../../lib/kafka/port.ts'
import { createProducer } from '../../lib/kafka/producer.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { closedError } from '../../lib/kafka/wire.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { answer, FaultyWire } from './faultyWire.ts'

const TOPIC_AUTHORIZATION_FAILED = 29

describe('producer', () => {
  let broker: EmbeddedBroker
  let wire: FaultyWire
  let producer: Producer

  beforeEach(async () => {
    broker = embeddedBroker({ cleanEveryMs: 0 })
    wire = new FaultyWire(broker.wire)
    const { admin } = createTransport(broker.connect('admin'), { clock: systemClock, random: systemRandom })
    await admin.create([{ topic: 'out', partitions: 1, replication: 1, config: {} }])
    producer = await createProducer(new Cluster(wire, { clock: systemClock, random: systemRandom }), { lane: 0 })
  })

  afterEach(async () => {
    await producer.close()
    await broker.close()
  })

  const put = (timestamp: number, value: string | null = 'x'): void => {
    const bytes = Buffer.from(value ?? '')
    producer.writer('out', 0).append(timestamp, null, 0, 0, bytes, 0, bytes.length, [])
  }

  const failure = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => undefined,
      (error: unknown) => error
    )

  it('fails at once when asking for leaders can never succeed', async () => {
    wire.always('Metadata', () => Promise.reject(closedError()))
    put(1)
    const waits = [failure(producer.flush()), failure(producer.room(1))]
    for (const error of await Promise.all(waits)) {
      expect(error).to.be.instanceOf(TransportError).with.property('code', 'ERR_TRANSPORT_CLOSED')
    }
    expect(() => put(2)).to.throw(TransportError)
  })

  it('fails at once for a topic it may not see, and says why', async () => {
    const topics = [{ topic: 'out', error: TOPIC_AUTHORIZATION_FAILED, partitions: [] }]
    wire.always('Metadata', answer<'Metadata'>({ brokers: [], controllerId: 1, topics }))
    put(1)
    const error = (await failure(producer.flush())) as TransportError
    expect(error).to.include({ fault: 'fatal', kafkaCode: TOPIC_AUTHORIZATION_FAILED })
    expect(error.message).to.include('Grant this principal the rights on the topic')
  })

  for (const time of [Number.NaN, Number.POSITIVE_INFINITY, -1, 1e19, 2 ** 53]) {
    it(`refuses a record of the time ${time}, and goes on`, async () => {
      put(5)
      expect(() => put(time)).to.throw(MillraceError, 'out-0')
      put(7)
      await producer.flush()
      expect(producer.pendingBytes).to.equal(0)
      expect(producer.writer('out', 0).ackedNext).to.equal(2)
    })
  }

  it('cuts fractions of a millisecond off', async () => {
    for (const time of [1_700_000_000_000.7, 1_700_000_000_001.2]) put(time)
    await producer.flush()
    const transport = createTransport(broker.connect('r'), { clock: systemClock, random: systemRandom })
    const tp = { topic: 'out', partition: 0 }
    expect((await transport.offsets([tp], { timestamp: 1_700_000_000_001 })).get('out-0')).to.equal(1)
    expect((await transport.offsets([tp], { timestamp: 1_700_000_000_002 })).get('out-0')).to.equal(-1)
    await transport.close()
  })

  it('takes room for 0 bytes as room for everything, and refuses what is no number', async () => {
    await producer.room(0)
    put(1)
    await producer.room(0)
    expect(producer.pendingBytes).to.equal(0)
    expect(await failure(producer.room(Number.NaN))).to.be.instanceOf(RangeError)
  })

  it('gives its failure to those who wait when a batch cannot be packed', async () => {
    put(1)
    producer.kick()
    // The buffer cannot be taken back from the one who sends it: a failure while packing is the producer's end, not the process's.
    const queue = producer.writer('out', 0) as unknown as { open: { finish(): Buffer } }
    queue.open.finish = () => {
      throw new Error('out of memory')
    }
    const error = (await failure(producer.flush())) as TransportError
    expect(error).to.be.instanceOf(TransportError).with.property('fault', 'fatal')
    expect((error.cause as Error).message).to.equal('out of memory')
  })
})
