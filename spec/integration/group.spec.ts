/**
 * Group membership on a real broker. Claims: hooks come awaited, one at a time and in order; a partition that stays with its member
 * never stops for a rebalance and has at no time two owners; heartbeats go on during long hooks; lost is told apart from revoked; a
 * restarted static member disturbs nobody, a second holder of its id fences the first; commits pass and fail where the protocol says.
 */
import { expect } from 'chai'
import type { TransportError } from '../../lib/errors.ts'
import type { GroupMeta } from '../../lib/kafka/port.ts'
import { createTxnProducer } from '../../lib/kafka/txnProducer.ts'
import { until } from '../../lib/testing/until.ts'
import { delay, stopwatch, systemClock } from '../../lib/time.ts'
import { answer, hold, loseAnswer, loseRequest, refuse } from '../kafka/faultyWire.ts'
import { TestMember } from './groupMember.ts'
import { createTopic, openCluster, put, uniqueName } from './support.ts'

/** Ours allow it (group.min.session.timeout.ms = 1 000). */
const SHORT = 1_500

describe('group membership on a real broker', function () {
  this.timeout(60_000)
  let env: Awaited<ReturnType<typeof openCluster>>
  let topic: string
  let group: string
  let members: TestMember[]

  before(async () => {
    env = await openCluster()
  })
  beforeEach(async () => {
    topic = await createTopic(env.cluster, 4)
    group = uniqueName('group')
    members = []
  })
  afterEach(async () => {
    env.wire.heal()
    await Promise.all(members.map((m) => m.group?.leave({ forget: true })))
  })
  after(() => env.close())

  const member = (name: string, hooks?: ConstructorParameters<typeof TestMember>[1]): TestMember => {
    const m = new TestMember(name, hooks)
    members.push(m)
    return m
  }
  const fault = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'ok',
      (error) => error.fault ?? String(error)
    )
  const offsets = (offset: number) => [{ topic, partition: 0, offset }]

  it('gives one member everything, with metadata that commits, and takes it back at leaving', async () => {
    const a = await member('a').join(env.cluster, group, [topic])
    await a.owns(0, 1, 2, 3)
    expect(a.group.meta).to.deep.equal(a.meta)
    await a.group.commit(a.meta!, offsets(5))
    await a.group.leave()
    expect(a.log).to.deep.equal(['assigned +0,1,2,3 =0,1,2,3', 'revoking 0,1,2,3', 'revoked 0,1,2,3'])
    expect(a.group.meta).to.equal(undefined)
  })

  it('hands partitions over cooperatively: what stays never stops, what moves has no two owners', async () => {
    let released = false
    const a = member('a', {
      onRevoked: async () => {
        await delay(systemClock, 300)
        released = true
      }
    })
    await a.join(env.cluster, group, [topic])
    await a.owns(0, 1, 2, 3)
    const b = member('b', {
      onAssigned: async (added) => {
        if (added.length > 0) expect(released, 'the former owner has let go').to.equal(true)
      }
    })
    await b.join(env.cluster, group, [topic])
    await Promise.all([a.owns(0, 1), b.owns(2, 3)])
    expect(a.log).to.deep.equal([
      'assigned +0,1,2,3 =0,1,2,3',
      'rebalance',
      'revoking 2,3',
      'revoked 2,3',
      'assigned + =0,1',
      'rebalance',
      'assigned + =0,1'
    ])
    expect(b.log[0], 'first with nothing').to.equal('assigned + =')
    expect(b.log.at(-1)).to.equal('assigned +2,3 =2,3')
  })

  it('passes user data to the leader and back, and asks for it again at rejoin()', async () => {
    const a = member('a')
    a.data = 'lag 5'
    let got = ''
    const b = member('b', {
      onAssigned: async (_added, _all, userData) => {
        got = userData.toString()
      }
    })
    b.data = 'lag 7'
    await a.join(env.cluster, group, [topic])
    await a.owns(0, 1, 2, 3)
    await b.join(env.cluster, group, [topic])
    await b.owns(2, 3)
    expect(got).to.equal('plan')
    expect(a.seen.map((m) => m.userData.toString()).sort()).to.deep.equal(['lag 5', 'lag 7'])
    b.data = 'lag 0'
    b.group.rejoin()
    await until(() => a.seen.some((m) => m.userData.toString() === 'lag 0'))
    const seen = a.seen.find((m) => m.memberId === b.meta!.memberId)
    expect(seen?.owned).to.deep.equal([2, 3].map((partition) => ({ topic, partition })))
    expect(seen?.generation).to.be.greaterThan(0)
  })

  it('gives the partitions of one that leaves to those who stay', async () => {
    const a = await member('a').join(env.cluster, group, [topic])
    await a.owns(0, 1, 2, 3)
    const b = await member('b').join(env.cluster, group, [topic])
    await b.owns(2, 3)
    await b.group.leave()
    await a.owns(0, 1, 2, 3)
    expect(b.log.at(-1)).to.equal('revoked 2,3')
  })

  it('stays a member through a hook longer than the session: heartbeats go on', async () => {
    const a = member('a', { onRevoked: () => delay(systemClock, 2_500) })
    await a.join(env.cluster, group, [topic], { sessionMs: SHORT })
    await a.owns(0, 1, 2, 3)
    const b = await member('b').join(env.cluster, group, [topic], { sessionMs: SHORT })
    await b.owns(2, 3)
    expect(a.log.join()).not.to.contain('lost')
    expect(a.owned).to.deep.equal([0, 1])
  })

  it('waits for a revocation at most the rebalance time-out', async () => {
    const a = member('a', { onRevoked: () => new Promise(() => {}) })
    await a.join(env.cluster, group, [topic], { rebalanceMs: 1_000 })
    await a.owns(0, 1, 2, 3)
    const b = await member('b').join(env.cluster, group, [topic])
    await b.owns(2, 3)
    expect(a.log).to.include('revoking 2,3').and.not.to.include('revoked 2,3')
  })

  it('ends with one error when a hook fails: what it holds is lost, and others get it', async () => {
    const a = member('a', {
      onRebalance: async () => {
        throw new Error('the disk is full')
      }
    })
    await a.join(env.cluster, group, [topic])
    await a.owns(0, 1, 2, 3)
    const b = await member('b').join(env.cluster, group, [topic])
    await b.owns(0, 1, 2, 3)
    expect(a.log.slice(-2)).to.deep.equal(['lost 0,1,2,3 (fatal)', 'error fatal'])
    expect(a.error!.message).to.contain('the disk is full')
    await a.group.leave()
  })

  it('tells lost from revoked when the coordinator forgot the member, and comes back', async () => {
    const a = await member('a').join(env.cluster, group, [topic], { sessionMs: SHORT })
    await a.owns(0, 1, 2, 3)
    const stale = a.meta!
    env.wire.next('Heartbeat', answer({ error: 25 }))
    await a.says('lost 0,1,2,3 (25)')
    await a.owns(0, 1, 2, 3)
    expect(a.log).not.to.include('revoked 0,1,2,3')
    expect(a.meta!.memberId).not.to.equal(stale.memberId)
    env.wire.next('Heartbeat', answer({ error: 22 }))
    const { memberId } = a.meta!
    await a.says('lost 0,1,2,3 (22)')
    await a.owns(0, 1, 2, 3)
    expect(a.meta!.memberId, 'the id is kept after ILLEGAL_GENERATION').to.equal(memberId)
  })

  it('loses its partitions when the coordinator is silent for a session, and joins when it is back', async () => {
    const a = await member('a').join(env.cluster, group, [topic], { sessionMs: SHORT })
    await a.owns(0, 1, 2, 3)
    env.wire.always('Heartbeat', refuse)
    env.wire.always('JoinGroup', refuse)
    const began = stopwatch()
    await a.says(/^lost 0,1,2,3/)
    expect(stopwatch() - began).to.be.within(SHORT - 200, SHORT + 1_500)
    env.wire.heal()
    await a.owns(0, 1, 2, 3)
  })

  it('survives lost answers and moving coordinators at every step', async () => {
    env.wire.next('JoinGroup', answer({ ...NO_JOIN, error: 15 }), loseRequest, answer({ ...NO_JOIN, error: 14 }))
    env.wire.next('SyncGroup', answer({ error: 16, assignment: Buffer.alloc(0) }), loseAnswer)
    const a = await member('a').join(env.cluster, group, [topic])
    await a.owns(0, 1, 2, 3)
    env.wire.next('Heartbeat', answer({ error: 16 }), loseRequest, refuse, answer({ error: 14 }))
    env.wire.next('OffsetCommit', refuse, loseAnswer, loseRequest)
    await a.group.commit(a.meta!, offsets(1))
    const beats = env.wire.count('Heartbeat')
    await until(() => env.wire.count('Heartbeat') > beats + 6)
    expect(a.log).to.deep.equal(['assigned +0,1,2,3 =0,1,2,3'])
  })

  it('joins again when a rebalance overtakes its sync', async () => {
    env.wire.next('SyncGroup', answer({ error: 27, assignment: Buffer.alloc(0) }))
    const a = await member('a').join(env.cluster, group, [topic])
    await a.owns(0, 1, 2, 3)
    expect(env.wire.calls.filter((c) => c.api === 'SyncGroup' && c.lane.includes(group))).to.have.lengthOf(2)
  })

  it('lets the leader notice added partitions', async () => {
    const a = await member('a').join(env.cluster, group, [topic], { metadataMs: 100 })
    await a.owns(0, 1, 2, 3)
    await env.wire.lane('control').call('controller', 'CreatePartitions', { timeoutMs: 5_000, topic, total: 6 })
    await a.owns(0, 1, 2, 3, 4, 5)
  })

  it('counts the topics of all members, not only the leader’s own', async () => {
    const other = await createTopic(env.cluster, 2)
    const counts: Record<string, number> = {}
    const a = member('a', {
      assign: (all, count) => {
        for (const t of all.flatMap((m) => m.topics)) counts[t] = count(t)
        return all.map((m) => ({ memberId: m.memberId, partitions: [], userData: Buffer.alloc(0) }))
      }
    })
    await a.join(env.cluster, group, [topic])
    await a.owns()
    const b = await member('b').join(env.cluster, group, [other])
    await b.owns()
    expect(counts).to.deep.equal({ [topic]: 4, [other]: 2 })
  })

  it('ends with one error when the handler cannot assign, and leaves the group to others', async () => {
    const a = member('a', {
      assign: () => {
        throw new Error('topic "orders" is missing')
      }
    })
    await a.join(env.cluster, group, [topic])
    await a.says('error fatal')
    expect(a.error!.message).to.contain('topic "orders" is missing')
    const b = await member('b').join(env.cluster, group, [topic])
    await b.owns(0, 1, 2, 3)
  })

  it('refuses a session the broker does not allow, with advice', async () => {
    const a = await member('a').join(env.cluster, group, [topic], { sessionMs: 10 })
    await a.says('error fatal')
    expect(a.error!.message).to.contain('group.min.session.timeout.ms')
  })

  it('leaves while its join is parked, without waiting for the others', async () => {
    let letGo!: () => void
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const a = member('a', { onRebalance: () => held })
    await a.join(env.cluster, group, [topic])
    await a.owns(0, 1, 2, 3)
    const b = await member('b').join(env.cluster, group, [topic])
    await a.says('rebalance')
    const began = stopwatch()
    await b.group.leave()
    expect(stopwatch() - began).to.be.below(2_000)
    letGo()
    expect(b.log).to.deep.equal([])
    await a.owns(0, 1, 2, 3)
  })

  describe('static members', () => {
    it('restart in the same generation: peers see nothing', async () => {
      const a = await member('a').join(env.cluster, group, [topic], { instanceId: 'i-a' })
      await a.owns(0, 1, 2, 3)
      const b = await member('b').join(env.cluster, group, [topic], { instanceId: 'i-b' })
      await Promise.all([a.owns(0, 1), b.owns(2, 3)])
      await until(() => a.meta!.generation === b.meta!.generation)
      const before = a.log.length
      const { generation, memberId } = b.meta!
      await b.group.leave()
      const again = await member('b2').join(env.cluster, group, [topic], { instanceId: 'i-b' })
      await again.owns(2, 3)
      expect(again.meta).to.include({ generation, instanceId: 'i-b' })
      expect(again.meta!.memberId).not.to.equal(memberId)
      const beats = env.wire.count('Heartbeat')
      await until(() => env.wire.count('Heartbeat') > beats + 6)
      expect(a.log.slice(before)).to.deep.equal([])
      await again.group.commit(again.meta!, offsets(3))
    })

    it('restart as leader in the same generation too', async () => {
      const a = await member('a').join(env.cluster, group, [topic], { instanceId: 'i-a' })
      await a.owns(0, 1, 2, 3)
      const { generation } = a.meta!
      await a.group.leave()
      const again = await member('a2').join(env.cluster, group, [topic], { instanceId: 'i-a' })
      await again.owns(0, 1, 2, 3)
      expect(again.meta!.generation).to.equal(generation)
      expect(again.seen, 'it had nothing to assign').to.deep.equal([])
    })

    it('are fenced for good when another takes their id', async () => {
      const a = await member('a').join(env.cluster, group, [topic], { instanceId: 'i' })
      await a.owns(0, 1, 2, 3)
      const old = a.meta!
      const b = await member('b').join(env.cluster, group, [topic], { instanceId: 'i' })
      await b.owns(0, 1, 2, 3)
      await a.says('error fenced')
      expect(a.log.slice(-2)).to.deep.equal(['lost 0,1,2,3 (82)', 'error fenced'])
      expect(a.error).to.include({ kafkaCode: 82 })
      expect(await fault(b.group.commit(old, offsets(1)))).to.equal('fenced')
      const beats = env.wire.count('JoinGroup')
      await b.group.commit(b.meta!, offsets(2))
      expect(env.wire.count('JoinGroup'), 'no ousting in turns').to.equal(beats)
    })

    it('leave for good when told to forget', async () => {
      const a = await member('a').join(env.cluster, group, [topic], { instanceId: 'i-a' })
      await a.owns(0, 1, 2, 3)
      const b = await member('b').join(env.cluster, group, [topic], { instanceId: 'i-b' })
      await b.owns(2, 3)
      await b.group.leave({ forget: true })
      await a.owns(0, 1, 2, 3)
    })
  })

  describe('commits', () => {
    const staged = async (meta: GroupMeta): Promise<string> => {
      const p = await createTxnProducer(env.cluster, uniqueName('txn'), { timeoutMs: 20_000, lane: 1 })
      const result = await fault(p.sendOffsets(meta, offsets(1)))
      await p.abort()
      await p.close()
      return result
    }

    it('pass for a stable member, and fail for a stale generation and a ghost', async () => {
      const a = await member('a').join(env.cluster, group, [topic])
      await a.owns(0, 1, 2, 3)
      const meta = a.meta!
      const metas = {
        stable: meta,
        stale: { ...meta, generation: meta.generation - 1 },
        ghost: { ...meta, memberId: 'ghost' }
      }
      for (const [name, m] of Object.entries(metas)) {
        const expected = name === 'stable' ? 'ok' : 'stale-member'
        expect(await fault(a.group.commit(m, offsets(1))), name).to.equal(expected)
        expect(await staged(m), `${name}, in a transaction`).to.equal(expected)
      }
      const long = [{ topic, partition: 0, offset: 1, metadata: 'x'.repeat(5_000) }]
      expect(await fault(a.group.commit(meta, long))).to.equal('too-large')
    })

    it('pass with the old generation while members gather, fail when the generation has moved on, pass with the new one', async () => {
      const results: Record<string, string> = {}
      let old!: GroupMeta
      const a = member('a', {
        onRebalance: async () => {
          if ('preparing, old' in results) return // again, after a hand-over
          results['preparing, old'] = await fault(a.group.commit(old, offsets(1)))
          results['preparing, old, txn'] = await staged(old)
        }
      })
      await a.join(env.cluster, group, [topic])
      await a.owns(0, 1, 2, 3)
      old = a.meta!
      // The leader's sync is held: all have joined, none has its assignment.
      const sync = hold<'SyncGroup'>()
      env.wire.always('SyncGroup', sync.fault)
      const b = await member('b').join(env.cluster, group, [topic])
      await sync.arrived
      const next = { ...old, generation: old.generation + 1 }
      results['completing, old'] = await fault(a.group.commit(old, offsets(1)))
      results['completing, old, txn'] = await staged(old)
      results['completing, new'] = await fault(a.group.commit(next, offsets(1)))
      results['completing, new, txn'] = await staged(next)
      env.wire.heal('SyncGroup')
      sync.release()
      await Promise.all([a.owns(0, 1), b.owns(2, 3)])
      expect(results).to.deep.equal({
        'preparing, old': 'ok',
        'preparing, old, txn': 'ok',
        'completing, old': 'stale-member',
        'completing, old, txn': 'stale-member',
        'completing, new': 'rebalancing',
        'completing, new, txn': 'ok'
      })
    })

    it('of a transaction refused for an old generation pass with the new one in the same transaction', async () => {
      const a = await member('a').join(env.cluster, group, [topic])
      await a.owns(0, 1, 2, 3)
      const old = a.meta!
      const p = await createTxnProducer(env.cluster, uniqueName('txn'), { timeoutMs: 20_000, lane: 1 })
      const out = await createTopic(env.cluster, 1)
      put(p.writer(out, 0), 'x')
      const b = await member('b').join(env.cluster, group, [topic])
      await Promise.all([a.owns(0, 1), b.owns(2, 3)])
      expect(await fault(p.sendOffsets(old, offsets(1)))).to.equal('stale-member')
      await p.sendOffsets(a.group.meta!, offsets(1))
      await p.commit()
      await p.close()
    })

    it('of what is being revoked pass with the metadata handed to the hook', async () => {
      let result = ''
      const a = member('a', {
        onRevoked: async (tps, meta) => {
          result = await fault(a.group.commit(meta, [{ ...tps[0]!, offset: 9 }]))
        }
      })
      await a.join(env.cluster, group, [topic])
      await a.owns(0, 1, 2, 3)
      const b = await member('b').join(env.cluster, group, [topic])
      await b.owns(2, 3)
      expect(result).to.equal('ok')
    })
  })

  it('gives each member of a process connections of its own, so that no parked join holds up another', async () => {
    const a = await member('a').join(env.cluster, group, [topic])
    await a.owns(0, 1, 2, 3)
    const b = await member('b').join(env.cluster, group, [topic])
    await Promise.all([a.owns(0, 1), b.owns(2, 3)])
    const lanes = new Set(env.wire.calls.filter((c) => c.lane.startsWith(`group:${group}`)).map((c) => c.lane))
    expect(lanes.size).to.equal(2)
  })

  it('reports the fault of the coordinator look-up at creation', async () => {
    env.wire.next('FindCoordinator', answer({ error: 30, nodeId: -1 }))
    const error = (await member('a')
      .join(env.cluster, group, [topic])
      .catch((e) => e)) as TransportError
    expect(error).to.include({ fault: 'fatal', kafkaCode: 30 })
    members = []
  })
})

const NO_JOIN = { generation: -1, protocolName: '', leader: '', memberId: '', members: [] }
