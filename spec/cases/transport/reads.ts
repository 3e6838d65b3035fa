/** Cases: what is written is read, in order, byte for byte, and positions go past what is not delivered. */
import { expect } from 'chai'
import type { TransportError } from '../../../lib/errors.ts'
import type { Batch, Codec } from '../../../lib/kafka/port.ts'
import type { Tp } from '../../../lib/record.ts'
import { until } from '../../../lib/testing/until.ts'
import { fails, put, type Side } from './support.ts'

export function readCases(side: Side): void {
  it('gives keys, values, headers and timestamps back as they were written', async () => {
    const topic = await side.topic(1, { 'retention.ms': '-1' })
    await side.write(topic, [
      { key: 'k', value: 'v', timestamp: 987_654_321_000 },
      { key: null, value: 'no key', timestamp: 0 },
      { key: '', value: '', timestamp: 5 },
      { key: 'tombstone', value: null, timestamp: 4 },
      {
        key: 'headers',
        value: 'v',
        headers: [
          ['b', Buffer.from('1')],
          ['a', null],
          ['b', Buffer.from('')],
          ['ü', Buffer.from('2')]
        ]
      }
    ])
    const plain = { headers: [] }
    expect(await side.read(topic)).to.deep.equal([
      { offset: 0, key: 'k', value: 'v', timestamp: 987_654_321_000, ...plain },
      { offset: 1, key: null, value: 'no key', timestamp: 0, ...plain },
      { offset: 2, key: '', value: '', timestamp: 5, ...plain },
      { offset: 3, key: 'tombstone', value: null, timestamp: 4, ...plain },
      {
        offset: 4,
        key: 'headers',
        value: 'v',
        timestamp: 1_000,
        headers: [
          ['b', '1'],
          ['a', null],
          ['b', ''],
          ['ü', '2']
        ]
      }
    ])
  })

  it('keeps the order of each partition over many batches', async () => {
    const topic = await side.topic(3)
    const producer = await side.transport.producer({ lane: 0, batchBytes: 1_500 })
    for (let i = 0; i < 3_000; i++) put(producer.writer(topic, i % 3), `${i}`)
    await producer.flush()
    expect(producer.writer(topic, 0).ackedNext).to.equal(1_000)
    expect(producer.pendingBytes).to.equal(0)
    await producer.close()
    for (const partition of [0, 1, 2]) {
      const expected = Array.from({ length: 1_000 }, (_, i) => `${i * 3 + partition}`)
      expect(await side.values(topic, { partition })).to.deep.equal(expected)
    }
  })

  for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] satisfies Codec[]) {
    it(`reads what was written with ${compression}`, async () => {
      const topic = await side.topic()
      const producer = await side.transport.producer({ lane: 0, compression })
      for (let i = 0; i < 500; i++) put(producer.writer(topic, 0), { key: `${i}`, value: 'again and again '.repeat(5) })
      await producer.flush()
      await producer.close()
      const records = await side.read(topic, { from: 100 })
      expect(records.map((r) => r.key)).to.deep.equal(Array.from({ length: 400 }, (_, i) => `${i + 100}`))
      expect(records.every((r) => r.value === 'again and again '.repeat(5))).to.equal(true)
    })
  }

  it('begins in the middle of a batch without what lies before', async () => {
    const topic = await side.topic()
    await side.write(topic, ['a', 'b', 'c'])
    expect(await side.values(topic, { from: 1 })).to.deep.equal(['b', 'c'])
  })

  it('refuses a record above the batch limit when it is appended, and a batch above the topic limit when it is sent', async () => {
    const topic = await side.topic(1, { 'max.message.bytes': '2000' })
    const producer = await side.transport.producer({ lane: 0, batchBytes: 3_000 })
    expect(() => put(producer.writer(topic, 0), 'x'.repeat(4_000)))
      .to.throw()
      .with.property('fault', 'too-large')
    put(producer.writer(topic, 0), 'x'.repeat(2_500))
    await fails(producer.flush(), 'too-large', 10)
    await producer.close()
    expect(await side.values(topic)).to.deep.equal([])
  })

  it('holds a partition back while it is paused and goes on where it was', async () => {
    const topic = await side.topic()
    const tp = { topic, partition: 0 }
    const seen: string[] = []
    const reader = side.transport.reader({ isolation: 'committed', lane: 'source', maxWaitMs: 100, onError: fail })
    reader.add(tp, 0, collect(seen))
    await side.write(topic, ['a'])
    await until(() => seen.length === 1)
    reader.pause(tp)
    await side.write(topic, ['b'])
    // What was asked before the pause may still bring 'b'; after another round trip nothing new may come.
    await side.end(topic, 'hw')
    const before = seen.length
    await side.write(topic, ['c'])
    await side.read(topic)
    expect(seen.length).to.be.lessThanOrEqual(Math.max(before, 2))
    expect(seen).not.to.include('c')
    reader.resume(tp)
    await until(() => seen.length === 3)
    expect(seen).to.deep.equal(['a', 'b', 'c'])
    await reader.close()
  })

  it('delivers nothing for a removed partition, and starts anew when it is added again', async () => {
    const topic = await side.topic(2)
    const [seen, again, other]: [string[], string[], string[]] = [[], [], []]
    const reader = side.transport.reader({ isolation: 'committed', lane: 'source', maxWaitMs: 100, onError: fail })
    reader.add({ topic, partition: 0 }, 0, collect(seen))
    reader.add({ topic, partition: 1 }, 0, collect(other))
    await side.write(topic, ['a'])
    await until(() => seen.length === 1)
    reader.remove({ topic, partition: 0 })
    await side.write(topic, ['b'])
    await side.write(topic, ['x'], 1)
    await until(() => other.length === 1)
    expect(seen).to.deep.equal(['a'])
    reader.add({ topic, partition: 0 }, 0, collect(again))
    await until(() => again.length === 2)
    expect(again).to.deep.equal(['a', 'b'])
    expect(seen).to.deep.equal(['a'])
    await reader.close()
  })

  it('tells that an offset is out of range, removes that partition and reads the others on', async () => {
    const topic = await side.topic(2)
    await side.write(topic, ['a'], 0)
    const errors: [string, number | undefined][] = []
    const seen: string[] = []
    const onError = (error: TransportError, tp: Tp | undefined): void => void errors.push([error.fault, tp?.partition])
    const reader = side.transport.reader({ isolation: 'committed', lane: 'source', maxWaitMs: 100, onError })
    reader.add({ topic, partition: 0 }, 99, fail)
    reader.add({ topic, partition: 1 }, 0, collect(seen))
    await until(() => errors.length > 0)
    await side.write(topic, ['b'], 1)
    await until(() => seen.length === 1)
    expect(errors).to.deep.equal([['out-of-range', 0]])
    await reader.close()
  })

  it('shows the ends with each batch: where it goes on, the last stable offset, the high watermark', async () => {
    const topic = await side.topic()
    const txn = await side.transport.txnProducer(`${topic}-id`, { timeoutMs: 30_000, lane: 0 })
    await side.write(topic, ['a', 'b'])
    put(txn.writer(topic, 0), 'open')
    await txn.flush()
    const batches: Pick<Batch, 'next' | 'lso' | 'hw'>[] = []
    const reader = side.transport.reader({ isolation: 'committed', lane: 'restore', maxWaitMs: 100, onError: fail })
    reader.add({ topic, partition: 0 }, 0, ({ next, lso, hw }) => batches.push({ next, lso, hw }))
    await until(() => batches.some((b) => b.next === 2))
    expect(batches.at(-1)).to.deep.equal({ next: 2, lso: 2, hw: 3 })
    await txn.commit()
    await until(() => batches.some((b) => b.next === 4))
    expect(batches.at(-1)).to.deep.equal({ next: 4, lso: 4, hw: 4 })
    await reader.close()
    await txn.close()
  })
}

const collect =
  (into: string[]) =>
  ({ records }: Batch): void => {
    for (let i = 0; i < records.count; i++) into.push(records.value(i)!.toString())
  }

const fail = (what: unknown): never => {
  throw new Error(`unexpected: ${JSON.stringify(what)}`)
}
