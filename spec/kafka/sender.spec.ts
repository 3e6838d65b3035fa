/**
 * The producer against a pretended cluster that loses requests and answers and moves leaders at random, under virtual time. Claims:
 * every acknowledged record is in its partition once and in order; a partition has never two batches under way; a broker never
 * has two requests of the same producer.
 */
import { expect } from 'chai'
import fc from 'fast-check'
import { TransportError } from '../../lib/errors.ts'
import { Cluster } from '../../lib/kafka/cluster.ts'
import type { Producer } from '../../lib/kafka/port.ts'
import { createProducer } from '../../lib/kafka/producer.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import { decodeBatches } from '../../lib/kafka/protocol/recordBatch.ts'
import type { ApiName, Lane, Node, Wire } from '../../lib/kafka/wire.ts'
import { type Random, seededRandom, VirtualClock } from '../../lib/time.ts'

const PARTITIONS = 5
const BROKERS = 3

/** Checks sequences as a broker does, and nothing else. */
class PretendedCluster implements Wire {
  readonly log: string[][] = Array.from({ length: PARTITIONS }, () => [])
  faults = 0 // share of calls that go wrong
  always: number | undefined // the way they go wrong, when not drawn
  readonly #leaders = Array.from({ length: PARTITIONS }, (_, p) => p % BROKERS)
  readonly #next = new Array<number>(PARTITIONS).fill(0)
  readonly #last: { sequence: number; offset: number }[] = []
  readonly #busy = new Set<string>()
  readonly #clock: VirtualClock
  readonly #random: Random

  constructor(clock: VirtualClock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  lane(): Lane {
    return {
      call: (node, api, request) => this.#call(node, api, request) as never,
      close: async () => {}
    }
  }

  async close(): Promise<void> {}

  async #call(node: Node, api: ApiName, request: unknown): Promise<unknown> {
    await this.#away()
    if (api === 'InitProducerId') return { error: 0, producerId: 1, producerEpoch: 0 }
    if (api === 'Metadata') return this.#metadata()
    return this.#produce(node as number, request as ApiMap['Produce']['request'])
  }

  #away(): Promise<void> {
    return new Promise((resolve) => this.#clock.setTimeout(resolve, 1 + Math.floor(this.#random() * 20)))
  }

