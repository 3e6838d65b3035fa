/** D2: the cleaner leaves batches without records and batches without tails; a position counted in records stands still there. */
import { expect } from 'chai'
import { Cluster } from '../../lib/kafka/cluster.ts'
import { kafkajsWire, kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Batch, Transport } from '../../lib/kafka/port.ts'
import { decodeBatches } from '../../lib/kafka/protocol/recordBatch.ts'
import { startKafka } from '../../lib/testing/kafka.ts'
import { until } from '../../lib/testing/until.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { uniqueName } from './support.ts'

const KEYS = 90
/** Each producer in turn writes the keys from here on: those before stay in the first one's batch, which loses its tail. */
const FROM = [0, 30, 45, 45, 45]
const WRITTEN = FROM.reduce((sum, from) => sum + KEYS - from, 0)

describe('reading what the cleaner has left', function () {
  this.timeout(60_000)
  let kafka: Awaited<ReturnType<typeof startKafka>>
  let transport: Transport

  before(async () => {
    // The cleaner of the shared broker sleeps for 15 s between two looks.
    kafka = await startKafka({ config: { 'log.cleaner.backoff.ms': '100', 'log.cleaner.min.cleanable.ratio': '0.01' } })
    transport = kafkaTransport({ brokers: kafka.brokers })
  })
  after(async () => {
    await transport?.close()
    await kafka?.stop()
  })

  /** Producers take turns to write the same keys: what each wrote last is kept as an emptied batch, for its sequence. */
  async function compacted(): Promise<string> {
    const topic = uniqueName('compacted')
    const config = {
      'cleanup.policy': 'compact',
      'segment.bytes': '1048576',
      'min.cleanable.dirty.ratio': '0.01',
      'max.compaction.lag.ms': '100',
      'min.compaction.lag.ms': '0'
    }
    await transport.admin.create([{ topic, partitions: 1, replication: -1, config }])
    for (const from of FROM) {
      const producer = await transport.producer({ lane: 0, batchBytes: 500_000 })
      for (let i = from; i < KEYS; i++) {
        const key = Buffer.from(`key${i}`)
        const value = Buffer.alloc(10_000, 'x')
        producer.writer(topic, 0).append(Date.now(), key, 0, key.length, value, 0, value.length, [])
      }
      await producer.flush()
      await producer.close()
    }
    return topic
  }

  /** Batches of the log as they are: [records, offsets spanned]. */
  async function layout(topic: string): Promise<[number, number][]> {
    const wire = kafkajsWire({ brokers: kafka.brokers })
    const cluster = new Cluster(wire, { clock: systemClock, random: systemRandom })
    const spans: [number, number][] = []
    const node = await cluster.leader(topic, 0)
    for (let offset = 0; offset < WRITTEN; ) {
      const answer = await wire.lane('look').call(node, 'Fetch', {
        maxWaitMs: 100,
        minBytes: 1,
        maxBytes: 50_000_000,
        isolation: 'uncommitted',
        topics: [{ topic, partitions: [{ partition: 0, offset, maxBytes: 50_000_000 }] }]
      })
      const { records } = answer.topics[0]!.partitions[0]!
      for (let at = 0; at + 61 <= records.length; at += 12 + records.readInt32BE(at + 8)) {
        spans.push([records.readInt32BE(at + 57), records.readInt32BE(at + 23) + 1])
      }
      const { next, error } = decodeBatches(records, { offset, committed: false, aborted: [] })
      if (error) throw error
      offset = next
    }
    await wire.close()
    return spans
  }

  it('D2, D2b: passes emptied batches and missing tails in one step each, and gives every record left', async () => {
    const topic = await compacted()
    const spans = await until(
      async () => {
        const found = await layout(topic)
        const emptied = found.some(([count]) => count === 0)
        const shortened = found.some(([count, span]) => count > 0 && count < span)
        return emptied && shortened ? found : undefined
      },
      { what: 'the cleaner has emptied one batch and shortened another', timeoutMs: 45_000, everyMs: 250 }
    )
    const left = spans!.reduce((sum, [count]) => sum + count, 0)
    expect(left).to.be.below(WRITTEN)

    const batches: Batch[] = []
    const reader = transport.reader({
      isolation: 'committed',
      lane: 'restore',
      maxWaitMs: 200,
      onError: (error) => {
        throw error
      }
    })
    // Small answers: each emptied batch is met at the start of a Fetch, where the position has to move without a record.
    reader.add({ topic, partition: 0 }, 0, (batch) => batches.push(batch))
    await until(() => batches.at(-1)?.next === WRITTEN, { what: `offset ${WRITTEN}` })
    await reader.close()
    const keys = batches.flatMap(({ records }) =>
      Array.from({ length: records.count }, (_, i) => records.key(i)!.toString())
    )
    expect(keys.length, 'the cleaner may have gone on meanwhile').to.be.within(KEYS, left)
    expect(new Set(keys).size).to.equal(KEYS)
    expect(batches.length, 'answers').to.be.at.most(spans!.length + 1)
  })
})
