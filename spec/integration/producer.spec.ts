/**
 * The producer on a real broker. Claims: every acknowledged record is in the log once and in order, whatever answers are lost (D3); a
 * partition that the broker did not acknowledge is never taken for written (D4); the cost per record does not grow with their
 * number (D5); headers, times and partitions are what the caller gave (D13, D14, D16).
 */
import { expect } from 'chai'
import { TransportError } from '../../lib/errors.ts'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import { createProducer, type DeliveryOptions } from '../../lib/kafka/producer.ts'
import { stopwatch } from '../../lib/time.ts'
import { answer, hold, loseAnswer, loseRequest, refuse } from '../kafka/faultyWire.ts'
import { createTopic, openCluster, put, readAll, values } from './support.ts'

describe('producer on a real broker', function () {
  this.timeout(60_000)
  let env: Awaited<ReturnType<typeof openCluster>>

  before(async () => {
    env = await openCluster()
  })
  afterEach(() => env.wire.heal())
  after(() => env.close())

  const producer = (options: Partial<DeliveryOptions> = {}) => createProducer(env.cluster, { lane: 0, ...options })

  it('keeps order and loses nothing when an answer is lost while more is sent (D3)', async () => {
    const topic = await createTopic(env.cluster, 1)
    const p = await producer()
    const writer = p.writer(topic, 0)
    put(writer, 'warm')
    await p.flush()
    const lost = hold<'Produce'>(loseAnswer)
    env.wire.next('Produce', lost.fault)
    put(writer, 'A')
    p.kick()
    const call = await lost.arrived
    put(writer, 'B')
    p.kick()
    lost.release()
    await p.flush()
    expect(await values(env.cluster, topic)).to.deep.equal(['warm', 'A', 'B'])
    const sent = env.wire.calls.filter((c) => c.api === 'Produce').map((c) => (c as typeof call).request)
    const records = (r: (typeof call)['request']) => r.topics[0]!.partitions[0]!.records
    expect(records(sent[2]!).equals(records(sent[1]!)), 'the same bytes again').to.equal(true)
    expect(writer.ackedNext).to.equal(3)
    await p.close()
  })

  it('has one request in flight per producer and sends the next batch only when the first is settled', async () => {
    const topic = await createTopic(env.cluster, 1)
    const p = await producer()
    const held = hold<'Produce'>()
    env.wire.next('Produce', held.fault)
    const before = env.wire.count('Produce')
    put(p.writer(topic, 0), '1')
    p.kick()
    await held.arrived
    put(p.writer(topic, 0), '2')
    const flushed = p.flush()
    await env.cluster.refresh([topic]) // a whole exchange with the broker later
    expect(env.wire.count('Produce') - before).to.equal(1)
    held.release()
    await flushed
    expect(await values(env.cluster, topic)).to.deep.equal(['1', '2'])
    await p.close()
  })

  it('delivers through lost requests, refused connections and codes that ask for patience', async () => {
    const topic = await createTopic(env.cluster, 1)
    const p = await producer()
    const code = (error: number) =>
      answer<'Produce'>({
        topics: [{ topic, partitions: [{ partition: 0, error, baseOffset: -1, logStartOffset: -1 }] }]
      })
    env.wire.next('Produce', loseRequest, refuse, code(6), code(3), code(7), code(19), code(2), loseAnswer)
    put(p.writer(topic, 0), 'once')
    await p.flush()
    expect(await values(env.cluster, topic)).to.deep.equal(['once'])
    expect(p.pendingBytes).to.equal(0)
    await p.close()
  })

  it('takes DUPLICATE_SEQUENCE_NUMBER for success', async () => {
    const topic = await createTopic(env.cluster, 1)
    const p = await producer()
    const response = {
      topics: [{ topic, partitions: [{ partition: 0, error: 46, baseOffset: -1, logStartOffset: -1 }] }]
    }
    env.wire.next('Produce', async (call) => {
      await call.forward()
      return response
    })
    put(p.writer(topic, 0), 'a')
    await p.flush()
    expect(p.writer(topic, 0).ackedNext, 'not known, so not moved').to.equal(-1)
    put(p.writer(topic, 0), 'b')
    await p.flush()
    expect(await values(env.cluster, topic)).to.deep.equal(['a', 'b'])
    await p.close()
  })

  it('sends the partition again that an answer leaves out (D4)', async () => {
    const topic = await createTopic(env.cluster, 2)
    const p = await producer()
    env.wire.next('Produce', answer<'Produce'>({ topics: [] }))
    put(p.writer(topic, 0), 'x')
    put(p.writer(topic, 1), 'y')
    await p.flush()
    expect(await values(env.cluster, topic, 0)).to.deep.equal(['x'])
    expect(await values(env.cluster, topic, 1)).to.deep.equal(['y'])
    await p.close()
  })

  it('fails for a partition that does not exist, and finds it once it was added (D4)', async () => {
    const topic = await createTopic(env.cluster, 1)
    const hasty = await producer({ deliveryMs: 300 })
    put(hasty.writer(topic, 1), 'lost')
    const error = await hasty.flush().then(
      () => undefined,
      (e) => e
    )
    expect(error).to.be.instanceOf(TransportError).and.include({ fault: 'metadata' })
    expect(() => put(hasty.writer(topic, 0), 'more')).to.throw(TransportError)

    const patient = await producer()
    put(patient.writer(topic, 1), 'arrives')
    const flushed = patient.flush()
    await env.wire.lane('control').call('controller', 'CreatePartitions', { timeoutMs: 5_000, topic, total: 2 })
    await flushed
    expect(await values(env.cluster, topic, 1)).to.deep.equal(['arrives'])
    await patient.close()
  })

  it('costs the same per record however many go to one partition (D5)', async () => {
    const topic = await createTopic(env.cluster, 1)
    const p = await producer()
    const value = Buffer.alloc(100, 1)
    const perRecord = async (count: number): Promise<number> => {
      const began = stopwatch()
      for (let i = 0; i < count; i++) p.writer(topic, 0).append(i, null, 0, 0, value, 0, 100, [])
      await p.flush()
      return (stopwatch() - began) / count
    }
    await perRecord(20_000)
    const few = Math.min(await perRecord(5_000), await perRecord(5_000), await perRecord(5_000))
    const many = await perRecord(100_000)
    expect(many / few, 'stock client: 45 from 1 000 to 20 000').to.be.below(4)
    await p.close()
  })

  it('splits by bytes below the limit of the topic and keeps the order', async () => {
    const topic = await createTopic(env.cluster, 1, { 'max.message.bytes': '20000' })
    const p = await producer({ batchBytes: 20_000 })
    const expected: string[] = []
    for (let i = 0; i < 500; i++) {
      expected.push(`${i}:${'x'.repeat(i % 997)}`)
      put(p.writer(topic, 0), expected[i]!)
    }
    await p.flush()
    expect(await values(env.cluster, topic)).to.deep.equal(expected)
    await p.close()
  })

  it('refuses a record that fits into no batch, at once, and goes on with the others', async () => {
    const topic = await createTopic(env.cluster, 1)
    const p = await producer({ batchBytes: 2_000 })
    expect(() => put(p.writer(topic, 0), 'x'.repeat(3_000)))
      .to.throw(TransportError)
      .with.property('fault', 'too-large')
    put(p.writer(topic, 0), 'small')
    expect(() => put(p.writer(topic, 0), 'x'.repeat(3_000))).to.throw(TransportError, 'batchBytes')
    put(p.writer(topic, 0), 'small too')
    await p.flush()
    expect(await values(env.cluster, topic)).to.deep.equal(['small', 'small too'])
    await p.close()
  })

  it("fails with advice when a batch is larger than the topic's limit", async () => {
    const topic = await createTopic(env.cluster, 1, { 'max.message.bytes': '1000' })
    const p = await producer()
    put(p.writer(topic, 0), 'x'.repeat(5_000))
    const error = await p.flush().catch((e) => e)
    expect(error).to.include({ fault: 'too-large', kafkaCode: 10 })
    expect(error.message).to.contain('batchBytes').and.to.contain('max.message.bytes')
    expect(p.pendingBytes).to.equal(0)
    await p.close()
  })

  it('takes headers with null values, repeated and in order (D13), and times down to 0 (D14)', async () => {
    const topic = await createTopic(env.cluster, 1, { 'message.timestamp.before.max.ms': '9223372036854775807' })
    const p = await producer()
    const headers = [
      ['b', Buffer.from('1')],
      ['a', null],
      ['b', Buffer.from('2')],
      ['', Buffer.alloc(0)]
    ] as const
    for (const time of [0, 5, 10, 7]) p.writer(topic, 0).append(time, null, 0, 0, null, 0, 0, time === 5 ? headers : [])
    await p.flush()
    const seen = await readAll(env.wire, await env.cluster.leader(topic, 0), topic)
    expect(seen.map((r) => r.timestamp)).to.deep.equal([0, 5, 10, 7])
    expect(seen[1]!.headers).to.deep.equal([
      ['b', '1'],
      ['a', null],
      ['b', '2'],
      ['', '']
    ])
    await p.close()
  })

  it('puts keys on the partitions that Java puts them on (D16)', async () => {
    const topic = await createTopic(env.cluster, 12)
    const p = await producer()
    // As kafka-clients 4.3.1 partitions them over 12.
    const java = { 'order-1': 10, 'order-2': 3, ORD: 7, ATL: 3, Zürich: 1, 東京: 7, '': 9 }
    for (const name of Object.keys(java)) {
      const key = Buffer.from(name)
      p.writer(topic, partitionFor(key, 0, key.length, 12)).append(1, key, 0, key.length, key, 0, key.length, [])
    }
    await p.flush()
    for (const [name, partition] of Object.entries(java)) {
      expect(await values(env.cluster, topic, partition), name).to.include(name)
    }
    await p.close()
  })

  for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
    it(`writes ${compression} batches that the broker accepts (D15)`, async () => {
      const topic = await createTopic(env.cluster, 1)
      const p = await producer({ compression })
      const expected = Array.from({ length: 1_000 }, (_, i) => `value ${i} ${'z'.repeat(50)}`)
      for (const value of expected) put(p.writer(topic, 0), value)
      await p.flush()
      expect(await values(env.cluster, topic)).to.deep.equal(expected)
      await p.close()
    })
  }

  it('has room again only when the broker has acknowledged enough', async () => {
    const topic = await createTopic(env.cluster, 1)
    const p = await producer()
    const held = hold<'Produce'>()
    env.wire.next('Produce', held.fault)
    for (let i = 0; i < 100; i++) put(p.writer(topic, 0), 'x'.repeat(100))
    expect(p.pendingBytes).to.be.greaterThan(10_000)
    let room = false
    const waiting = p.room(5_000).then(() => {
      room = true
    })
    await held.arrived // nobody kicked: asking for room does
    expect(room).to.equal(false)
    held.release()
    await waiting
    expect(p.pendingBytes).to.be.below(5_000)
    await p.room(5_000)
    await p.close()
  })

  it('tells everybody who waits when it fails, and later callers too', async () => {
    const topic = await createTopic(env.cluster, 1)
    const p = await producer({ deliveryMs: 200 })
    env.wire.always('Produce', loseRequest)
    put(p.writer(topic, 0), 'x')
    const failures = await Promise.allSettled([p.flush(), p.room(1), p.flush()])
    for (const f of failures) expect((f as PromiseRejectedResult).reason).to.include({ fault: 'unknown-outcome' })
    expect(await p.flush().catch((e) => e.fault)).to.equal('unknown-outcome')
    await p.close()
  })

  it('opens through a lost answer', async () => {
    env.wire.next('InitProducerId', refuse, loseAnswer)
    const topic = await createTopic(env.cluster, 1)
    const p = await producer()
    put(p.writer(topic, 0), 'x')
    await p.flush()
    expect(await values(env.cluster, topic)).to.deep.equal(['x'])
    await p.close()
  })

  it('writes many partitions in few requests and drops nothing under load', async () => {
    const topic = await createTopic(env.cluster, 8)
    const p = await producer({ batchBytes: 50_000 })
    const before = env.wire.count('Produce')
    const each = 20_000
    for (let i = 0; i < each; i++) {
      for (let partition = 0; partition < 8; partition++) put(p.writer(topic, partition), `${i}`)
      if (p.pendingBytes > 2_000_000) await p.room(1_000_000)
    }
    await p.flush()
    for (let partition = 0; partition < 8; partition++) {
      const seen = await values(env.cluster, topic, partition)
      expect(seen.length).to.equal(each)
      expect(seen.every((value, i) => value === `${i}`)).to.equal(true)
    }
    expect(env.wire.count('Produce') - before).to.be.below(80)
    await p.close()
  })

  it('refuses with ConfigError what cannot be a batch size', async () => {
    expect((await producer({ batchBytes: 12 }).catch((e) => e)).code).to.equal('ERR_OPTION')
  })

  it('keeps a flush apart from what others append later to the same producer', async () => {
    const topic = await createTopic(env.cluster, 2)
    const p = await producer()
    put(p.writer(topic, 0), 'mine')
    const flushed = p.flush()
    const held = hold<'Produce'>()
    let theirs = false
    await flushed
    env.wire.next('Produce', held.fault)
    put(p.writer(topic, 1), 'theirs')
    const other = p.flush().then(() => {
      theirs = true
    })
    await held.arrived
    await p.room(1_000_000)
    expect(theirs).to.equal(false)
    held.release()
    await other
    expect(p.pendingBytes).to.equal(0)
    await p.close()
  })
})