  #metadata(): ApiMap['Metadata']['response'] {
    const partitions = this.#leaders.map((leader, partition) => ({
      error: 0,
      partition,
      leader,
      replicas: [],
      isr: []
    }))
    return { brokers: [], controllerId: 0, topics: [{ error: 0, topic: 't', partitions }] }
  }

  async #produce(node: number, request: ApiMap['Produce']['request']): Promise<ApiMap['Produce']['response']> {
    const lock = `broker ${node}`
    const names = [lock, ...request.topics[0]!.partitions.map((p) => `partition ${p.partition}`)]
    for (const name of names) {
      expect(this.#busy.has(name), `${name} has a request already`).to.equal(false)
      this.#busy.add(name)
    }
    try {
      const dice = this.#random() < this.faults ? (this.always ?? Math.floor(this.#random() * 5)) : -1
      if (dice === 0) throw new TransportError('refused', 'retriable')
      if (dice === 1) throw new TransportError('request lost', 'unknown-outcome')
      if (dice === 2) this.#leaders[Math.floor(this.#random() * PARTITIONS)] = Math.floor(this.#random() * BROKERS)
      const partitions = request.topics[0]!.partitions.map((p) => this.#append(node, p.partition, p.records))
      await this.#away()
      if (dice === 3) throw new TransportError('answer lost', 'unknown-outcome')
      return { topics: [{ topic: 't', partitions: dice === 4 ? partitions.slice(1) : partitions }] }
    } finally {
      for (const name of names) this.#busy.delete(name)
    }
  }

  #append(
    node: number,
    partition: number,
    records: Buffer
  ): { partition: number; error: number; baseOffset: number; logStartOffset: number } {
    const result = (error: number, baseOffset = -1) => ({ partition, error, baseOffset, logStartOffset: 0 })
    if (this.#leaders[partition] !== node) return result(6)
    const sequence = records.readInt32BE(53)
    const last = this.#last[partition]
    if (last?.sequence === sequence) return result(0, last.offset)
    if (sequence < this.#next[partition]!) return result(46)
    if (sequence > this.#next[partition]!) return result(45)
    const log = this.log[partition]!
    this.#last[partition] = { sequence, offset: log.length }
    const { pieces } = decodeBatches(records, { offset: 0, committed: false, aborted: [] })
    for (const { records: set } of pieces) {
      for (let i = 0; i < set.count; i++) log.push(set.value(i)!.toString())
    }
    this.#next[partition] = sequence + records.readInt32BE(57)
    return result(0, this.#last[partition]!.offset)
  }
}

async function open(
  seed: number,
  faults: number
): Promise<{ producer: Producer; wire: PretendedCluster; clock: VirtualClock }> {
  const clock = new VirtualClock(1)
  const random = seededRandom(seed)
  const wire = new PretendedCluster(clock, random)
  const cluster = new Cluster(wire, { clock, random })
  const producer = await run(clock, createProducer(cluster, { lane: 0, batchBytes: 1_024 }))
  wire.faults = faults
  return { producer, wire, clock }
}

/** Moves the clock until the promise is settled. */
async function run<T>(clock: VirtualClock, promise: Promise<T>): Promise<T> {
  let done = false
  const settled = promise.finally(() => {
    done = true
  })
  settled.catch(() => {})
  for (let i = 0; !done && i < 100_000; i++) await clock.advance(5)
  return settled
}

function put(producer: Producer, partition: number, value: string): void {
  const bytes = Buffer.from(value)
  producer.writer('t', partition).append(1, null, 0, 0, bytes, 0, bytes.length, [])
}

describe('sender', function () {
  this.timeout(60_000)

  it('writes each record once and in order through any mix of faults', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(1_000_000), fc.constantFrom(0, 0.2, 0.6), async (seed, faults) => {
        const { producer, wire, clock } = await open(seed, faults)
        const dice = seededRandom(seed + 1)
        const expected: string[][] = Array.from({ length: PARTITIONS }, () => [])
        for (let i = 0; i < 120; i++) {
          const partition = Math.floor(dice() * PARTITIONS)
          const value = `${i} ${'x'.repeat(Math.floor(dice() * 300))}`
          expected[partition]!.push(value)
          put(producer, partition, value)
          const act = dice()
          if (act < 0.1) producer.kick()
          else if (act < 0.13) await run(clock, producer.flush())
          else if (act < 0.2) await clock.advance(Math.floor(dice() * 50))
          else if (act < 0.25) await run(clock, producer.room(2_000))
        }
        await run(clock, producer.flush())
        expect(wire.log).to.deep.equal(expected)
        expect(producer.pendingBytes).to.equal(0)
      }),
      { numRuns: 40 }
    )
  })

  it('reports the offset after the last acknowledged record', async () => {
    const { producer, clock } = await open(1, 0)
    expect(producer.writer('t', 0).ackedNext).to.equal(-1)
    for (let i = 0; i < 3; i++) put(producer, 0, `${i}`)
    await run(clock, producer.flush())
    expect(producer.writer('t', 0).ackedNext).to.equal(3)
    expect(producer.writer('t', 0)).to.equal(producer.writer('t', 0))
  })

  it('sends full batches by themselves and an open one only when kicked', async () => {
    const { producer, wire, clock } = await open(2, 0)
    for (let i = 0; i < 12; i++) put(producer, 0, 'x'.repeat(100))
    await clock.advance(1_000)
    const sent = wire.log[0]!.length
    expect(sent).to.be.within(7, 11)
    producer.kick()
    await clock.advance(1_000)
    expect(wire.log[0]!.length).to.equal(12)
  })

  it('keeps what is appended after a seal until it is lifted, in batches of its own', async () => {
    const { producer, wire, clock } = await open(2, 0)
    for (let i = 0; i < 3; i++) put(producer, 0, `before ${i}`)
    const sealed = producer.seal()
    for (let i = 0; i < 12; i++) put(producer, 0, `after ${'x'.repeat(100)}`)
    put(producer, 1, 'after, on a partition that had nothing')
    producer.kick()
    await run(clock, sealed)
    await run(clock, producer.flush())
    await clock.advance(1_000)
    expect([wire.log[0]!.length, wire.log[1]?.length ?? 0, producer.writer('t', 0).ackedNext]).to.deep.equal([3, 0, 3])
    producer.unseal()
    await run(clock, producer.flush())
    expect([wire.log[0]!.length, wire.log[1]!.length]).to.deep.equal([15, 1])
  })

  for (const [what, way, fault] of [
    ['no connection could be made: it was not written', 0, 'retriable'],
    ['answers were lost: it may have been', 3, 'unknown-outcome'],
    ['the answers leave the partition out', 4, 'metadata']
  ] as const) {
    it(`gives up after the delivery time, for everybody who waits (${what})`, async () => {
      const { producer, wire, clock } = await open(3, 1)
      wire.always = way
      put(producer, 0, 'x')
      const began = clock.now()
      const waiting = Promise.allSettled([producer.flush(), producer.room(1)])
      for (const result of await run(clock, waiting)) {
        expect((result as PromiseRejectedResult).reason)
          .to.be.instanceOf(TransportError)
          .and.include({ fault })
      }
      expect(clock.now() - began).to.be.within(119_000, 125_000)
      expect(producer.pendingBytes).to.equal(0)
      expect(() => put(producer, 0, 'late')).to.throw(TransportError)
      await producer.close()
    })
  }
})
