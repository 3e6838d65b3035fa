/** What may leave while a commit is under way. Claim: without exactly-once and without a changelog, everything; else nothing. */
import { expect } from 'chai'
import { type EmbeddedBroker, embeddedBroker } from '../../lib/embedded/index.ts'
import type { Producer, Transport } from '../../lib/kafka/port.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import type { TaskStore } from '../../lib/store/port.ts'
import { Committer, type CommitterOptions } from '../../lib/task/commit.ts'
import { seededRandom, systemClock } from '../../lib/time.ts'

const tp = { topic: 'out', partition: 0 }
const logged = { spec: { name: 'counts', logged: true }, dirty: false } as TaskStore

describe('A commit under way', () => {
  let broker: EmbeddedBroker
  let transport: Transport
  beforeEach(async () => {
    broker = embeddedBroker({ random: seededRandom(1) })
    transport = createTransport(broker.wire, { clock: systemClock, random: seededRandom(2) })
    const created = ['out', 'counts-changelog'].map((topic) => ({ topic, partitions: 1, replication: 1, config: {} }))
    await transport.admin.create(created)
  })
  afterEach(async () => {
    await transport.close()
    await broker.close()
  })

  /** One output before a commit begins and one after. @returns how many are written before it is finished */
  async function written(producer: Producer, stores: readonly TaskStore[]): Promise<number> {
    const committer = new Committer({
      ...{ taskId: '0_0', partition: 0, producer, stores, queues: [], group: () => undefined },
      changelogTopic: (store: string) => `${store}-changelog`,
      ...{ outbox: { appended: 0 }, work: { unsettled: false }, state: { setTime() {} } },
      ...{ saved: { all: () => new Map(), changed: false }, expire: async () => {}, probe() {}, committed() {} }
    } as unknown as CommitterOptions)
    const write = (text: string): void => {
      const value = Buffer.from(text)
      producer.writer(tp.topic, tp.partition).append(1, null, 0, 0, value, 0, value.length, [])
    }
    write('before')
    const { produced } = await committer.begin(new AbortController().signal)
    await produced
    write('after')
    await producer.flush()
    const ends = await transport.offsets([tp], 'hw')
    await producer.close()
    return ends.get('out-0')!
  }

  it('lets later outputs go at-least-once, when nothing is logged', async () => {
    expect(await written(await transport.producer({ lane: 0 }), [])).to.equal(2)
  })

  it('holds later outputs back when a store is logged: its rows and the changelog are to agree', async () => {
    expect(await written(await transport.producer({ lane: 0 }), [logged])).to.equal(1)
  })

  it('holds later outputs back exactly-once: they belong to the next transaction', async () => {
    expect(await written(await transport.txnProducer('t', { lane: 0, timeoutMs: 10_000 }), [])).to.equal(1)
  })
})
