import { expect } from 'chai'
import { Bench, batch, owner, type Producer, T } from './support.ts'

const GROUP = 'readers'

describe('embedded log: transactions', () => {
  let b: Bench
  beforeEach(async () => {
    b = new Bench()
    await b.topic()
  })
  afterEach(() => b.broker.close())

  const write = async (id: string, p: Producer, sequence: number, ...values: string[]): Promise<number> => {
    await b.addPartition(id, p)
    return (await b.produce(batch(values, { ...owner(p), sequence, transactional: true }), id)).error
  }

  const stage = async (id: string, p: Producer, offset: number, member = { generation: -1, memberId: '' }) => {
    const ref = { transactionalId: id, ...owner(p), groupId: GROUP }
    await b.call('AddOffsetsToTxn', ref)
    const topics = [{ topic: T, partitions: [{ partition: 0, offset, metadata: null }] }]
    const answer = await b.call('TxnOffsetCommit', { ...ref, ...member, instanceId: null, topics })
    return answer.topics[0]!.partitions[0]!.error
  }

  const committed = async (requireStable = true) => {
    const topics = [{ topic: T, partitions: [0] }]
    const answer = await b.call('OffsetFetch', { groupId: GROUP, topics, requireStable })
    const { error, offset } = answer.topics[0]!.partitions[0]!
    return error === 0 ? offset : `error ${error}`
  }

  it('holds committed readers back at the first open transaction; uncommitted ones see everything', async () => {
    const p = await b.init('a')
    await b.produce(batch(['before']))
    await write('a', p, 0, 'open')
    await b.produce(batch(['after']))
    expect(await b.read()).to.deep.equal(['0=before'])
    expect(await b.read(0, 'uncommitted')).to.deep.equal(['0=before', '1=open', '2=after'])
    expect(await b.end('committed')).to.equal(1)
    expect(await b.end('uncommitted')).to.equal(3)
    expect(await b.endTxn('a', p, true)).to.equal(0)
    expect(await b.read()).to.deep.equal(['0=before', '1=open', '2=after'])
    expect(await b.end('committed')).to.equal(4)
  })

  it('lists aborted transactions in the order they ended, so that a reader from the middle can tell them apart', async () => {
    const [pa, pb] = [await b.init('a'), await b.init('b')]
    await write('a', pa, 0, 'a0')
    await write('b', pb, 0, 'b0')
    await b.endTxn('b', pb, false)
    await write('a', pa, 1, 'a1')
    await b.endTxn('a', pa, false)
    const { aborted } = await b.fetch(0)
    expect(aborted).to.deep.equal([
      { producerId: pb.producerId, firstOffset: 1 },
      { producerId: pa.producerId, firstOffset: 0 }
    ])
    expect(await b.read(0)).to.deep.equal([])
    expect((await b.fetch(3)).aborted).to.deep.equal([{ producerId: pa.producerId, firstOffset: 0 }])
    expect(await b.read(3)).to.deep.equal([])
  })

  it('refuses records of a partition that was not added with INVALID_TXN_STATE', async () => {
    const p = await b.init('a')
    expect((await b.produce(batch(['x'], { ...owner(p), transactional: true }), 'a')).error).to.equal(48)
  })

  it('refuses a late batch of a transaction that has ended', async () => {
    const p = await b.init('a')
    await write('a', p, 0, 'x')
    await b.endTxn('a', p, true)
    expect((await b.produce(batch(['y'], { ...owner(p), sequence: 1, transactional: true }), 'a')).error).to.equal(48)
  })

  it('lets a successor take over: epoch + 1, the open transaction aborted, every call of the old one 47', async () => {
    const old = await b.init('a')
    await write('a', old, 0, 'lost')
    await stage('a', old, 5)
    expect((await b.call('InitProducerId', { transactionalId: 'a', timeoutMs: 60_000 })).error).to.equal(51)
    const next = await b.init('a')
    expect(next.producerId).to.equal(old.producerId)
    expect(next.producerEpoch).to.be.greaterThan(old.producerEpoch)
    expect(await b.addPartition('a', old)).to.equal(47)
    expect((await b.produce(batch(['z'], { ...owner(old), sequence: 1, transactional: true }), 'a')).error).to.equal(47)
    expect(await stage('a', old, 6)).to.equal(47)
    expect(await b.endTxn('a', old, true)).to.equal(47)
    expect(await write('a', next, 0, 'kept')).to.equal(0)
    expect(await b.endTxn('a', next, true)).to.equal(0)
    expect(await b.read()).to.deep.equal(['2=kept'])
    expect(await committed()).to.equal(-1)
  })

  it('takes a repeated EndTxn as the same one, and refuses the opposite', async () => {
    const p = await b.init('a')
    expect(await b.endTxn('a', p, true)).to.equal(48)
    await write('a', p, 0, 'x')
    expect(await b.endTxn('a', p, true)).to.equal(0)
    expect(await b.endTxn('a', p, true)).to.equal(0)
    expect(await b.endTxn('a', p, false)).to.equal(48)
    expect(await b.end('committed')).to.equal(2)
  })

  it('aborts a transaction that outlives its time-out, and answers 47 to its producer', async () => {
    const p = await b.init('a', 10_000)
    await write('a', p, 0, 'x')
    await b.clock.advance(9_999)
    expect(await b.end('committed')).to.equal(0)
    await b.clock.advance(1)
    expect(await b.end('committed')).to.equal(2)
    expect(await b.endTxn('a', p, true)).to.equal(47)
    expect(await b.read()).to.deep.equal([])
  })

  it('refuses a time-out above the limit with INVALID_TRANSACTION_TIMEOUT', async () => {
    expect((await b.call('InitProducerId', { transactionalId: 'a', timeoutMs: 900_001 })).error).to.equal(50)
  })

  it('answers CONCURRENT_TRANSACTIONS until the markers are written', async () => {
    const slow = new Bench({ markerDelayMs: 20 })
    await slow.topic()
    const p = await slow.init('a')
    await slow.addPartition('a', p)
    await slow.produce(batch(['x'], { ...owner(p), transactional: true }), 'a')
    expect(await slow.endTxn('a', p, true)).to.equal(0)
    expect(await slow.addPartition('a', p)).to.equal(51)
    expect(await slow.endTxn('a', p, true)).to.equal(51)
    expect(await slow.end('committed')).to.equal(0)
    await slow.clock.advance(20)
    expect(await slow.addPartition('a', p)).to.equal(0)
    expect(await slow.end('committed')).to.equal(2)
    await slow.broker.close()
  })

  it('gives a new producer id when the epochs are used up', async () => {
    const first = await b.init('a')
    let last = first
    while (last.producerId === first.producerId && last.producerEpoch < 32_766) last = await b.init('a')
    const next = await b.init('a')
    expect(next.producerEpoch).to.equal(0)
    expect(next.producerId).not.to.equal(first.producerId)
  })

  describe('offsets', () => {
    it('are pending until the commit: unstable for those who ask for stable ones, the old ones for the others', async () => {
      const p = await b.init('a')
      expect(await stage('a', p, 3)).to.equal(0)
      expect(await committed()).to.equal('error 88')
      expect(await committed(false)).to.equal(-1)
      await b.endTxn('a', p, true)
      expect(await committed()).to.equal(3)
    })

    it('are dropped by an abort', async () => {
      const p = await b.init('a')
      await stage('a', p, 10)
      await b.endTxn('a', p, true)
      await stage('a', p, 20)
      await b.endTxn('a', p, false)
      expect(await committed()).to.equal(10)
    })

    it('do not undo a plain commit that came after them', async () => {
      const p = await b.init('a')
      await stage('a', p, 10)
      const topics = [{ topic: T, partitions: [{ partition: 0, offset: 11, metadata: null }] }]
      await b.call('OffsetCommit', { groupId: GROUP, generation: -1, memberId: '', instanceId: null, topics })
      await b.endTxn('a', p, true)
      expect(await committed()).to.equal(11)
    })

    it('need AddOffsetsToTxn first', async () => {
      const p = await b.init('a')
      const topics = [{ topic: T, partitions: [{ partition: 0, offset: 1, metadata: null }] }]
      const member = { generation: -1, memberId: '', instanceId: null }
      const request = { transactionalId: 'a', ...owner(p), groupId: GROUP, ...member, topics }
      const answer = await b.call('TxnOffsetCommit', request)
      expect(answer.topics[0]!.partitions[0]!.error).to.equal(48)
    })

    it('of a member the group does not know are refused, and the transaction goes on', async () => {
      const p = await b.init('a')
      expect(await stage('a', p, 1, { generation: 4, memberId: 'ghost' })).to.equal(22)
      expect(await b.endTxn('a', p, false)).to.equal(0)
      expect(await committed()).to.equal(-1)
    })
  })
})
