import { expect } from 'chai'
import { Bench, batch, NOW, owner } from './support.ts'

const DAY = 86_400_000
const kv = (key: string, value: string | null, at = NOW) => ({ key, value, at })

describe('embedded log: retention and compaction', () => {
  let b: Bench
  const start = async (config: Record<string, string>): Promise<void> => {
    b = new Bench()
    await b.topic(config)
  }
  afterEach(() => b.broker.close())

  it('deletes by event time, from the start to the first batch that may stay', async () => {
    await start({ 'retention.ms': String(DAY) })
    await b.produce(batch([{ value: 'of 2001', at: 987_654_321_000 }]))
    await b.produce(batch(['young']))
    await b.produce(batch([{ value: 'of 2001 too', at: 987_654_321_000 }]))
    b.broker.clean()
    expect((await b.fetch(0)).error).to.equal(1)
    expect(await b.read(1)).to.deep.equal(['1=young', '2=of 2001 too'])
  })

  it('keeps everything with retention.ms -1, and everything in a topic that is only compacted', async () => {
    await start({ 'retention.ms': '-1' })
    await b.produce(batch([{ value: 'of 2001', at: 987_654_321_000 }]))
    b.broker.clean()
    expect(await b.read()).to.deep.equal(['0=of 2001'])
    await b.broker.close()
    await start({ 'cleanup.policy': 'compact', 'retention.ms': '1' })
    await b.produce(batch([kv('k', 'of 2001', 987_654_321_000)]))
    b.broker.clean()
    expect(await b.read()).to.deep.equal(['0=of 2001'])
  })

  it('deletes by size, oldest first', async () => {
    await start({ 'retention.bytes': '1000' })
    for (const value of ['a', 'b', 'c']) await b.produce(batch([value.repeat(500)]))
    b.broker.clean()
    expect((await b.read(1)).map((r) => r.slice(0, 3))).to.deep.equal(['1=b', '2=c'])
  })

  it('runs by itself at the interval given', async () => {
    b = new Bench({ cleanEveryMs: 1_000 })
    await b.topic({ 'retention.ms': '5000' })
    await b.produce(batch(['a']))
    await b.clock.advance(5_000)
    expect((await b.fetch(0)).error).to.equal(0)
    await b.clock.advance(1_000)
    expect((await b.fetch(0)).error).to.equal(1)
  })

  it('compacts to the last value of each key without moving an offset', async () => {
    await start({ 'cleanup.policy': 'compact' })
    await b.produce(batch([kv('a', '1'), kv('b', '1'), kv('a', '2')]))
    await b.produce(batch([kv('b', '2'), kv('c', '1')], { codec: 'gzip' }))
    await b.produce(batch([kv('a', '3')]))
    b.broker.clean()
    // The last batch is never cleaned, so its older sibling under key a stays until more is written.
    expect(await b.read()).to.deep.equal(['2=2', '3=2', '4=1', '5=3'])
    await b.produce(batch([kv('d', '1')]))
    b.broker.clean()
    expect(await b.read()).to.deep.equal(['3=2', '4=1', '5=3', '6=1'])
  })

  it('keeps tombstones for delete.retention.ms after the first cleaning that met them', async () => {
    await start({ 'cleanup.policy': 'compact', 'delete.retention.ms': '1000' })
    await b.produce(batch([kv('a', '1')]))
    await b.produce(batch([kv('a', null)]))
    await b.produce(batch([kv('z', '1')]))
    await b.clock.advance(5_000)
    b.broker.clean()
    expect(await b.read()).to.deep.equal(['1=-', '2=1'])
    await b.clock.advance(999)
    b.broker.clean()
    expect(await b.read()).to.deep.equal(['1=-', '2=1'])
    await b.clock.advance(1)
    b.broker.clean()
    expect(await b.read()).to.deep.equal(['2=1'])
  })

  it("keeps a producer's last batch as an empty one, and readers go past it", async () => {
    await start({ 'cleanup.policy': 'compact' })
    await b.produce(batch([kv('a', '1')], { producerId: 1, producerEpoch: 0 }))
    await b.produce(batch([kv('a', '2')], { producerId: 2, producerEpoch: 0 }))
    await b.produce(batch([kv('z', '1')], { producerId: 3, producerEpoch: 0 }))
    b.broker.clean()
    expect((await b.fetch(0)).records.readInt32BE(57), 'records in the first batch').to.equal(0)
    expect(await b.read()).to.deep.equal(['1=2', '2=1'])
    const repeated = await b.produce(batch([kv('a', '1')], { producerId: 1, producerEpoch: 0 }))
    expect(repeated).to.deep.include({ error: 0, baseOffset: 0 })
  })

  it('does not touch what is young, or at and after the first open transaction', async () => {
    await start({ 'cleanup.policy': 'compact', 'min.compaction.lag.ms': '1000' })
    const p = await b.init('t')
    await b.produce(batch([kv('a', '1')]))
    await b.produce(batch([kv('a', '2')]))
    await b.addPartition('t', p)
    await b.produce(batch([kv('a', '3')], { ...owner(p), transactional: true }), 't')
    await b.produce(batch([kv('a', '4')]))
    await b.produce(batch([kv('z', '1')]))
    b.broker.clean()
    expect(await b.read(0, 'uncommitted')).to.have.length(5)
    await b.clock.advance(2_000)
    b.broker.clean()
    expect(await b.read(0, 'uncommitted')).to.deep.equal(['1=2', '2=3', '3=4', '4=1'])
  })

  it('drops aborted records, and a value they would have replaced stays', async () => {
    await start({ 'cleanup.policy': 'compact', 'delete.retention.ms': '0' })
    const p = await b.init('t')
    await b.produce(batch([kv('a', 'kept')]))
    await b.addPartition('t', p)
    await b.produce(batch([kv('a', 'aborted')], { ...owner(p), transactional: true }), 't')
    await b.endTxn('t', p, false)
    await b.produce(batch([kv('z', '1')]))
    for (let i = 0; i < 3; i++) {
      b.broker.clean()
      expect(await b.read()).to.deep.equal(['0=kept', '3=1'])
    }
    expect(await b.read(0, 'uncommitted')).to.deep.equal(['0=kept', '3=1'])
  })
})
