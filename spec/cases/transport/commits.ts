/** Cases: which commit the group coordinator takes in which phase (the table that holding commits rests on). */
import { expect } from 'chai'
import type { GroupMeta, TxnProducer } from '../../../lib/kafka/port.ts'
import { until } from '../../../lib/testing/until.ts'
import { Foreigner } from './members.ts'
import { fails, put, type Side, unique } from './support.ts'

export function commitCases(side: Side): void {
  const meta = (groupId: string, memberId: string, generation: number): GroupMeta => ({ groupId, memberId, generation })

  it('decides by phase, member and generation', async () => {
    const [topic, groupId] = [await side.topic(2), unique('group')]
    const txn = await side.transport.txnProducer(unique('txn'), { timeoutMs: 30_000, lane: 0 })
    const staged = async (memberId: string, generation: number): Promise<number> => {
      const sent = txn.sendOffsets(meta(groupId, memberId, generation), [{ topic, partition: 0, offset: 1 }])
      const code = await sent.then(
        () => 0,
        (error) => error.kafkaCode
      )
      await txn.abort()
      return code
    }
    const [a, b] = [new Foreigner(side, 'a', groupId, topic), new Foreigner(side, 'b', groupId, topic)]
    const control = new Foreigner(side, 'control', groupId, topic)
    expect(await a.commit('', -1), 'nobody, empty group').to.equal(0)

    const one = await a.join()
    expect(await a.sync(one.memberId, one.generation, [one.memberId])).to.equal(0)
    const [id, g] = [one.memberId, one.generation]
    expect(await a.heartbeat(id, g), 'stable').to.equal(0)
    expect(await a.commit(id, g), 'stable').to.equal(0)
    expect(await a.commit(id, g, 1), 'stable, any partition').to.equal(0)
    expect(await a.commit(id, g - 1), 'stale').to.equal(22)
    expect(await a.commit('ghost', g), 'ghost').to.equal(25)
    expect(await a.commit('', -1), 'nobody, group not empty').to.equal(25)
    expect(await staged(id, g), 'transactional, stable').to.equal(0)
    expect(await staged(id, g - 1), 'transactional, stale').to.equal(22)
    expect(await staged('ghost', g), 'transactional, ghost').to.equal(25)
    expect(await staged('', -1), 'transactional, nobody').to.equal(0)

    const joining = b.join()
    await until(async () => (await control.heartbeat(id, g)) === 27, { what: 'the group prepares a rebalance' })
    expect(await a.commit(id, g), 'preparing').to.equal(0)
    expect(await staged(id, g), 'transactional, preparing').to.equal(0)

    const [again, two] = await Promise.all([a.join(id), joining])
    const next = again.generation
    expect(next).to.be.greaterThan(g)
    expect(await a.heartbeat(id, g), 'completing, old generation').to.equal(22)
    expect(await a.commit(id, g), 'completing, old generation').to.equal(22)
    expect(await staged(id, g), 'transactional, completing, old generation').to.equal(22)
    expect(await a.heartbeat(id, next), 'completing').to.equal(0)
    expect(await a.commit(id, next), 'completing').to.equal(27)
    expect(await staged(id, next), 'transactional, completing').to.equal(0)

    const leader = again.leader === id ? a : b
    const other = leader === a ? b : a
    const [leads, follows] = leader === a ? [id, two.memberId] : [two.memberId, id]
    expect(await leader.sync(leads, next, [leads, follows])).to.equal(0)
    expect(await other.sync(follows, next)).to.equal(0)
    expect(await b.commit(two.memberId, next), 'stable again').to.equal(0)
    expect(await a.leave(id)).to.equal(0)
    expect(await b.leave(two.memberId)).to.equal(0)
    expect(await a.commit('', -1), 'empty again').to.equal(0)
    await txn.close()
  })

  it('answers a follower that joins again unchanged with its generation, and the leader with a rebalance', async () => {
    const [topic, groupId] = [await side.topic(2), unique('group')]
    const [a, b] = [new Foreigner(side, 'c', groupId, topic), new Foreigner(side, 'd', groupId, topic)]
    const one = await a.join()
    await a.sync(one.memberId, one.generation, [one.memberId])
    const joining = b.join()
    await until(async () => (await a.heartbeat(one.memberId, one.generation)) === 27)
    const [again, two] = await Promise.all([a.join(one.memberId), joining])
    expect(again.leader).to.equal(one.memberId)
    await a.sync(one.memberId, again.generation, [one.memberId, two.memberId])
    await b.sync(two.memberId, again.generation)
    expect((await b.join(two.memberId)).generation).to.equal(again.generation)
    expect(await a.heartbeat(one.memberId, again.generation)).to.equal(0)
    const rejoining = a.join(one.memberId)
    await until(async () => (await b.heartbeat(two.memberId, again.generation)) === 27)
    await b.leave(two.memberId)
    expect((await rejoining).generation).to.equal(again.generation + 1)
    await a.leave(one.memberId)
  })

  it('refuses a member whose protocol the others do not know, and one nobody has heard of', async () => {
    const [topic, groupId] = [await side.topic(1), unique('group')]
    const [a, b] = [new Foreigner(side, 'e', groupId, topic), new Foreigner(side, 'f', groupId, topic)]
    const one = await a.join()
    await a.sync(one.memberId, one.generation, [one.memberId])
    expect((await b.join('', undefined, 'another')).error).to.equal(23)
    expect((await b.join('ghost')).error).to.equal(25)
    await a.leave(one.memberId)
  })

  it('leaves the transaction usable after a member was refused: newer membership, same transaction', async () => {
    const [topic, groupId] = [await side.topic(1), unique('group')]
    const a = new Foreigner(side, 'g', groupId, topic)
    const { memberId, generation } = await a.join()
    await a.sync(memberId, generation, [memberId])
    const txn: TxnProducer = await side.transport.txnProducer(unique('txn'), { timeoutMs: 30_000, lane: 0 })
    put(txn.writer(topic, 0), 'once')
    await fails(
      txn.sendOffsets(meta(groupId, memberId, generation - 1), [{ topic, partition: 0, offset: 1 }]),
      'stale-member',
      22
    )
    await fails(
      txn.sendOffsets(meta(groupId, 'ghost', generation), [{ topic, partition: 0, offset: 1 }]),
      'stale-member',
      25
    )
    await txn.sendOffsets(meta(groupId, memberId, generation), [{ topic, partition: 0, offset: 1 }])
    await txn.commit()
    await side.stable(topic, 2)
    expect(await side.values(topic)).to.deep.equal(['once'])
    expect(await side.committed(groupId, topic)).to.equal(1)
    await a.leave(memberId)
    await txn.close()
  })
}
