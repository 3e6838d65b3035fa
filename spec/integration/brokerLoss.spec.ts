/**
 * Three brokers of which one dies (kill -9) and comes back. Claims: producers find the new leaders and lose or double nothing; a
 * transaction survives its coordinator; a member keeps its partitions when the group's coordinator moves.
 */
import { expect } from 'chai'
import { Cluster } from '../../lib/kafka/cluster.ts'
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import { createProducer } from '../../lib/kafka/producer.ts'
import { createTxnProducer } from '../../lib/kafka/txnProducer.ts'
import { type KafkaHandle, startKafka } from '../../lib/testing/kafka.ts'
import { until } from '../../lib/testing/until.ts'
import { delay, systemClock, systemRandom } from '../../lib/time.ts'
import { FaultyWire } from '../kafka/faultyWire.ts'
import { TestMember } from './groupMember.ts'
import { createTopic, expectValues, put, uniqueName } from './support.ts'

describe('loss of a broker', function () {
  this.timeout(120_000)
  let kafka: KafkaHandle
  let wire: FaultyWire
  let cluster: Cluster
  let topic: string

  before(async () => {
    kafka = await startKafka({
      brokers: 3,
      own: true,
      config: { 'default.replication.factor': '3', 'min.insync.replicas': '2' }
    })
    wire = new FaultyWire(kafkajsWire({ brokers: kafka.brokers }))
    cluster = new Cluster(wire, { clock: systemClock, random: systemRandom })
    topic = await createTopic(cluster, 6)
  })
  after(async () => {
    await wire?.close()
    await kafka?.stop()
  })

  /** Kills the broker, runs what is to survive it, and brings it back. */
  async function without(nodeId: number, run: () => Promise<void>): Promise<void> {
    const node = kafka.nodes!.find((n) => n.id === nodeId)!
    await node.kill()
    try {
      await run()
    } finally {
      await node.restart()
    }
  }

  it('does not stop a producer: every record once and in order at the new leaders', async () => {
    const p = await createProducer(cluster, { lane: 0, batchBytes: 2_000 })
    const expected: string[][] = Array.from({ length: 6 }, () => [])
    let sent = 0
    const write = (count: number): void => {
      for (let i = 0; i < count; i++, sent++) {
        expected[sent % 6]!.push(`${sent}`)
        put(p.writer(topic, sent % 6), `${sent}`)
      }
    }
    write(600)
    await p.flush()
    write(3_000)
    p.kick() // under way when the leader dies
    await without(await cluster.leader(topic, 0), async () => {
      for (let i = 0; i < 20; i++) {
        write(300)
        p.kick()
        await delay(systemClock, 20)
      }
      await p.flush()
    })
    await p.close()
    for (let partition = 0; partition < 6; partition++)
      await expectValues(cluster, topic, expected[partition]!, partition)
  })

  it('does not stop transactions, nor a member, when their coordinator dies', async () => {
    const id = uniqueName('txn')
    const out = await createTopic(cluster, 1)
    const p = await createTxnProducer(cluster, id, { timeoutMs: 60_000, lane: 1 })
    const coordinator = await cluster.coordinator('transaction', id)
    // A group with the same coordinator, so that one loss strikes both.
    const group = await until(async () => {
      const name = uniqueName('group')
      return (await cluster.coordinator('group', name)) === coordinator ? name : undefined
    })
    const member = new TestMember('m')
    await member.join(cluster, group!, [topic], { sessionMs: 20_000, rebalanceMs: 20_000 })
    await member.owns(0, 1, 2, 3, 4, 5)
    const before = member.log.length

    put(p.writer(out, 0), 'before')
    await p.commit()
    put(p.writer(out, 0), 'through')
    await p.flush()
    await without(coordinator, async () => {
      await p.sendOffsets(member.meta!, [{ topic, partition: 0, offset: 7 }])
      await p.commit()
      put(p.writer(out, 0), 'after')
      await p.commit()
      await expectValues(cluster, out, ['before', 'through', 'after'])
      const beats = wire.count('Heartbeat')
      await until(() => wire.count('Heartbeat') > beats + 20)
    })
    expect(member.log.slice(before).filter((line) => line.startsWith('lost'))).to.deep.equal([])
    expect(member.owned).to.deep.equal([0, 1, 2, 3, 4, 5])
    await member.group.commit(member.group.meta!, [{ topic, partition: 0, offset: 8 }])
    await p.close()
    await member.group.leave()
  })
})
