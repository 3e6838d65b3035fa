import { expect } from 'chai'
import { nextTurn } from '../../lib/time.ts'
import { Bench, batch, NOW, T } from './support.ts'

describe('embedded log: one partition', () => {
  let b: Bench
  beforeEach(async () => {
    b = new Bench()
    await b.topic()
  })
  afterEach(() => b.broker.close())

  it('gives offsets in the order of appends and returns what was written', async () => {
    expect((await b.produce(batch(['a', 'b']))).baseOffset).to.equal(0)
    expect((await b.produce(batch(['c'], { codec: 'gzip' }))).baseOffset).to.equal(2)
    expect(await b.read()).to.deep.equal(['0=a', '1=b', '2=c'])
  })

  it('keeps a copy: the producer may fill its buffer again at once', async () => {
    const bytes = batch(['a'])
    await b.produce(bytes)
    bytes.fill(0)
    expect(await b.read()).to.deep.equal(['0=a'])
  })

  it('refuses a batch whose checksum does not match with CORRUPT_MESSAGE', async () => {
    const bytes = batch(['a'])
    bytes[bytes.length - 2]! ^= 1
    expect((await b.produce(bytes)).error).to.equal(2)
    expect(await b.end('uncommitted')).to.equal(0)
  })

  it('refuses a batch above max.message.bytes with MESSAGE_TOO_LARGE, and takes it after the setting was raised', async () => {
    const bytes = batch(['x'.repeat(1_100_000)])
    expect((await b.produce(bytes)).error).to.equal(10)
    const settings = [{ name: 'max.message.bytes', value: '2000000' }]
    await b.call('IncrementalAlterConfigs', { topic: T, settings })
    expect((await b.produce(bytes)).error).to.equal(0)
  })

  it('refuses records without a key on a compacted topic', async () => {
    await b.call('IncrementalAlterConfigs', { topic: T, settings: [{ name: 'cleanup.policy', value: 'compact' }] })
    expect((await b.produce(batch([{ key: 'k', value: 'v' }, 'keyless']))).error).to.equal(87)
  })

  it('answers UNKNOWN_TOPIC_OR_PARTITION for a partition that is not there', async () => {
    expect((await b.produce(batch(['a']), null, 3)).error).to.equal(3)
  })

  it('stamps records with its own time when the topic says LogAppendTime', async () => {
    const settings = [{ name: 'message.timestamp.type', value: 'LogAppendTime' }]
    await b.call('IncrementalAlterConfigs', { topic: T, settings })
    await b.produce(batch([{ value: 'a', at: 5 }]))
    expect(await b.end('uncommitted', NOW)).to.equal(0)
    expect(await b.end('uncommitted', NOW + 1)).to.equal(-1)
    expect(await b.read()).to.deep.equal(['0=a'])
  })

  describe('idempotence', () => {
    const producer = { producerId: 7, producerEpoch: 0 }

    it('acknowledges a repeated batch with its first offset and stores it once', async () => {
      await b.produce(batch(['a', 'b'], producer))
      await b.produce(batch(['c'], { ...producer, sequence: 2 }))
      const repeated = await b.produce(batch(['a', 'b'], producer))
      expect(repeated).to.deep.include({ error: 0, baseOffset: 0 })
      expect(await b.read()).to.deep.equal(['0=a', '1=b', '2=c'])
    })

    it('remembers five batches, no more', async () => {
      for (let i = 0; i < 6; i++) await b.produce(batch([`${i}`], { ...producer, sequence: i }))
      expect((await b.produce(batch(['1'], { ...producer, sequence: 1 }))).baseOffset).to.equal(1)
      expect((await b.produce(batch(['0'], { ...producer, sequence: 0 }))).error).to.equal(45)
    })

    it('refuses a gap with OUT_OF_ORDER_SEQUENCE_NUMBER', async () => {
      await b.produce(batch(['a'], producer))
      expect((await b.produce(batch(['c'], { ...producer, sequence: 2 }))).error).to.equal(45)
    })

    it('refuses an old epoch with INVALID_PRODUCER_EPOCH; a new epoch starts at sequence 0', async () => {
      await b.produce(batch(['a'], producer))
      const next = { producerId: 7, producerEpoch: 1 }
      expect((await b.produce(batch(['x'], { ...next, sequence: 1 }))).error).to.equal(45)
      expect((await b.produce(batch(['b'], next))).error).to.equal(0)
      expect((await b.produce(batch(['c'], { ...producer, sequence: 1 }))).error).to.equal(47)
    })

    it('goes on at sequence 0 after 2^31 - 1', async () => {
      await b.produce(batch(['a'], { ...producer, sequence: 2_147_483_647 }))
      expect((await b.produce(batch(['b'], { ...producer, sequence: 0 }))).baseOffset).to.equal(1)
    })
  })

  describe('fetch', () => {
    it('answers OFFSET_OUT_OF_RANGE above the end and below the start', async () => {
      await b.produce(batch(['a', 'b']))
      expect(await b.fetch(3)).to.deep.include({ error: 1, highWatermark: -1, lastStableOffset: -1 })
      const topics = [{ topic: T, partitions: [{ partition: 0, offset: 1 }] }]
      await b.call('DeleteRecords', { timeoutMs: 1_000, topics })
      expect((await b.fetch(0)).error).to.equal(1)
      expect(await b.read(1)).to.deep.equal(['1=b'])
    })

    it('parks at the end until an append, and answers then', async () => {
      let answered = false
      const fetched = b.fetch(0, { maxWaitMs: 500 }).then((answer) => {
        answered = true
        return answer
      })
      await nextTurn()
      expect(answered).to.equal(false)
      await b.produce(batch(['a']))
      expect((await fetched).highWatermark).to.equal(1)
      expect(b.clock.now()).to.equal(NOW)
    })

    it('parks until minBytes are there, or maxWaitMs have passed', async () => {
      await b.produce(batch(['a']))
      let answered = false
      const fetched = b.fetch(0, { maxWaitMs: 500, minBytes: 10_000 }).then((answer) => {
        answered = true
        return answer
      })
      await b.clock.advance(499)
      expect(answered).to.equal(false)
      await b.clock.advance(1)
      expect((await fetched).records.length).to.be.greaterThan(0)
    })

    it('gives the first batch whole even above the limit, and no second', async () => {
      await b.produce(batch(['x'.repeat(5_000)]))
      await b.produce(batch(['y']))
      const { records } = await b.fetch(0, { maxBytes: 100 })
      expect(records.length).to.be.greaterThan(5_000).and.lessThan(5_200)
    })

    it('tells a parked fetch that its topic was deleted', async () => {
      const fetched = b.fetch(0, { maxWaitMs: 500 })
      await nextTurn()
      await b.call('DeleteTopics', { timeoutMs: 1_000, topics: [T] })
      expect((await fetched).error).to.equal(3)
    })
  })

  it('finds the first record at or after a time, and -1 past the last', async () => {
    await b.produce(
      batch([
        { value: 'a', at: 100 },
        { value: 'b', at: 300 }
      ])
    )
    await b.produce(batch([{ value: 'c', at: 200 }], { codec: 'gzip' }))
    expect(await b.end('uncommitted', 150)).to.equal(1)
    expect(await b.end('uncommitted', 300)).to.equal(1)
    expect(await b.end('uncommitted', 301)).to.equal(-1)
  })

  it('spreads leaders over its nodes and sends who asks the wrong one away', async () => {
    const two = new Bench({ nodes: 2 })
    await two.topic({}, 2)
    const { topics } = await two.call('Metadata', { topics: [T] })
    const leaders = topics[0]!.partitions.map((p) => p.leader)
    expect(leaders.toSorted()).to.deep.equal([1, 2])
    const request = {
      transactionalId: null,
      timeoutMs: 1_000,
      topics: [{ topic: T, partitions: [{ partition: 0, records: batch(['a']) }] }]
    }
    const wrong = await two.call('Produce', request, leaders[1]!)
    expect(wrong.topics[0]!.partitions[0]!.error).to.equal(6)
    two.broker.moveLeader(T, 0, leaders[1]!)
    const right = await two.call('Produce', request, leaders[1]!)
    expect(right.topics[0]!.partitions[0]!.error).to.equal(0)
    await two.broker.close()
  })
})
