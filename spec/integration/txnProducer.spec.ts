/**
 * Transactions and takeover on a real broker. Claims: what is committed is in the log exactly once whatever answers are lost; what is
 * aborted or left open is seen by nobody; a successor fences its predecessor at every call; 'fenced' and 'unknown outcome' are told
 * apart; back-to-back transactions wait milliseconds (D7); coordinators may move at any call (D8).
 */
import { expect } from 'chai'
import { StateError } from '../../lib/errors.ts'
import type { GroupMeta, TxnProducer } from '../../lib/kafka/port.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import { createTxnProducer, type TxnProducerOptions } from '../../lib/kafka/txnProducer.ts'
import type { ApiName } from '../../lib/kafka/wire.ts'
import { until } from '../../lib/testing/until.ts'
import { stopwatch } from '../../lib/time.ts'
import { answer, hold, loseAnswer, loseRequest, refuse } from '../kafka/faultyWire.ts'
import { createTopic, expectValues, openCluster, put, uniqueName, values } from './support.ts'

const NOBODY = (groupId: string): GroupMeta => ({ groupId, generation: -1, memberId: '' })

describe('transactional producer on a real broker', function () {
  this.timeout(60_000)
  let env: Awaited<ReturnType<typeof openCluster>>
  let topic: string

  before(async () => {
    env = await openCluster()
  })
  beforeEach(async () => {
    topic = await createTopic(env.cluster, 1)
  })
  afterEach(() => env.wire.heal())
  after(() => env.close())

  const open = (id: string, options: Partial<TxnProducerOptions> = {}): Promise<TxnProducer> =>
    createTxnProducer(env.cluster, id, { timeoutMs: 30_000, lane: 0, ...options })

  const fault = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'none',
      (error) => error.fault ?? error.code
    )

  async function committed(groupId: string, partition = 0): Promise<number> {
    const node = await env.cluster.coordinator('group', groupId)
    const ask = async () => {
      const a = await env.wire
        .lane('control')
        .call(node, 'OffsetFetch', { groupId, topics: [{ topic, partitions: [partition] }], requireStable: true })
      const p = a.topics[0]!.partitions[0]!
      return p.error === 0 ? { offset: p.offset } : undefined
    }
    const stable = await until(ask, { what: 'the offsets are stable' })
    return stable?.offset ?? Number.NaN
  }

  it('shows committed records, hides aborted and open ones', async () => {
    const p = await open(uniqueName('txn'))
    expect(p.inTransaction).to.equal(false)
    put(p.writer(topic, 0), 'kept')
    expect(p.inTransaction).to.equal(true)
    await p.commit()
    expect(p.inTransaction).to.equal(false)
    put(p.writer(topic, 0), 'dropped')
    await p.flush()
    await p.abort()
    put(p.writer(topic, 0), 'kept too')
    await p.commit()
    put(p.writer(topic, 0), 'open')
    await p.flush()
    await expectValues(env.cluster, topic, ['kept', 'kept too'])
    await p.abort()
    await p.close()
  })

  it('says nothing to the coordinator about a transaction without content', async () => {
    const p = await open(uniqueName('txn'))
    const before = env.wire.calls.length
    await p.commit()
    await p.abort()
    await p.sendOffsets(NOBODY('g'), [])
    await p.commit()
    expect(env.wire.calls.length - before).to.equal(0)
    await p.close()
  })

  it('drops on abort what was not sent, without a gap for what follows', async () => {
    const p = await open(uniqueName('txn'), { batchBytes: 2_000 })
    put(p.writer(topic, 0), 'first')
    await p.commit()
    for (let i = 0; i < 200; i++) put(p.writer(topic, 0), `dropped ${i} ${'x'.repeat(100)}`)
    await p.abort()
    expect(p.pendingBytes).to.equal(0)
    put(p.writer(topic, 0), 'second')
    await p.commit()
    await expectValues(env.cluster, topic, ['first', 'second'])
    await p.close()
  })

  it('commits offsets with the records, alone, and not with an abort', async () => {
    const group = uniqueName('group')
    const p = await open(uniqueName('txn'))
    put(p.writer(topic, 0), 'a')
    await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 10, metadata: 'm' }])
    await p.commit()
    expect(await committed(group)).to.equal(10)
    await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 20 }])
    await p.abort()
    expect(await committed(group)).to.equal(10)
    await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 30 }])
    await p.commit()
    expect(await committed(group)).to.equal(30)
    await p.close()
  })

  it('writes an abort marker of its own into the offsets of a group to clear them, and goes on', async () => {
    const group = uniqueName('group')
    const p = await open(uniqueName('txn'))
    const [adds, ends] = [env.wire.count('AddOffsetsToTxn'), env.wire.count('EndTxn')]
    await p.clearOffsets(group)
    expect(env.wire.count('AddOffsetsToTxn') - adds).to.equal(1)
    expect(env.wire.count('EndTxn') - ends).to.equal(1)
    expect(p.inTransaction).to.equal(false)
    await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 10 }])
    await p.commit()
    expect(await committed(group)).to.equal(10)
    await p.close()
  })

  it('adds a group once per transaction, and new partitions in one request', async () => {
    const wide = await createTopic(env.cluster, 6)
    const group = uniqueName('group')
    const p = await open(uniqueName('txn'))
    const adds = () => [env.wire.count('AddPartitionsToTxn'), env.wire.count('AddOffsetsToTxn')]
    const [partitions, offsets] = adds() as [number, number]
    for (let partition = 0; partition < 6; partition++) put(p.writer(wide, partition), 'x')
    await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 1 }])
    for (let partition = 0; partition < 6; partition++) put(p.writer(wide, partition), 'y')
    await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 2 }])
    await p.commit()
    expect(adds()).to.deep.equal([partitions + 1, offsets + 1])
    expect(await committed(group)).to.equal(2)
    await p.close()
  })

  describe('when the answer to a commit is lost', () => {
    for (const [what, lose] of [
      ['the commit took effect', loseAnswer],
      ['the request never arrived', loseRequest],
      ['the connection broke before it was written', refuse]
    ] as const) {
      it(`repeats it with the same epoch: once in the log, and the producer goes on (${what})`, async () => {
        const group = uniqueName('group')
        const p = await open(uniqueName('txn'))
        put(p.writer(topic, 0), 'one')
        await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 7 }])
        env.wire.next('EndTxn', lose)
        await p.commit()
        put(p.writer(topic, 0), 'two')
        await p.commit()
        await expectValues(env.cluster, topic, ['one', 'two'])
        expect(await committed(group)).to.equal(7)
        await p.close()
      })
    }

    it('reports an unknown outcome when a successor answers for us: neither fenced nor committed is known', async () => {
      const id = uniqueName('txn')
      const p = await open(id)
      put(p.writer(topic, 0), 'one')
      await p.flush()
      env.wire.next('EndTxn', async () => {
        await open(id) // takes over; our commit is lost on its way
        return loseRequest()
      })
      expect(await fault(p.commit())).to.equal('unknown-outcome')
      expect(await p.abort().catch((e) => e)).to.be.instanceOf(StateError)
      expect(await p.commit().catch((e) => e)).to.be.instanceOf(StateError)
      expect(() => put(p.writer(topic, 0), 'more')).to.throw()
      await expectValues(env.cluster, topic, [])
    })

    it('reports an unknown outcome when repeating does not succeed in time', async () => {
      const p = await open(uniqueName('txn'), { timeoutMs: 1_500 })
      put(p.writer(topic, 0), 'one')
      await p.flush()
      env.wire.always('EndTxn', loseRequest)
      expect(await fault(p.commit())).to.equal('unknown-outcome')
      expect(env.wire.count('EndTxn')).to.be.greaterThan(2)
    })
  })

  it('answers every call of the old owner with fenced after a takeover', async () => {
    const id = uniqueName('txn')
    const group = uniqueName('group')
    const acts: [string, (p: TxnProducer) => Promise<unknown>][] = [
      [
        'send',
        (p) => {
          put(p.writer(topic, 0), 'zombie')
          return p.flush()
        }
      ],
      ['offsets', (p) => p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 99 }])],
      ['commit', (p) => p.commit()]
    ]
    for (const [name, act] of acts) {
      const old = await open(id)
      put(old.writer(topic, 0), `left open before ${name}`)
      await old.flush()
      const successor = await open(id)
      expect(await fault(act(old)), name).to.equal('fenced')
      put(successor.writer(topic, 0), name)
      await successor.commit()
    }
    await expectValues(env.cluster, topic, ['send', 'offsets', 'commit'])
    expect(await committed(group)).to.equal(-1)
  })

  it('is fenced as well when the broker timed its transaction out', async () => {
    const p = await open(uniqueName('txn'), { timeoutMs: 1_000 })
    put(p.writer(topic, 0), 'late')
    await p.flush()
    await until(async () => (await values(env.cluster, topic, 0, 'committed')).length === 0 && (await ended(topic)), {
      what: 'the broker has aborted the transaction',
      timeoutMs: 30_000
    })
    expect(await fault(p.commit())).to.equal('fenced')
  })

  /** Nothing is open: committed readers see up to the very end. */
  async function ended(name: string): Promise<boolean> {
    const leader = await env.cluster.leader(name, 0)
    const end = async (isolation: 'committed' | 'uncommitted') => {
      const topics = [{ topic: name, partitions: [{ partition: 0, timestamp: -1 }] }]
      const a = await env.wire.lane('control').call(leader, 'ListOffsets', { isolation, topics })
      return a.topics[0]!.partitions[0]!.offset
    }
    return (await end('committed')) === (await end('uncommitted'))
  }

  it('gives unique output in order through a takeover under load', async () => {
    const id = uniqueName('txn')
    const group = uniqueName('group')
    const run = async (p: TxnProducer, from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++) put(p.writer(topic, 0), `${i}`)
      await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: to }])
    }
    const a = await open(id)
    await run(a, 0, 10)
    await a.commit()
    await run(a, 10, 20) // and hangs
    const b = await open(id)
    let at = await committed(group)
    expect(at).to.equal(10)
    for (; at < 40; at += 10) {
      await run(b, at, at + 10)
      await b.commit()
    }
    expect(await fault(a.commit())).to.equal('fenced')
    await expectValues(
      env.cluster,
      topic,
      Array.from({ length: 40 }, (_, i) => `${i}`)
    )
  })

  it('goes from one transaction to the next in milliseconds, also when offsets come first (D7)', async () => {
    const group = uniqueName('group')
    const p = await open(uniqueName('txn'))
    const run = async (recordsFirst: boolean): Promise<number> => {
      const times: number[] = []
      for (let i = 0; i < 40; i++) {
        const began = stopwatch()
        if (recordsFirst) put(p.writer(topic, 0), `${i}`)
        await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: i }])
        if (!recordsFirst) put(p.writer(topic, 0), `${i}`)
        await p.commit()
        times.push(stopwatch() - began)
      }
      return times.sort((x, y) => x - y)[20]!
    }
    // Stock: 262 ms, its back-off starting at 300 ms; and 32 of 60 fail when offsets come first.
    expect(await run(true)).to.be.below(130)
    expect(await run(false)).to.be.below(130)
    await until(async () => (await values(env.cluster, topic)).length === 80)
    await p.close()
  })

  it('commits again after a commit that failed on its way (D6), and after a fence a new producer does', async () => {
    const id = uniqueName('txn')
    const p = await open(id)
    put(p.writer(topic, 0), 'one')
    env.wire.next('EndTxn', refuse, loseRequest)
    await p.commit()
    put(p.writer(topic, 0), 'two')
    await p.abort()
    put(p.writer(topic, 0), 'three')
    const next = await open(id)
    expect(await fault(p.commit())).to.equal('fenced')
    put(next.writer(topic, 0), 'four')
    await next.commit()
    await expectValues(env.cluster, topic, ['one', 'four'])
  })

  describe('when a coordinator moves (D8)', () => {
    const partial = <A extends ApiName>(code: number, api: A): ApiMap[A]['response'] => {
      const topics = [{ topic, partitions: [{ partition: 0, error: code }] }]
      return (api === 'AddPartitionsToTxn' || api === 'TxnOffsetCommit'
        ? { topics }
        : { error: code, producerId: -1, producerEpoch: -1 }) as unknown as ApiMap[A]['response']
    }
    for (const api of [
      'InitProducerId',
      'AddPartitionsToTxn',
      'AddOffsetsToTxn',
      'TxnOffsetCommit',
      'EndTxn'
    ] as const) {
      it(`looks it up again and repeats ${api} for codes 14, 15, 16, and a lost answer`, async () => {
        const group = uniqueName('group')
        env.wire.next<ApiName>(api, ...[14, 15, 16].map((code) => answer(partial(code, api))), loseAnswer)
        const p = await open(uniqueName('txn'))
        const lookUps = env.wire.count('FindCoordinator')
        put(p.writer(topic, 0), 'x')
        await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 5 }])
        await p.commit()
        await expectValues(env.cluster, topic, ['x'])
        expect(await committed(group)).to.equal(5)
        if (api !== 'InitProducerId') expect(env.wire.count('FindCoordinator') - lookUps).to.be.at.least(4)
        await p.close()
      })
    }
  })

  it('waits inside for a predecessor that is being settled (CONCURRENT_TRANSACTIONS)', async () => {
    env.wire.next('InitProducerId', answer({ error: 51, producerId: -1, producerEpoch: -1 }))
    const p = await open(uniqueName('txn'))
    env.wire.next('AddPartitionsToTxn', answer({ topics: [{ topic, partitions: [{ partition: 0, error: 51 }] }] }))
    env.wire.next('AddOffsetsToTxn', answer({ error: 51 }))
    put(p.writer(topic, 0), 'x')
    await p.sendOffsets(NOBODY(uniqueName('group')), [{ topic, partition: 0, offset: 5 }])
    await p.commit()
    await expectValues(env.cluster, topic, ['x'])
    await p.close()
  })

  it('refuses a time-out above the limit of the broker, with advice', async () => {
    const error = await open(uniqueName('txn'), { timeoutMs: 3_600_000 }).catch((e) => e)
    expect(error).to.include({ fault: 'fatal', kafkaCode: 50 })
    expect(error.message).to.contain('transaction.max.timeout.ms')
  })

  it('keeps a transaction usable after staging offsets was refused', async () => {
    const p = await open(uniqueName('txn'))
    const group = uniqueName('group')
    const ghost = { groupId: group, generation: 5, memberId: 'ghost' }
    put(p.writer(topic, 0), 'a')
    // A group without members takes any generation for unknown.
    expect(await fault(p.sendOffsets(ghost, [{ topic, partition: 0, offset: 1 }]))).to.equal('stale-member')
    await p.sendOffsets(NOBODY(group), [{ topic, partition: 0, offset: 2 }])
    await p.commit()
    expect(await committed(group)).to.equal(2)
    expect(await fault(p.sendOffsets(ghost, [{ topic, partition: 0, offset: 3 }]))).to.equal('stale-member')
    await p.abort()
    put(p.writer(topic, 0), 'b')
    await p.commit()
    await expectValues(env.cluster, topic, ['a', 'b'])
    await p.close()
  })

  it('aborts what is under way: the batch is settled first, then hidden', async () => {
    const p = await open(uniqueName('txn'))
    put(p.writer(topic, 0), 'a')
    await p.commit()
    const held = hold<'Produce'>(loseAnswer)
    env.wire.next('Produce', held.fault)
    put(p.writer(topic, 0), 'under way')
    p.kick()
    await held.arrived
    const aborted = p.abort()
    held.release()
    await aborted
    put(p.writer(topic, 0), 'b')
    await p.commit()
    await expectValues(env.cluster, topic, ['a', 'b'])
    await p.close()
  })
})
