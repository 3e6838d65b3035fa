import { expect } from 'chai'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import { nextTurn } from '../../lib/time.ts'
import { Bench, T } from './support.ts'

const G = 'readers'
type Joined = ApiMap['JoinGroup']['response']

describe('embedded log: groups', () => {
  let b: Bench
  beforeEach(async () => {
    b = new Bench()
    await b.topic({}, 2)
  })
  afterEach(() => b.broker.close())

  interface Who {
    memberId?: string
    instanceId?: string | null
    metadata?: string
    protocol?: string
  }
  /** `lane`: a joining member parks on its connection, so each has its own. */
  const join = (lane: string, who: Who = {}): Promise<Joined> =>
    b.aside(lane, 'JoinGroup', {
      groupId: G,
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 30_000,
      memberId: who.memberId ?? '',
      instanceId: who.instanceId ?? null,
      protocolType: 'consumer',
      protocols: [{ name: who.protocol ?? 'millrace', metadata: Buffer.from(who.metadata ?? 'm') }]
    })
  const invited = async (lane: string): Promise<string> => {
    const answer = await join(lane)
    expect(answer.error).to.equal(79)
    return answer.memberId
  }
  const ref = (memberId: string, generation: number, instanceId: string | null = null) => ({
    groupId: G,
    generation,
    memberId,
    instanceId
  })
  const sync = (lane: string, memberId: string, generation: number, plan: Record<string, string> = {}) =>
    b.aside(lane, 'SyncGroup', {
      ...ref(memberId, generation),
      assignments: Object.entries(plan).map(([id, a]) => ({ memberId: id, assignment: Buffer.from(a) }))
    })
  const heartbeat = async (memberId: string, generation: number, instanceId: string | null = null) =>
    (await b.call('Heartbeat', ref(memberId, generation, instanceId))).error
  const commit = async (memberId: string, generation: number, instanceId: string | null = null, partition = 0) => {
    const topics = [{ topic: T, partitions: [{ partition, offset: 1, metadata: null }] }]
    const answer = await b.call('OffsetCommit', { ...ref(memberId, generation, instanceId), topics })
    return answer.topics[0]!.partitions[0]!.error
  }
  const txnCommit = async (memberId: string, generation: number) => {
    const p = await b.init('t')
    const owner = { transactionalId: 't', producerId: p.producerId, producerEpoch: p.producerEpoch }
    await b.call('AddOffsetsToTxn', { ...owner, groupId: G })
    const topics = [{ topic: T, partitions: [{ partition: 0, offset: 1, metadata: null }] }]
    const answer = await b.call('TxnOffsetCommit', { ...owner, ...ref(memberId, generation), topics })
    return answer.topics[0]!.partitions[0]!.error
  }
  const alone = async (lane = 'a'): Promise<string> => {
    const id = await invited(lane)
    const joined = await join(lane, { memberId: id })
    await sync(lane, id, joined.generation, { [id]: 'all' })
    return id
  }

  it('invites a nameless member, lets it lead when it comes again, and hands back its own plan', async () => {
    const id = await invited('a')
    const joined = await join('a', { memberId: id })
    expect(joined).to.deep.include({ error: 0, generation: 1, leader: id, memberId: id, protocolName: 'millrace' })
    expect(joined.members.map((m) => m.memberId)).to.deep.equal([id])
    const synced = await sync('a', id, 1, { [id]: 'plan' })
    expect(synced.assignment.toString()).to.equal('plan')
    expect(await heartbeat(id, 1)).to.equal(0)
  })

  it('accepts and refuses heartbeats and commits by phase and generation, as Kafka does', async () => {
    const a = await alone()
    expect(await commit(a, 1), 'stable, own').to.equal(0)
    expect(await commit(a, 1, null, 1), 'stable, of others').to.equal(0)
    expect(await commit(a, 0), 'stale').to.equal(22)
    expect(await commit('ghost', 1), 'unknown').to.equal(25)
    expect(await commit('', -1), 'no member, group not empty').to.equal(25)
    expect(await txnCommit('', -1), 'transactional, no member').to.equal(0)
    expect(await txnCommit(a, 0), 'transactional, stale').to.equal(22)

    const idB = await invited('b')
    const joinB = join('b', { memberId: idB })
    await nextTurn()
    expect(await heartbeat(a, 1), 'preparing').to.equal(27)
    expect(await commit(a, 1), 'preparing').to.equal(0)
    expect(await txnCommit(a, 1), 'preparing').to.equal(0)

    const [joinedA] = await Promise.all([join('a', { memberId: a }), joinB])
    expect(joinedA.generation).to.equal(2)
    expect(await heartbeat(a, 1), 'completing, old generation').to.equal(22)
    expect(await commit(a, 1), 'completing, old generation').to.equal(22)
    expect(await txnCommit(a, 1), 'completing, old generation').to.equal(22)
    expect(await heartbeat(a, 2), 'completing, new generation').to.equal(0)
    expect(await commit(a, 2), 'completing, new generation').to.equal(27)
    expect(await txnCommit(a, 2), 'completing, new generation').to.equal(0)

    await sync('a', a, 2, { [a]: 'x', [idB]: 'y' })
    expect((await sync('b', idB, 2)).assignment.toString()).to.equal('y')
    expect(await commit(idB, 2), 'stable again').to.equal(0)
  })

  it('takes commits without a member only while nobody is in the group', async () => {
    expect(await commit('', -1)).to.equal(0)
    const a = await alone()
    expect(await commit('', -1)).to.equal(25)
    await b.call('LeaveGroup', { groupId: G, members: [{ memberId: a, instanceId: null }] })
    expect(await commit('', -1)).to.equal(0)
  })

  it('expels a member whose session ends, and tells the others', async () => {
    const a = await alone()
    const idB = await invited('b')
    const joinB = join('b', { memberId: idB })
    await Promise.all([join('a', { memberId: a }), joinB])
    await sync('a', a, 2)
    await b.clock.advance(9_000)
    expect(await heartbeat(a, 2)).to.equal(0)
    await b.clock.advance(1_000)
    expect(await heartbeat(a, 2)).to.equal(27)
    expect(await heartbeat(idB, 2)).to.equal(25)
    expect((await join('a', { memberId: a })).generation).to.equal(3)
  })

  it('goes on without a member that does not rejoin within the rebalance time-out', async () => {
    const a = await alone()
    const idB = await invited('b')
    const joinB = join('b', { memberId: idB })
    for (let s = 0; s < 29; s++) {
      await b.clock.advance(1_000)
      expect(await heartbeat(a, 1)).to.equal(27)
    }
    await b.clock.advance(1_000)
    expect(await joinB).to.deep.include({ error: 0, generation: 2, leader: idB })
    expect(await heartbeat(a, 1)).to.equal(25)
  })

  it('waits with a rebalance for members it has invited, no longer than their session', async () => {
    const a = await alone()
    await invited('b')
    let done = false
    const again = join('a', { memberId: a, metadata: 'changed' }).then((answer) => {
      done = true
      return answer
    })
    await b.clock.advance(9_999)
    expect(done).to.equal(false)
    await b.clock.advance(1)
    expect((await again).generation).to.equal(2)
  })

  it('answers a follower that rejoins unchanged with the same generation; the leader gets a rebalance', async () => {
    const a = await alone()
    const idB = await invited('b')
    const joinB = join('b', { memberId: idB })
    await Promise.all([join('a', { memberId: a }), joinB])
    await sync('a', a, 2)
    expect(await join('b', { memberId: idB })).to.deep.include({ error: 0, generation: 2, leader: a })
    expect(await heartbeat(a, 2)).to.equal(0)
    void join('a', { memberId: a })
    await nextTurn()
    expect(await heartbeat(idB, 2)).to.equal(27)
  })

  it('refuses a member whose protocols the others do not know', async () => {
    await alone()
    expect((await join('b', { protocol: 'other' })).error).to.equal(23)
  })

  it('deletes a group only when nobody is in it', async () => {
    const a = await alone()
    expect((await b.call('DeleteGroup', { groupId: G })).error).to.equal(68)
    await b.call('LeaveGroup', { groupId: G, members: [{ memberId: a, instanceId: null }] })
    expect((await b.call('DeleteGroup', { groupId: G })).error).to.equal(0)
    expect((await b.call('DescribeGroup', { groupId: G })).state).to.equal('Dead')
    expect((await b.call('DeleteGroup', { groupId: G })).error).to.equal(69)
  })

  it('forgets the offsets of a deleted topic', async () => {
    await commit('', -1)
    await b.call('DeleteTopics', { timeoutMs: 1, topics: [T] })
    await b.topic({}, 2)
    const topics = [{ topic: T, partitions: [0] }]
    const answer = await b.call('OffsetFetch', { groupId: G, topics, requireStable: true })
    expect(answer.topics[0]!.partitions[0]!.offset).to.equal(-1)
  })

  describe('static members', () => {
    const start = async (): Promise<string> => {
      const joined = await join('a', { instanceId: 'i' })
      expect(joined.error).to.equal(0)
      await sync('a', joined.memberId, joined.generation, { [joined.memberId]: 'all' })
      return joined.memberId
    }

    it('come back under the same instance id without a rebalance and find their assignment', async () => {
      const old = await start()
      const back = await join('b', { instanceId: 'i' })
      expect(back).to.deep.include({ error: 0, generation: 1, leader: old, members: [] })
      expect(back.memberId).not.to.equal(old)
      expect((await sync('b', back.memberId, 1)).assignment.toString()).to.equal('all')
    })

    it('are fenced when another takes their instance id', async () => {
      const old = await start()
      await join('b', { instanceId: 'i' })
      expect(await heartbeat(old, 1, 'i')).to.equal(82)
      expect(await commit(old, 1, 'i')).to.equal(82)
      expect((await join('a', { memberId: old, instanceId: 'i' })).error).to.equal(82)
    })

    it('leave for good by their instance id alone', async () => {
      await start()
      const left = await b.call('LeaveGroup', { groupId: G, members: [{ memberId: '', instanceId: 'i' }] })
      expect(left.members[0]!.error).to.equal(0)
      expect((await b.call('DescribeGroup', { groupId: G })).state).to.equal('Empty')
    })
  })
})
