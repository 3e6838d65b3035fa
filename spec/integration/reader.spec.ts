/** The reader on a real broker. Regressions carry the number of the client defect they guard against. */
import { expect } from 'chai'
import type { TransportError } from '../../lib/errors.ts'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Batch, Codec, Reader, ReaderOptions, Transport, TxnProducer } from '../../lib/kafka/port.ts'
import { type Tp, tpKey } from '../../lib/record.ts'
import { until } from '../../lib/testing/until.ts'
import { broker, put, uniqueName } from './support.ts'

const int32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(n)
  return bytes
}

describe('reader on Kafka', function () {
  this.timeout(30_000)
  let transport: Transport
  const readers: Reader[] = []

  before(async () => {
    transport = kafkaTransport({ brokers: (await broker()).brokers })
  })
  afterEach(async () => {
    await Promise.all(readers.splice(0).map((reader) => reader.close()))
  })
  after(() => transport?.close())

  const topic = async (partitions = 1, config: Record<string, string> = {}): Promise<string> => {
    const name = uniqueName('reader')
    await transport.admin.create([{ topic: name, partitions, replication: -1, config }])
    return name
  }

  const open = (options: Partial<ReaderOptions> = {}): Reader => {
    const reader = transport.reader({
      isolation: 'committed',
      lane: 'source',
      maxWaitMs: 200,
      onError: (error) => {
        throw error
      },
      ...options
    })
    readers.push(reader)
    return reader
  }

  /** Reads from `offset` to the high watermark. */
  async function readToEnd(tp: Tp, offset = 0, options: Partial<ReaderOptions> = {}): Promise<Batch[]> {
    const end = await endOf(tp)
    const batches: Batch[] = []
    open(options).add(tp, offset, (batch) => batches.push(batch))
    await until(() => (batches.at(-1)?.next ?? offset) >= end, { what: `offset ${end} of ${tp.topic}` })
    expect(batches.at(-1)?.next ?? offset).to.equal(end)
    return batches
  }

  const endOf = async (tp: Tp, at: 'hw' | 'lso' = 'hw'): Promise<number> =>
    (await transport.offsets([tp], at)).get(tpKey(tp.topic, tp.partition))!

  /** A transaction's end is answered before its marker is in the log. */
  const settled = (tp: Tp, end: number): Promise<boolean> =>
    until(async () => (await endOf(tp, 'lso')) === end, { what: `the last marker, before offset ${end}` })

  const values = (batches: Batch[]): string[] =>
    batches.flatMap(({ records }) =>
      Array.from({ length: records.count }, (_, i) => records.value(i)?.toString() ?? 'null')
    )

  const txn = (id: string): Promise<TxnProducer> =>
    transport.txnProducer(uniqueName(id), { timeoutMs: 30_000, lane: 0 })

  describe('delivers nothing of aborted transactions', () => {
    it('D1a: when a record has the key of an abort marker', async () => {
      const tp = { topic: await topic(), partition: 0 }
      const a = await txn('a')
      const writer = a.writer(tp.topic, 0)
      for (const n of [1, 0, 2]) writer.append(1, int32(n), 0, 4, Buffer.from(`key${n}`), 0, 4, [])
      await a.flush()
      await a.abort()
      await settled(tp, 4)
      expect(values(await readToEnd(tp))).to.deep.equal([])
      expect(values(await readToEnd(tp, 0, { isolation: 'uncommitted' }))).to.deep.equal(['key1', 'key0', 'key2'])
      await a.close()
    })

    it('D1b: when the one begun first ends last', async () => {
      const tp = { topic: await topic(), partition: 0 }
      const [a, b] = [await txn('a'), await txn('b')]
      const send = async (producer: TxnProducer, value: string): Promise<void> => {
        put(producer.writer(tp.topic, 0), value)
        await producer.flush()
      }
      await send(a, 'A')
      await send(b, 'B')
      await b.abort()
      await send(a, 'A')
      await a.abort()
      await settled(tp, 5)
      expect(values(await readToEnd(tp))).to.deep.equal([])
      await Promise.all([a.close(), b.close()])
    })

    it('D1c: when several began before the offset asked for', async () => {
      const tp = { topic: await topic(), partition: 0 }
      const [a, b] = [await txn('a'), await txn('b')]
      const send = async (producer: TxnProducer, value: string): Promise<void> => {
        put(producer.writer(tp.topic, 0), value)
        await producer.flush()
      }
      await send(a, 'A1')
      await send(b, 'B1')
      await send(b, 'B2')
      await send(a, 'A2')
      await a.abort()
      await b.abort()
      await settled(tp, 6)
      expect(values(await readToEnd(tp, 2))).to.deep.equal([])
      await Promise.all([a.close(), b.close()])
    })
  })

  it('ends at the last stable offset while a transaction is open, and goes on when it commits', async () => {
    const tp = { topic: await topic(), partition: 0 }
    const a = await txn('a')
    put(a.writer(tp.topic, 0), 'x')
    await a.flush()
    const batches: Batch[] = []
    open().add(tp, 0, (batch) => batches.push(batch))
    await until(() => batches.some((b) => b.hw === 1))
    expect(batches.map((b) => [b.records.count, b.next, b.lso])).to.deep.equal([[0, 0, 0]])
    await a.commit()
    await until(() => batches.at(-1)!.next === 2)
    expect(values(batches)).to.deep.equal(['x'])
    await a.close()
  })

  it('D12: reads a batch of 200,000 records', async () => {
    const tp = { topic: await topic(1, { 'max.message.bytes': '10000000' }), partition: 0 }
    const producer = await transport.producer({ lane: 0, batchBytes: 9_000_000 })
    for (let i = 0; i < 200_000; i++) put(producer.writer(tp.topic, 0), String(i))
    await producer.flush()
    await producer.close()
    const read = values(await readToEnd(tp, 0, { partitionMaxBytes: 1_000, maxBytes: 1_000 }))
    expect(read).to.have.length(200_000)
    expect(read.every((value, i) => value === String(i))).to.equal(true)
  })

  describe('D15: codecs', () => {
    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as Codec[]) {
      it(`reads ${codec} written by us and accepted by the broker`, async () => {
        const tp = { topic: await topic(), partition: 0 }
        const producer = await transport.producer({ lane: 0, compression: codec })
        const sent = Array.from({ length: 2_000 }, (_, i) => `value ${i} ${'.'.repeat(i % 90)}`)
        for (const value of sent) put(producer.writer(tp.topic, 0), value)
        await producer.flush()
        await producer.close()
        const batches = await readToEnd(tp)
        expect(values(batches)).to.deep.equal(sent)
      })

      it(`reads ${codec} written by the broker's own Java code`, async () => {
        const tp = { topic: await topic(1, { 'compression.type': codec }), partition: 0 }
        const producer = await transport.producer({ lane: 0 })
        const sent = Array.from({ length: 20_000 }, (_, i) => `value ${i} ${'.'.repeat(i % 90)}`)
        for (const value of sent) put(producer.writer(tp.topic, 0), value)
        await producer.flush()
        await producer.close()
        expect(values(await readToEnd(tp))).to.deep.equal(sent)
      })
    }
  })

  it('gives the append time of a LogAppendTime topic', async () => {
    const tp = { topic: await topic(1, { 'message.timestamp.type': 'LogAppendTime' }), partition: 0 }
    const producer = await transport.producer({ lane: 0 })
    const before = Date.now() - 60_000
    put(producer.writer(tp.topic, 0), 'x', 5)
    await producer.flush()
    await producer.close()
    const [first] = await readToEnd(tp)
    expect(first!.records.timestamps[0]).to.be.greaterThan(before)
  })

  it('reports an offset beyond the end as out of range, and reads the other partitions', async () => {
    const name = await topic(2)
    const producer = await transport.producer({ lane: 0 })
    put(producer.writer(name, 1), 'x')
    await producer.flush()
    await producer.close()
    const errors: [TransportError, Tp | undefined][] = []
    const batches: Batch[] = []
    const reader = open({ onError: (error, tp) => errors.push([error, tp]) })
    reader.add({ topic: name, partition: 0 }, 99, () => {})
    reader.add({ topic: name, partition: 1 }, 0, (batch) => batches.push(batch))
    await until(() => errors.length > 0 && values(batches).length > 0)
    expect(errors.map(([e, tp]) => [e.fault, tp?.partition])).to.deep.equal([['out-of-range', 0]])
  })

  it('brings a partition that wakes while the long poll is parked at once', async () => {
    const name = await topic(2)
    const producer = await transport.producer({ lane: 0 })
    put(producer.writer(name, 1), 'x')
    await producer.flush()
    await producer.close()
    const reader = open({ maxWaitMs: 20_000 })
    const parked: Batch[] = []
    reader.add({ topic: name, partition: 0 }, 0, (batch) => parked.push(batch))
    // The first answer of an empty partition comes only with the time-out: no event says that the poll is parked, and if it
    // is not yet, the partition rides along with it, which is at once too.
    const began = performance.now()
    await new Promise<void>((resolve) =>
      reader.add({ topic: name, partition: 1 }, 0, (batch) => {
        if (batch.records.count > 0) resolve()
      })
    )
    reader.pause({ topic: name, partition: 1 })
    const late: Batch[] = []
    reader.add({ topic: name, partition: 1 }, 0, (batch) => late.push(batch))
    await until(() => values(late).length > 0)
    expect(performance.now() - began).to.be.below(5_000)
    expect(values(late)).to.deep.equal(['x'])
  })

  it('two readers of one kind do not wait behind each other', async () => {
    const name = await topic(2)
    const producer = await transport.producer({ lane: 0 })
    put(producer.writer(name, 1), 'x')
    await producer.flush()
    await producer.close()
    open({ maxWaitMs: 20_000 }).add({ topic: name, partition: 0 }, 0, () => {})
    const began = performance.now()
    await readToEnd({ topic: name, partition: 1 }, 0, { maxWaitMs: 20_000 })
    expect(performance.now() - began).to.be.below(5_000)
  })

  it('closes at once under a parked Fetch', async () => {
    const tp = { topic: await topic(), partition: 0 }
    const reader = transport.reader({ isolation: 'committed', lane: 'restore', maxWaitMs: 25_000, onError: () => {} })
    const batches: Batch[] = []
    reader.add(tp, 0, (batch) => batches.push(batch))
    await transport.offsets([tp], 'hw')
    const began = performance.now()
    await reader.close()
    expect(performance.now() - began).to.be.below(2_000)
  })
})
