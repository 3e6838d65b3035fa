import { expect } from 'chai'
import { TransportError } from '../../lib/errors.ts'
import { Cluster } from '../../lib/kafka/cluster.ts'
import type { Batch, ReaderOptions } from '../../lib/kafka/port.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import { FetchReader } from '../../lib/kafka/reader.ts'
import { type Tp, tpKey } from '../../lib/record.ts'
import { nextTurn, seededRandom, VirtualClock } from '../../lib/time.ts'
import { data, marker, rows } from './protocol/batches.ts'
import { ScriptedWire } from './scriptedWire.ts'

type Request = ApiMap['Fetch']['request']
type Partition = ApiMap['Fetch']['response']['topics'][number]['partitions'][number]

const tp = (partition: number): Tp => ({ topic: 't', partition })

/** A broker that parks every Fetch until the spec answers it. */
class Bench {
  readonly clock = new VirtualClock()
  readonly wire = new ScriptedWire()
  readonly cluster: Cluster
  readonly errors: [TransportError, Tp | undefined][] = []
  readonly parked: {
    node: number | string
    lane: string
    request: Request
    answer(...partitions: Partial<Partition>[]): Promise<void>
    fail(error: Error): Promise<void>
  }[] = []
  readonly reader: FetchReader
  leaders = [1, 1, 1, 1]

  constructor(options: Partial<ReaderOptions> = {}) {
    this.cluster = new Cluster(this.wire, { clock: this.clock, random: seededRandom(1) })
    this.wire.on('Metadata', async () => ({
      brokers: [],
      controllerId: 1,
      topics: [
        {
          error: 0,
          topic: 't',
          partitions: this.leaders.map((leader, partition) => ({ error: 0, partition, leader, replicas: [], isr: [] }))
        }
      ]
    }))
    this.wire.on(
      'Fetch',
      (request, { node, lane }) =>
        new Promise((resolve, reject) => {
          this.parked.push({
            node,
            lane,
            request,
            answer: async (...partitions) => {
              resolve({ error: 0, topics: [{ topic: 't', partitions: partitions.map(whole) }] })
              await settle()
            },
            fail: async (error) => {
              reject(error)
              await settle()
            }
          })
        })
    )
    this.reader = new FetchReader(
      this.cluster,
      {
        isolation: 'committed',
        lane: 'source',
        onError: (error, where) => this.errors.push([error, where]),
        ...options
      },
      'source'
    )
  }

  /** `offset` of each partition the n-th Fetch asks for, in its order. */
  asked(n: number): Record<number, number> {
    return Object.fromEntries(this.parked[n]!.request.topics[0]!.partitions.map((p) => [p.partition, p.offset]))
  }
}

const whole = (p: Partial<Partition>): Partition => ({
  partition: 0,
  error: 0,
  highWatermark: 0,
  lastStableOffset: 0,
  logStartOffset: 0,
  aborted: [],
  records: Buffer.alloc(0),
  ...p
})

const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await nextTurn()
}

function collect(): { batches: Batch[]; sink: (batch: Batch) => void; seen: () => string[] } {
  const batches: Batch[] = []
  return { batches, sink: (b) => batches.push(b), seen: () => rows(batches) }
}

