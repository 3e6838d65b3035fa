import { expect } from 'chai'
import { TransportError } from '../../lib/errors.ts'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import { StreamRecord } from '../../lib/record.ts'
import { json } from '../../lib/serde/index.ts'
import { Outbox } from '../../lib/task/outbox.ts'
import type { SinkNode } from '../../lib/topology/node.ts'
import { batch, FakeProducer, text } from './fakes.ts'

const sinkOf = (over: Partial<SinkNode> = {}): SinkNode => ({
  kind: 'sink',
  name: 'sink',
  parents: [],
  topic: 'out',
  key: text,
  value: text,
  ...over
})

function outboxOf(counts: Record<string, number> = { out: 12 }, later: Record<string, number> = {}) {
  const producer = new FakeProducer()
  const asked: string[] = []
  const outbox = new Outbox({
    taskId: '0_0',
    producer,
    partitionCount: (topic) => counts[topic] ?? 0,
    lookUp: async (topic) => {
      asked.push(topic)
      return later[topic] ?? 0
    },
    random: () => 0.5
  })
  return { producer, outbox, asked }
}

describe('The outbox', () => {
  it('copies bytes that nobody touched without decoding them, and sends them where Java would', () => {
    const { producer, outbox } = outboxOf()
    const refusing = { ...text, decode: () => expect.fail('decoded'), encode: () => expect.fail('encoded') }
    const { records } = batch([
      { key: 'order-1', value: 'one', at: 5 },
      { key: 'x', value: null, at: 6 }
    ])
    const sink = sinkOf({ key: refusing, value: refusing })
    for (const row of [0, 1]) outbox.emit(sink, StreamRecord.lazy(records, row, refusing, refusing, 5 + row))
    expect(producer.sent).to.deep.equal([
      { topic: 'out', partition: 10, key: 'order-1', value: 'one', timestamp: 5 },
      { topic: 'out', partition: partitionFor(Buffer.from('x'), 0, 1, 12), key: 'x', value: null, timestamp: 6 }
    ])
    expect(outbox.appended).to.equal(2)
  })

  it('encodes what was made or changed', () => {
    const { producer, outbox } = outboxOf()
    const { records } = batch([{ key: 'k', value: 'old', at: 5 }])
    outbox.emit(sinkOf(), StreamRecord.lazy(records, 0, text, text, 5).withValue('new'))
    outbox.emit(sinkOf({ value: json<number>() }), new StreamRecord('k', 7, 8))
    expect(producer.sent.map(({ key, value }) => [key, value])).to.deep.equal([
      ['k', 'new'],
      ['k', '7']
    ])
  })

  it('keeps records without a key on one partition for a while', () => {
    const { producer, outbox } = outboxOf()
    for (let i = 0; i < 5; i++) outbox.emit(sinkOf(), new StreamRecord(null, 'v', 1))
    expect(new Set(producer.sent.map(({ partition }) => partition)).size).to.equal(1)
  })

  it('follows a partitioner, and names it when it points nowhere', () => {
    const { producer, outbox } = outboxOf()
    outbox.emit(sinkOf({ partitioner: (_record, count) => count - 1 }), new StreamRecord('k', 'v', 1))
    expect(producer.sent[0]!.partition).to.equal(11)
    expect(() => outbox.emit(sinkOf({ partitioner: () => 12 }), new StreamRecord('k', 'v', 1)))
      .to.throw(/sink "sink" chose partition 12 of topic "out", which has 0 to 11/)
      .with.property('code', 'ERR_PARTITION')
  })

  it('asks the broker once about a topic that a record chose, and names one that does not exist', async () => {
    const { producer, outbox, asked } = outboxOf({ out: 1 }, { late: 1 })
    const sink = sinkOf({ topic: (record) => record.value })
    await outbox.emit(sink, new StreamRecord('k', 'late', 1))
    expect(outbox.emit(sink, new StreamRecord('k', 'late', 2)), 'known from now on').to.equal(undefined)
    expect(asked).to.deep.equal(['late'])
    expect(producer.sent.map(({ topic, timestamp }) => [topic, timestamp])).to.deep.equal([
      ['late', 1],
      ['late', 2]
    ])
    const error = await Promise.resolve(outbox.emit(sink, new StreamRecord('k', 'lated', 3))).catch((e: unknown) => e)
    expect(error).to.have.property('code', 'ERR_MISSING_TOPIC')
    expect(error)
      .to.have.property('message')
      .that.matches(/Sink "sink".*"lated".*did you mean "late"/)
  })

  it('names sink, topic and key of what cannot be encoded', () => {
    const { outbox } = outboxOf()
    expect(() => outbox.emit(sinkOf(), new StreamRecord('order-7', 12, 1)))
      .to.throw(
        /Sink "sink" \(topic "out"\): the value of the record with key "order-7" cannot be encoded as text: not a text: 12/
      )
      .with.property('code', 'ERR_ENCODE')
  })

  it('refuses a negative time', () => {
    const { producer, outbox } = outboxOf()
    expect(() => outbox.emit(sinkOf(), new StreamRecord('order-7', 'v', -1))).to.throw(
      /"order-7" has the event time -1/
    )
    expect(producer.sent).to.deep.equal([])
  })

  it('names sink and key of a record that is too large', () => {
    const { producer, outbox } = outboxOf()
    producer.writer('out', 10).append = () => {
      throw new TransportError('4 MB', 'too-large')
    }
    expect(() => outbox.emit(sinkOf(), new StreamRecord('order-1', 'v', 1)))
      .to.throw(/Sink "sink".*"order-1".*max\.message\.bytes/)
      .with.property('fault', 'too-large')
  })

  it('refuses what comes after the task was closed: it would begin a transaction', () => {
    const { outbox } = outboxOf()
    outbox.close()
    expect(() => outbox.emit(sinkOf(), new StreamRecord('k', 'v', 1))).to.throw(/closed/)
  })
})
