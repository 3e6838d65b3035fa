import { expect } from 'chai'
import { TransportError } from '../../lib/errors.ts'
import { Cluster } from '../../lib/kafka/cluster.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import { retry } from '../../lib/kafka/retry.ts'
import { seededRandom, VirtualClock } from '../../lib/time.ts'
import { ScriptedWire } from './scriptedWire.ts'

type Topics = ApiMap['Metadata']['response']['topics']

const topic = (name: string, leaders: number[], error = 0): Topics[number] => ({
  error,
  topic: name,
  partitions: leaders.map((leader, partition) => ({ error: 0, partition, leader, replicas: [1], isr: [1] }))
})

function setup(...answers: Topics[]): { cluster: Cluster; wire: ScriptedWire; clock: VirtualClock } {
  const clock = new VirtualClock()
  const wire = new ScriptedWire()
  let n = 0
  wire.on('Metadata', async () => ({
    brokers: [],
    controllerId: 1,
    topics: answers[Math.min(n++, answers.length - 1)]!
  }))
  return { cluster: new Cluster(wire, { clock, random: seededRandom(1) }), wire, clock }
}

describe('cluster', () => {
  it('asks once for a leader and remembers it until told to forget', async () => {
    const { cluster, wire } = setup([topic('a', [1, 2])], [topic('a', [1, 3])])
    expect(cluster.cachedLeader('a', 1)).to.equal(-1)
    expect(await cluster.leader('a', 1)).to.equal(2)
    expect(await cluster.leader('a', 0)).to.equal(1)
    expect(wire.count('Metadata')).to.equal(1)
    cluster.invalidate('a')
    expect(cluster.cachedLeader('a', 1)).to.equal(-1)
    expect(await cluster.leader('a', 1)).to.equal(3)
  })

  it('puts questions asked at the same time into one request', async () => {
    const { cluster, wire } = setup([topic('a', [1]), topic('b', [2]), topic('c', [3])])
    await Promise.all([cluster.leader('a', 0), cluster.leader('b', 0), cluster.leader('c', 0)])
    expect(wire.count('Metadata')).to.equal(1)
  })

  it('waits for an election', async () => {
    const { cluster, clock } = setup([topic('a', [-1])], [topic('a', [], 5)], [topic('a', [7])])
    const leader = cluster.leader('a', 0)
    await clock.advance(1_000)
    expect(await leader).to.equal(7)
  })

  it('gives up with fault metadata when no leader comes', async () => {
    const { cluster, clock } = setup([topic('a', [-1])])
    const leader = cluster.leader('a', 0).catch((error: unknown) => error)
    await clock.advance(40_000)
    expect(await leader)
      .to.be.instanceOf(TransportError)
      .with.property('fault', 'metadata')
  })

  it('says that a partition is beyond the topic', async () => {
    const { cluster, clock } = setup([topic('a', [1])])
    const leader = cluster.leader('a', 5).catch((error: Error) => error.message)
    await clock.advance(40_000)
    expect(await leader).to.include('has 1 partitions')
  })

  it('counts partitions; a topic that does not exist has none', async () => {
    const { cluster } = setup([topic('a', [1, 1]), topic('no', [], 3)])
    expect(await cluster.partitionCount('a')).to.equal(2)
    expect(await cluster.partitionCount('no')).to.equal(0)
  })

  it('throws what is not allowed at once', async () => {
    const { cluster } = setup([topic('a', [], 29)])
    const error = await cluster.partitionCount('a').catch((e: unknown) => e)
    expect(error).to.include({ fault: 'fatal', kafkaCode: 29 })
  })

  it('remembers coordinators, looks again when told, and waits while they load', async () => {
    const { cluster, wire, clock } = setup([])
    const answers = [
      { error: 15, nodeId: -1 },
      { error: 0, nodeId: 4 },
      { error: 0, nodeId: 5 }
    ]
    wire.on('FindCoordinator', async () => answers.shift()!)
    const first = cluster.coordinator('group', 'g')
    await clock.advance(1_000)
    expect(await first).to.equal(4)
    expect(await cluster.coordinator('group', 'g')).to.equal(4)
    cluster.forgetCoordinator('group', 'g')
    expect(await cluster.coordinator('group', 'g')).to.equal(5)
    expect(answers).to.have.length(0)
  })
})

describe('retry', () => {
  const passing = (): TransportError => new TransportError('again', 'retriable')

  it('pauses longer and longer, at most maxMs, and ends in time with the last error', async () => {
    const clock = new VirtualClock()
    const at: number[] = []
    const result = retry({ clock, random: () => 1 }, { what: 'x', baseMs: 10, maxMs: 50, timeoutMs: 200 }, () => {
      at.push(clock.now())
      throw passing()
    }).catch((error: unknown) => error)
    await clock.advance(1_000)
    expect(at.slice(0, 4).map(Math.round)).to.deep.equal([0, 10, 26, 52])
    const pauses = at.slice(1).map((t, i) => t - at[i]!)
    expect(Math.max(...pauses)).to.be.at.most(50)
    expect(await result).to.have.nested.property('details.attempts', at.length)
    expect(at.at(-1)).to.be.at.most(200)
  })

  it('passes an error through that trying again does not mend', async () => {
    let calls = 0
    const error = await retry({ clock: new VirtualClock(), random: () => 1 }, { what: 'x' }, () => {
      calls++
      throw new TransportError('no', 'fatal')
    }).catch((e: unknown) => e)
    expect(error).to.have.property('fault', 'fatal')
    expect(calls).to.equal(1)
  })

  it('ends when its signal does', async () => {
    const abort = new AbortController()
    const result = retry({ clock: new VirtualClock(), random: () => 1 }, { what: 'x', signal: abort.signal }, () => {
      throw passing()
    }).catch((e: unknown) => e)
    abort.abort(new Error('stop'))
    expect(await result).to.have.property('message', 'stop')
  })
})