describe('reader', () => {
  it('asks for all partitions of a broker in one Fetch and goes on behind the last batch', async () => {
    const b = new Bench()
    const [p0, p1] = [collect(), collect()]
    b.reader.add(tp(0), 0, p0.sink)
    b.reader.add(tp(1), 7, p1.sink)
    await settle()
    expect(b.parked).to.have.length(1)
    expect(b.asked(0)).to.deep.equal({ 0: 0, 1: 7 })
    await b.parked[0]!.answer(
      { partition: 0, records: data(0, -1, 'a', 'b'), highWatermark: 9, lastStableOffset: 8 },
      { partition: 1, highWatermark: 7, lastStableOffset: 7 }
    )
    expect(p0.seen()).to.deep.equal(['0=a', '1=b'])
    expect(p0.batches[0]).to.include({ topic: 't', partition: 0, next: 2, hw: 9, lso: 8 })
    expect(p0.batches[0]!.bytes).to.be.greaterThan(0)
    expect(b.asked(1)).to.deep.equal({ 1: 7, 0: 2 })
    await b.reader.close()
  })

  it('keeps no large answer alive for a partition that has a small share in it', async () => {
    const b = new Bench()
    const p0 = collect()
    b.reader.add(tp(0), 0, p0.sink)
    await settle()
    const answer = Buffer.alloc(1 << 20)
    const share = data(0, -1, 'a', 'b')
    share.copy(answer)
    await b.parked[0]!.answer({ partition: 0, records: answer.subarray(0, share.length) })
    expect(p0.seen()).to.deep.equal(['0=a', '1=b'])
    expect(p0.batches[0]!.records.bytes.buffer.byteLength, 'at most one of Node’s small pools').to.be.below(
      answer.length / 4
    )
    await b.reader.close()
  })

  it('tells where the log ends even when there is nothing to read, but once', async () => {
    const b = new Bench()
    const p0 = collect()
    b.reader.add(tp(0), 5, p0.sink)
    await settle()
    for (let i = 0; i < 3; i++) await b.parked[i]!.answer({ highWatermark: 5, lastStableOffset: 5 })
    expect(p0.batches.map((x) => [x.next, x.lso, x.hw, x.records.count])).to.deep.equal([[5, 5, 5, 0]])
    await b.reader.close()
  })

  it('moves past markers and aborted data and says so', async () => {
    const b = new Bench()
    const p0 = collect()
    b.reader.add(tp(0), 0, p0.sink)
    await settle()
    const records = Buffer.concat([data(0, 7, 'no'), marker(1, 7, 'abort')])
    await b.parked[0]!.answer({ records, aborted: [{ producerId: 7, firstOffset: 0 }] })
    expect(p0.batches.map((x) => [x.next, x.records.count])).to.deep.equal([[2, 0]])
    expect(b.asked(1)).to.deep.equal({ 0: 2 })
    await b.reader.close()
  })

  it('puts a partition that got records behind those that did not', async () => {
    const b = new Bench()
    for (const p of [0, 1, 2]) b.reader.add(tp(p), 0, () => {})
    await settle()
    await b.parked[0]!.answer({ partition: 0, records: data(0, -1, 'x') }, { partition: 1 }, { partition: 2 })
    expect(b.parked[1]!.request.topics[0]!.partitions.map((p) => p.partition)).to.deep.equal([1, 2, 0])
    await b.reader.close()
  })

  it('leaves out what is paused, and asks for what wakes at once beside the parked Fetch', async () => {
    const b = new Bench()
    for (const p of [0, 1]) b.reader.add(tp(p), 0, () => {})
    b.reader.pause(tp(1))
    await settle()
    expect(b.asked(0)).to.deep.equal({ 0: 0 })
    b.reader.resume(tp(1))
    await settle()
    expect(b.asked(1)).to.deep.equal({ 1: 0 })
    expect(b.parked.map((f) => f.lane)).to.deep.equal(['source', 'source:express'])
    expect(b.parked[1]!.request.maxWaitMs).to.be.at.most(50)
    // When nothing is going on, both come together again on the long poll.
    await b.parked[0]!.answer({ partition: 0 })
    expect(b.parked).to.have.length(2)
    await b.parked[1]!.answer({ partition: 1 })
    expect(b.parked).to.have.length(3)
    expect(b.asked(2)).to.deep.equal({ 0: 0, 1: 0 })
    expect(b.parked[2]!.lane).to.equal('source')
    await b.reader.close()
  })

  it('has at most one Fetch in flight per connection, and none twice for a partition', async () => {
    const b = new Bench()
    for (const p of [0, 1, 2]) {
      b.reader.add(tp(p), 0, () => {})
      await settle()
    }
    expect(b.parked.map((f) => f.lane)).to.deep.equal(['source', 'source:express'])
    await b.parked[1]!.answer({ partition: 1 })
    expect(b.asked(2)).to.deep.equal({ 1: 0, 2: 0 })
    await b.reader.close()
  })

  it('drops the answer for a partition that was removed or added anew meanwhile', async () => {
    const b = new Bench()
    const [old, anew, gone] = [collect(), collect(), collect()]
    b.reader.add(tp(0), 0, old.sink)
    b.reader.add(tp(1), 0, gone.sink)
    await settle()
    b.reader.add(tp(0), 100, anew.sink)
    b.reader.remove(tp(1))
    await b.parked[0]!.answer(
      { partition: 0, records: data(0, -1, 'old'), highWatermark: 1 },
      { partition: 1, records: data(0, -1, 'gone'), highWatermark: 1 }
    )
    expect([old.batches, anew.batches, gone.batches].map((x) => x.length)).to.deep.equal([0, 0, 0])
    expect(b.asked(1)).to.deep.equal({ 0: 100 })
    await b.reader.close()
  })

  it('stops delivering when the receiver removes the partition', async () => {
    const b = new Bench()
    let calls = 0
    b.reader.add(tp(0), 0, () => {
      calls++
      b.reader.remove(tp(0))
    })
    await settle()
    await b.parked[0]!.answer({ records: data(0, -1, 'x'), highWatermark: 1 })
    expect(calls).to.equal(1)
    expect(b.parked).to.have.length(1)
    await b.reader.close()
  })

  it('reports an offset out of range for that partition alone', async () => {
    const b = new Bench()
    for (const p of [0, 1]) b.reader.add(tp(p), 3, () => {})
    await settle()
    await b.parked[0]!.answer({ partition: 0, error: 1, highWatermark: -1 }, { partition: 1 })
    expect(b.errors.map(([e, where]) => [e.fault, tpKey(where!.topic, where!.partition)])).to.deep.equal([
      ['out-of-range', 't-0']
    ])
    expect(b.asked(1)).to.deep.equal({ 1: 3 })
    await b.reader.close()
  })

  it('follows a partition to its new leader', async () => {
    const b = new Bench()
    b.reader.add(tp(0), 3, () => {})
    await settle()
    b.leaders = [2, 1, 1, 1]
    await b.parked[0]!.answer({ error: 6 })
    await b.clock.advance(100)
    expect(b.parked[1]).to.include({ node: 2 })
    expect(b.asked(1)).to.deep.equal({ 0: 3 })
    expect(b.errors).to.deep.equal([])
    await b.reader.close()
  })

  it('looks for the leader again after a lost connection, and goes on where it was', async () => {
    const b = new Bench()
    b.reader.add(tp(0), 3, () => {})
    await settle()
    b.leaders = [2, 2, 2, 2]
    await b.parked[0]!.fail(new TransportError('lost', 'retriable'))
    await b.clock.advance(100)
    expect(b.parked[1]).to.include({ node: 2 })
    expect(b.errors).to.deep.equal([])
    await b.reader.close()
  })

  it('lets a broker rest that cannot be reached', async () => {
    const b = new Bench()
    b.reader.add(tp(0), 3, () => {})
    await settle()
    for (let i = 0; i < 4; i++) {
      await b.parked[i]!.fail(new TransportError('lost', 'retriable'))
      expect(b.parked).to.have.length(i + 1)
      await b.clock.advance(9 * 2 ** i)
      expect(b.parked, 'not before half of the pause').to.have.length(i + 1)
      await b.clock.advance(20 * 2 ** i)
      expect(b.parked).to.have.length(i + 2)
    }
    await b.reader.close()
  })

  it('D12: fetches a damaged batch once more, then gives the partition up, the good records delivered', async () => {
    const b = new Bench()
    const p0 = collect()
    b.reader.add(tp(0), 0, p0.sink)
    await settle()
    const bad = data(1, -1, 'bad')
    bad[bad.length - 2]! ^= 1
    await b.parked[0]!.answer({ records: Buffer.concat([data(0, -1, 'good'), bad]) })
    expect(p0.seen()).to.deep.equal(['0=good'])
    expect(b.errors).to.deep.equal([])
    await b.clock.advance(100)
    expect(b.asked(1)).to.deep.equal({ 0: 1 })
    await b.parked[1]!.answer({ records: bad })
    expect(b.errors).to.have.length(1)
    expect(b.errors[0]![0]).to.include({ fault: 'fatal', code: 'ERR_TRANSPORT_CORRUPT' })
    expect(b.errors[0]![0].details).to.include({ topic: 't', partition: 0, offset: 1 })
    await b.clock.advance(1_000)
    expect(b.parked).to.have.length(2)
    await b.reader.close()
  })

  it('D12: a batch that was damaged on the way only is read at the second try', async () => {
    const b = new Bench()
    const p0 = collect()
    b.reader.add(tp(0), 0, p0.sink)
    await settle()
    const bad = data(0, -1, 'x')
    bad[bad.length - 2]! ^= 1
    await b.parked[0]!.answer({ records: bad })
    await b.clock.advance(100)
    await b.parked[1]!.answer({ records: data(0, -1, 'x') })
    expect(p0.seen()).to.deep.equal(['0=x'])
    expect(b.errors).to.deep.equal([])
    await b.reader.close()
  })

  it('makes a receiver that throws a fatal error of its partition', async () => {
    const b = new Bench()
    b.reader.add(tp(0), 0, () => {
      throw new Error('queue broken')
    })
    await settle()
    await b.parked[0]!.answer({ records: data(0, -1, 'x') })
    expect(b.errors[0]![0]).to.include({ fault: 'fatal' })
    expect(b.errors[0]![0].message).to.include('queue broken')
    await b.reader.close()
  })

  it('gives each broker its own Fetch', async () => {
    const b = new Bench()
    b.leaders = [1, 2, 1, 2]
    for (const p of [0, 1, 2, 3]) b.reader.add(tp(p), p, () => {})
    await settle()
    // The first look-up answers all four, one by one; what came late may use the express lane.
    const asked = new Map<string, number[]>()
    for (const f of b.parked) {
      const key = String(f.node)
      asked.set(key, [...(asked.get(key) ?? []), ...f.request.topics[0]!.partitions.map((p) => p.partition)])
    }
    expect(asked.get('1')).to.have.members([0, 2])
    expect(asked.get('2')).to.have.members([1, 3])
    await b.reader.close()
  })

  it('refuses an offset that is no number: it would read from the start in silence', () => {
    const b = new Bench()
    expect(() => b.reader.add(tp(0), Number.NaN, () => {})).to.throw(RangeError, 't-0')
  })

  it('asks for nothing and reports nothing once it is closed', async () => {
    const b = new Bench()
    b.reader.add(tp(0), 0, () => {})
    await settle()
    const closing = b.reader.close()
    await b.parked[0]!.fail(new TransportError('closed', 'fatal'))
    await closing
    await b.clock.advance(5_000)
    expect(b.parked).to.have.length(1)
    expect(b.errors).to.deep.equal([])
    expect(() => b.reader.add(tp(0), 0, () => {})).to.throw(TransportError)
  })
})
