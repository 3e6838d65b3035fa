/** Cases: members share partitions, hand them over one by one, and learn when they have lost them. */
import { expect } from 'chai'
import { tpKey } from '../../../lib/record.ts'
import { until } from '../../../lib/testing/until.ts'
import { Follower, Foreigner } from './members.ts'
import { fails, gate, type Side, unique } from './support.ts'

const all = (topic: string, n: number): string[] => Array.from({ length: n }, (_, p) => tpKey(topic, p))

export function groupCases(side: Side): void {
  const settled = (topic: string, n: number, ...members: Follower[]): Promise<unknown> =>
    until(
      () => {
        const owned = members.flatMap((m) => m.owned).sort()
        const share = Math.ceil(n / members.length)
        return owned.join() === all(topic, n).join() && members.every((m) => m.owned.length <= share)
      },
      {
        what: () => `members share ${n} partitions: ${JSON.stringify(members.map((m) => m.events))}`,
        timeoutMs: 20_000
      }
    )

  it('gives a lone member every partition, its user data and its membership', async () => {
    const [topic, groupId] = [await side.topic(3), unique('group')]
    const a = await Follower.join(side, 'a', groupId, [topic])
    await settled(topic, 3, a)
    expect(a.received).to.equal('for a')
    expect(a.meta).to.deep.include({ groupId, memberId: a.group.meta!.memberId })
    expect(a.meta!.generation).to.be.greaterThan(0)
    expect(a.seen.map((m) => [m.userData.toString(), m.topics])).to.deep.equal([['a', [topic]]])
    await a.group.leave()
    expect(a.of('revoked')).to.deep.equal([`revoked ${all(topic, 3).join(' ')}`])
    expect(await side.transport.admin.members(groupId)).to.deep.equal([])
  })

  it('hands partitions over only after their owner has let go of them, and the rest never stop', async () => {
    const [topic, groupId] = [await side.topic(4), unique('group')]
    const a = await Follower.join(side, 'a', groupId, [topic])
    await settled(topic, 4, a)
    const letGo = gate()
    a.revoking = () => letGo.opened
    const b = await Follower.join(side, 'b', groupId, [topic])
    await until(() => b.meta && a.of('rebalance').length > 0 && b.of('assigned').length > 0, { what: 'b is in' })
    expect(b.owned).to.deep.equal([])
    letGo.open()
    await settled(topic, 4, a, b)
    const revoked = a.of('revoked')
    expect(revoked).to.have.length(1)
    expect(revoked[0]!.split(' ').slice(1)).to.deep.equal(b.owned)
    expect(a.of('lost')).to.deep.equal([])
    await Promise.all([a.group.leave(), b.group.leave()])
  })

  it('gives the partitions of a member that leaves to the others at once', async () => {
    const [topic, groupId] = [await side.topic(2), unique('group')]
    const a = await Follower.join(side, 'a', groupId, [topic])
    const b = await Follower.join(side, 'b', groupId, [topic])
    await settled(topic, 2, a, b)
    await a.group.leave()
    await settled(topic, 2, b)
    expect(a.owned).to.deep.equal([])
    expect(b.of('revoked')).to.deep.equal([])
    await b.group.leave()
  })

  it('awaits onRebalance before it joins: what is committed there is accepted', async () => {
    const [topic, groupId] = [await side.topic(2), unique('group')]
    const a = await Follower.join(side, 'a', groupId, [topic])
    await settled(topic, 2, a)
    const held = a.meta!
    a.rebalancing = async () => {
      // Once: the hand-over takes a second rebalance, and by then this membership is stale.
      a.rebalancing = async () => {}
      await a.group.commit(held, [{ topic, partition: 0, offset: 11 }])
    }
    const b = await Follower.join(side, 'b', groupId, [topic])
    await settled(topic, 2, a, b)
    expect(await side.committed(groupId, topic)).to.equal(11)
    expect(a.meta!.generation).to.be.greaterThan(held.generation)
    await fails(a.group.commit(held, [{ topic, partition: 0, offset: 12 }]), 'stale-member')
    expect(await side.committed(groupId, topic)).to.equal(11)
    await Promise.all([a.group.leave(), b.group.leave()])
  })

  it('takes changed user data to everybody by a rejoin, and nobody loses a partition by it', async () => {
    const [topic, groupId] = [await side.topic(2), unique('group')]
    const a = await Follower.join(side, 'a', groupId, [topic])
    const b = await Follower.join(side, 'b', groupId, [topic])
    await settled(topic, 2, a, b)
    const before = [a.of('revoked').length, b.of('revoked').length]
    b.data = 'b, changed'
    b.group.rejoin()
    await until(() => b.received === 'for b, changed', { what: () => b.events.join('; ') })
    const leader = a.seen.some((m) => m.userData.toString() === 'b, changed') ? a : b
    const owned = new Map(
      leader.seen.map((m) => [m.userData.toString(), m.owned.map((tp) => tpKey(tp.topic, tp.partition))])
    )
    expect(owned.get('a'), 'owned partitions reach the plan').to.deep.equal(a.owned)
    expect(owned.get('b, changed')).to.deep.equal(b.owned)
    expect([a.of('revoked').length, b.of('revoked').length]).to.deep.equal(before)
    await Promise.all([a.group.leave(), b.group.leave()])
  })

  it('tells a member that was expelled that its partitions are lost, not revoked, and lets it come back', async () => {
    const [topic, groupId] = [await side.topic(2), unique('group')]
    const a = await Follower.join(side, 'a', groupId, [topic])
    await settled(topic, 2, a)
    const old = a.meta!
    expect(await new Foreigner(side, 'expel', groupId, topic).leave(old.memberId)).to.equal(0)
    await until(() => a.of('lost').length === 1 && a.owned.length === 2, { what: () => a.events.join('; ') })
    expect(a.of('lost')).to.deep.equal([`lost ${all(topic, 2).join(' ')}: stale-member`])
    expect(a.of('revoked')).to.deep.equal([])
    expect(a.meta!.memberId).not.to.equal(old.memberId)
    await fails(a.group.commit(old, [{ topic, partition: 0, offset: 1 }]), 'stale-member')
    await a.group.leave()
  })

  it('passes on the partitions of a member that falls silent when its session ends', async () => {
    const [topic, groupId] = [await side.topic(2), unique('group')]
    const ghost = new Foreigner(side, 'ghost', groupId, topic)
    const joined = await ghost.join()
    expect(await ghost.sync(joined.memberId, joined.generation, [joined.memberId])).to.equal(0)
    const a = await Follower.join(side, 'a', groupId, [topic], { rebalanceMs: 60_000 })
    await settled(topic, 2, a)
    expect(await ghost.heartbeat(joined.memberId, joined.generation)).to.equal(25)
    await a.group.leave()
  })

  describe('with an instance id', () => {
    it('a member restarts without a rebalance of the others', async () => {
      const [topic, groupId] = [await side.topic(2), unique('group')]
      const a = await Follower.join(side, 'a', groupId, [topic], { instanceId: 'one' })
      const b = await Follower.join(side, 'b', groupId, [topic], { instanceId: 'two' })
      await settled(topic, 2, a, b)
      const [generation, rebalances] = [b.meta!.generation, b.of('rebalance').length]
      await b.group.leave()
      const again = await Follower.join(side, 'b', groupId, [topic], { instanceId: 'two' })
      await settled(topic, 2, a, again)
      expect(again.meta!.generation).to.equal(generation)
      expect(again.owned).to.deep.equal(all(topic, 2).filter((p) => !a.owned.includes(p)))
      expect(a.meta!.generation).to.equal(generation)
      expect(a.of('rebalance').length).to.be.lessThanOrEqual(rebalances + 1)
      await Promise.all([a.group.leave({ forget: true }), again.group.leave({ forget: true })])
    })

    it('a second holder takes over and the first is told that it cannot go on', async () => {
      const [topic, groupId] = [await side.topic(2), unique('group')]
      const first = await Follower.join(side, 'first', groupId, [topic], { instanceId: 'one' })
      await settled(topic, 2, first)
      const second = await Follower.join(side, 'second', groupId, [topic], { instanceId: 'one' })
      await settled(topic, 2, second)
      await until(() => first.of('error').length === 1, { what: () => first.events.join('; ') })
      expect(first.of('error')).to.deep.equal(['error fenced'])
      expect(first.owned).to.deep.equal([])
      await second.group.leave({ forget: true })
    })

    it('a member that leaves for good is gone at once', async () => {
      const [topic, groupId] = [await side.topic(2), unique('group')]
      const a = await Follower.join(side, 'a', groupId, [topic], { instanceId: 'one' })
      await settled(topic, 2, a)
      await a.group.leave({ forget: true })
      expect(await side.transport.admin.members(groupId)).to.deep.equal([])
    })
  })
}
