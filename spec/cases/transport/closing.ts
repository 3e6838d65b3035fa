/** Cases: a transport is closed while everything is under way: all who wait are told, nothing goes on by itself, nothing is unhandled. */
import { expect } from 'chai'
import type { TransportError } from '../../../lib/errors.ts'
import { until } from '../../../lib/testing/until.ts'
import { Follower } from './members.ts'
import { put, type Side, unique } from './support.ts'

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'resolved',
    (error: TransportError) => error.code
  )

export function closingCases(side: Side): void {
  it('ends a membership with one error when its transport is closed, and leaves nothing unhandled', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown): unknown => unhandled.push(reason)
    process.on('unhandledRejection', note)
    const topic = await side.topic(1)
    const transport = await side.another()
    const follower = new Follower('a')
    const options = { groupId: unique('group'), topics: [topic], rebalanceMs: 10_000, heartbeatMs: 50 }
    follower.group = await transport.group({ ...options, sessionMs: side.sessionMs }, follower)
    await until(() => follower.of('assigned').length > 0, { what: 'it is in' })
    await transport.close()
    await until(() => follower.of('error').length > 0, { what: 'it is told' })
    expect(follower.of('lost')).to.deep.equal([`lost ${topic}-0: fatal`])
    expect(follower.of('error')).to.deep.equal(['error fatal'])
    await follower.group.leave() // resolves all the same
    process.off('unhandledRejection', note)
    expect(unhandled).to.deep.equal([])
  })

  it('rejects what waits for the log when it is closed, and every later call', async () => {
    const topic = await side.topic(1)
    const transport = await side.another()
    const tp = { topic, partition: 0 }
    const noise: unknown[] = []
    const reader = transport.reader({ isolation: 'committed', lane: 'source', onError: (error) => noise.push(error) })
    reader.add(tp, 0, () => {})
    const producer = await transport.producer({ lane: 0 })
    const txn = await transport.txnProducer(unique('id'), { lane: 1, timeoutMs: 30_000 })
    for (const p of [producer, txn]) put(p.writer(topic, 0), 'x')
    const waiting = [producer.flush(), txn.flush(), producer.room(1), transport.committed(unique('group'), [tp])]
    const codes = Promise.all(waiting.map(codeOf))
    await transport.close()
    for (const code of await codes) expect(code).to.be.oneOf(['ERR_TRANSPORT_CLOSED', 'resolved'])
    const late = [
      transport.admin.topics(),
      transport.admin.partitions([topic]),
      transport.offsets([tp], 'lso'),
      transport.committed('g', [tp]),
      transport.producer({ lane: 5 }),
      transport.txnProducer('id', { lane: 5, timeoutMs: 30_000 }),
      transport.group(
        { groupId: 'g', topics: [topic], sessionMs: side.sessionMs, rebalanceMs: 10_000, heartbeatMs: 50 },
        new Follower('b')
      )
    ]
    expect(await Promise.all(late.map(codeOf))).to.deep.equal(late.map(() => 'ERR_TRANSPORT_CLOSED'))
    expect(() => transport.reader({ isolation: 'committed', lane: 'source', onError: () => {} }))
      .to.throw()
      .with.property('code', 'ERR_TRANSPORT_CLOSED')
    expect(() => reader.add(tp, 0, () => {}))
      .to.throw()
      .with.property('code', 'ERR_TRANSPORT_CLOSED')
    expect(noise, 'a reader that is closed says nothing').to.deep.equal([])
    await transport.close() // twice is once
  })
}
