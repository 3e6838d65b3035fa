/** What is said at start about topics that lose records by event time. */
import { expect } from 'chai'
import { string, topic, topology } from '../../actors/index.ts'
import { embeddedTransport } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { prepare } from '../../lib/prepare/prepare.ts'
import { systemClock } from '../../lib/time.ts'

describe('preparing the topics of a job', () => {
  let transport: Transport

  beforeEach(() => {
    transport = embeddedTransport()
  })
  afterEach(() => transport.close())

  const job = () => {
    const t = topology()
    t.stream(topic('words', { value: string() }))
      .groupBy((record) => record.value, { name: 'by-word', key: string() })
      .count({ name: 'counts' })
      .toStream()
      .mapValues((count) => `${count}`)
      .to(topic('totals', { value: string() }))
    return t.build('job')
  }
  const create = (topics: Record<string, Record<string, string>>) =>
    transport.admin.create(
      Object.entries(topics).map(([name, config]) => ({ topic: name, partitions: 1, replication: -1, config }))
    )
  const warnings = async () =>
    (await prepare({ built: job(), transport, replicationFactor: -1, clock: systemClock })).warnings

  it('warns of an output topic that deletes by age, and says what to set', async () => {
    await create({ words: {}, totals: { 'retention.ms': '7200000' } })
    const told = await warnings()
    expect(told).to.have.length(1)
    expect(told[0]).to.match(/output topic "totals".* 2 h .*retention\.ms=-1/)
  })

  it('is silent about output that stays, is compacted or takes the time of the append', async () => {
    const kept = [
      { 'retention.ms': '-1' },
      { 'cleanup.policy': 'compact' },
      { 'message.timestamp.type': 'LogAppendTime' }
    ]
    for (const config of kept) {
      await create({ words: {}, totals: config })
      expect(await warnings()).to.eql([])
      await transport.admin.deleteTopics(['words', 'totals'])
    }
  })

  it('is silent about internal topics as it creates them, also at the next start', async () => {
    await create({ words: {}, totals: { 'retention.ms': '-1' } })
    expect(await warnings()).to.eql([])
    expect(await warnings()).to.eql([])
  })

  it('warns of internal topics made by hand that would lose what is still needed', async () => {
    await create({
      words: {},
      totals: { 'retention.ms': '-1' },
      'job-by-word-repartition': {},
      'job-counts-changelog': { 'cleanup.policy': 'compact,delete' }
    })
    const told = await warnings()
    expect(told).to.have.length(2)
    expect(told[0]).to.match(/repartition topic "job-by-word-repartition".* 168 h .*retention\.ms=-1/)
    expect(told[1]).to.match(/changelog topic "job-counts-changelog".* 168 h .*cleanup\.policy=compact/)
  })
})
