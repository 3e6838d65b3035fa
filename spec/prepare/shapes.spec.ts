/** What the last version of a job left is held against the next one at its start, on the embedded log. */
import { expect } from 'chai'
import { long, string, type TopologyBuilder, topic, topology, tumbling } from '../../actors/index.ts'
import { embeddedTransport } from '../../lib/embedded/index.ts'
import { MillraceError } from '../../lib/errors.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { prepare } from '../../lib/prepare/prepare.ts'
import { systemClock } from '../../lib/time.ts'

describe('the start of another version of a job', () => {
  let transport: Transport

  beforeEach(async () => {
    transport = embeddedTransport()
    const kept = { 'retention.ms': '-1' }
    await transport.admin.create(
      ['words', 'totals'].map((name) => ({ topic: name, partitions: 2, replication: -1, config: kept }))
    )
  })
  afterEach(() => transport.close())

  type Define = (t: TopologyBuilder) => void
  const start = async (define: Define, topologyChange: 'refuse' | 'accept' = 'refuse'): Promise<readonly string[]> => {
    const t = topology()
    define(t)
    const options = { built: t.build('job'), transport, replicationFactor: -1, topologyChange, clock: systemClock }
    return (await prepare(options)).warnings
  }
  const refused = (define: Define): Promise<MillraceError> =>
    start(define).then(
      () => expect.fail('it started'),
      (error) => error as MillraceError
    )
  const words = topic('words', string())
  const counted =
    (size: string, name = 'counts'): Define =>
    (t) =>
      void t
        .stream(words)
        .groupByKey()
        .windowedBy(tumbling(size as '5m'))
        .count({ name })

  it('goes through as long as the topology fits, and a stateless job keeps nothing', async () => {
    await start((t) => t.stream(words).to(topic('totals', string())))
    expect(await transport.admin.topics()).to.have.members(['words', 'totals'])
    await start(counted('5m'))
    await start(counted('5m'))
    const tp = { topic: 'job-topology-changelog', partition: 0 }
    expect([...(await transport.offsets([tp], 'hw')).values()], 'one record, written once').to.deep.equal([1])
  })

  it('is refused with ERR_TOPOLOGY_CHANGED: what changed and the ways out, before any topic is created; with the state directory nowhere', async () => {
    await start(counted('5m'))
    const error = await refused((t) => {
      counted('10m')(t)
      t.stream(words)
        .groupBy((r) => r.value, { name: 'by-word', key: string() })
        .count({ name: 'other' })
    })
    expect(error).to.be.instanceOf(MillraceError)
    expect(error.code).to.equal('ERR_TOPOLOGY_CHANGED')
    expect(error.message).to.match(
      /The store "counts": its windows span 600000 now, were 300000; .*name of its own.*new application id.*topologyChange: 'accept'/
    )
    expect((await transport.admin.topics()).filter((name) => /other|by-word/.test(name))).to.deep.equal([])
    expect(await start(counted('10m', 'wider')), 'under another name').to.deep.equal([])
  })

  it('goes through with a warning where the change is accepted, once', async () => {
    await start(counted('5m'))
    const warnings = await start(counted('10m'), 'accept')
    expect(warnings.join()).to.match(/its windows span 600000 now.*Accepted/)
    expect(await start(counted('10m'))).to.deep.equal([])
  })

  it('knows a store that was left out for a version, whose state has a gap', async () => {
    await start(counted('5m'))
    await start((t) => t.stream(words).to(topic('totals', string())))
    expect((await refused(counted('5m'))).message).to.match(/"counts": it was not part of the version that ran last/)
  })

  it('is refused when the partitions of an input have changed under its state', async () => {
    await start(counted('5m'))
    await transport.admin.addPartitions('words', 3)
    const error = await refused(counted('5m'))
    expect(error.code).to.equal('ERR_INTERNAL_TOPIC')
    expect(error.message).to.match(
      /"job-counts-changelog" has 2 partitions, the topology needs 3.*reset application "job"/
    )
  })

  it('keeps its record apart from stores', () => {
    const t = topology()
    t.stream(words).groupByKey().count({ name: 'topology', value: long() })
    expect(() => t.build('job')).to.throw(/"job-topology-changelog" is used twice/)
  })

  it('warns of a repartition topic made by hand that is compacted', async () => {
    const config = { 'cleanup.policy': 'compact' }
    await transport.admin.create([{ topic: 'job-by-word-repartition', partitions: 2, replication: -1, config }])
    const warnings = await start((t) =>
      t
        .stream(words)
        .groupBy((r) => r.value, { name: 'by-word', key: string() })
        .count({ name: 'counts' })
    )
    expect(warnings).to.have.length(1)
    expect(warnings[0]).to.match(/"job-by-word-repartition" is compacted: .*Set cleanup\.policy=delete/)
  })
})
