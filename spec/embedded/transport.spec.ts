import { expect } from 'chai'
import { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { until } from '../../lib/testing/until.ts'
import { put } from '../cases/transport/support.ts'
import { transportCases } from '../cases/transport.ts'

let broker: EmbeddedBroker
before(() => {
  broker = embeddedBroker({ markerDelayMs: 5, minSessionMs: 1_000 })
})
after(() => broker.close())

transportCases('embedded log', async () => {
  const transport = embeddedTransport({ broker })
  const wire = broker.connect('spec')
  return { transport, wire, sessionMs: 1_000, close: () => transport.close() }
})

describe('transport: embedded log, after compaction', () => {
  it('reads past batches that hold no record any more', async () => {
    const transport = embeddedTransport({ broker })
    await transport.admin.create([
      { topic: 'compacted', partitions: 1, replication: 1, config: { 'cleanup.policy': 'compact' } }
    ])
    // Four producers write the same keys: the broker must remember the last sequence of each, so it keeps empty batches.
    for (const value of ['1', '2', '3', '4']) {
      const producer = await transport.producer({ lane: 0 })
      for (const key of ['a', 'b']) put(producer.writer('compacted', 0), { key, value })
      await producer.flush()
      await producer.close()
    }
    broker.clean()
    const seen: string[] = []
    const positions: number[] = []
    const reader = transport.reader({ isolation: 'committed', lane: 'restore', maxWaitMs: 100, onError: () => {} })
    reader.add({ topic: 'compacted', partition: 0 }, 0, ({ records, next }) => {
      positions.push(next)
      for (let i = 0; i < records.count; i++) seen.push(`${records.offsets[i]}=${records.value(i)}`)
    })
    await until(() => positions.includes(8))
    // The last batch is not cleaned, so one older value of each key is still there.
    expect(seen).to.deep.equal(['4=3', '5=3', '6=4', '7=4'])
    await transport.close()
  })
})
