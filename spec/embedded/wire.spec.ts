import { expect } from 'chai'
import type { TransportError } from '../../lib/errors.ts'
import { nextTurn } from '../../lib/time.ts'
import { Bench, batch, NOW, T } from './support.ts'

const fault = async (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'answered',
    (error: TransportError) => error.fault
  )

describe('embedded log: the wire', () => {
  let b: Bench
  beforeEach(() => {
    b = new Bench()
  })
  afterEach(() => b.broker.close())

  const metadata = { topics: null }
  const request = () => ({
    transactionalId: null,
    timeoutMs: 1_000,
    topics: [{ topic: T, partitions: [{ partition: 0, records: batch(['a']) }] }]
  })

  it('serves one request of a connection after the other: behind a parked fetch a fetch waits, other calls and lanes do not', async () => {
    await b.topic()
    const order: string[] = []
    const note = (name: string) => () => void order.push(name)
    const first = b.fetch(0, { maxWaitMs: 500 }).then(note('first fetch'))
    const second = b.fetch(0, { maxWaitMs: 0 }).then(note('second fetch'))
    await b.call('Metadata', metadata).then(note('metadata'))
    const topics = [{ topic: T, partitions: [{ partition: 0, offset: 0, maxBytes: 100 }] }]
    const elsewhere = { maxWaitMs: 0, minBytes: 1, maxBytes: 100, isolation: 'committed' as const, topics }
    await b.aside('other', 'Fetch', elsewhere).then(note('other lane'))
    await b.clock.advance(500)
    await Promise.all([first, second])
    expect(order).to.deep.equal(['metadata', 'other lane', 'first fetch', 'second fetch'])
  })

  it('takes the latency given from call to answer, and pipelines calls in order', async () => {
    const slow = new Bench({ latencyMs: 10 })
    const order: string[] = []
    const calls = ['one', 'two'].map((name) => slow.call('Metadata', metadata).then(() => order.push(name)))
    await slow.clock.advance(9)
    expect(order).to.deep.equal([])
    await slow.clock.advance(1)
    await Promise.all(calls)
    expect(order).to.deep.equal(['one', 'two'])
    expect(slow.clock.now()).to.equal(NOW + 10)
    await slow.broker.close()
  })

  it('loses a request before the broker sees it, or the answer after it did', async () => {
    await b.topic()
    b.broker.fault(({ api }) => (api === 'Produce' ? { lose: 'request' } : undefined))
    expect(await fault(b.call('Produce', request()))).to.equal('unknown-outcome')
    expect(await b.end('uncommitted')).to.equal(0)
    b.broker.fault(({ api }) => (api === 'Produce' ? { lose: 'answer' } : undefined))
    expect(await fault(b.call('Produce', request()))).to.equal('unknown-outcome')
    expect(await b.end('uncommitted')).to.equal(1)
    b.broker.fault(undefined)
    expect(await fault(b.call('Produce', request()))).to.equal('answered')
  })

  it('refuses connections, delays, doubles and answers in place of the broker when asked to', async () => {
    await b.topic()
    b.broker.fault(() => ({ refuse: true }))
    expect(await fault(b.call('Metadata', metadata))).to.equal('retriable')
    b.broker.fault(({ api }) => (api === 'Produce' ? { twice: true } : undefined))
    await b.call('Produce', request())
    expect(await b.end('uncommitted')).to.equal(2)
    b.broker.fault(() => ({ answer: { error: 15, nodeId: -1 } }))
    expect((await b.call('FindCoordinator', { key: 'g', type: 'group' })).error).to.equal(15)
    b.broker.fault(() => ({ delayMs: 50 }))
    let answered = false
    const call = b.call('Metadata', metadata).then(() => (answered = true))
    await b.clock.advance(49)
    expect(answered).to.equal(false)
    await b.clock.advance(1)
    await call
  })

  it('rejects what is parked when its lane closes, and refuses calls after that', async () => {
    await b.topic()
    const parked = fault(b.fetch(0, { maxWaitMs: 500 }))
    await nextTurn()
    await b.lane.close()
    expect(await parked).to.equal('fatal')
    expect(await fault(b.call('Metadata', metadata))).to.equal('fatal')
    expect(await fault(b.broker.wire.lane('spec').call('any', 'Metadata', metadata))).to.equal('answered')
  })

  it('leaves no timer behind when it is closed', async () => {
    const noisy = new Bench({ cleanEveryMs: 1_000 })
    await noisy.topic()
    const parked = fault(noisy.fetch(0, { maxWaitMs: 500 }))
    await noisy.init('t')
    await nextTurn()
    expect(noisy.clock.next).to.equal(NOW + 500)
    await noisy.broker.close()
    await parked
    expect(noisy.clock.next).to.equal(undefined)
  })

  it('keeps two brokers apart', async () => {
    const other = new Bench()
    await b.topic()
    expect((await other.call('Metadata', metadata)).topics).to.deep.equal([])
    await other.broker.close()
  })

  it('creates a topic that is asked for when it is told to', async () => {
    const eager = new Bench({ autoCreate: 3 })
    const { topics } = await eager.call('Metadata', { topics: ['new'] })
    expect(topics[0]!.partitions).to.have.length(3)
    expect((await b.call('Metadata', { topics: ['new'] })).topics[0]!.error).to.equal(3)
    await eager.broker.close()
  })
})
