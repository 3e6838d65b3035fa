import { expect } from 'chai'
import { string, topic, topology } from '../../actors/index.ts'
import { embeddedTransport } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { affectedTasks, completeTasks, prepare } from '../../lib/prepare/prepare.ts'
import { createTopics } from '../actors/jobKit.ts'

const job = () => {
  const t = topology()
  const left = t.stream(topic('left', { value: string() }))
  const right = t.table(topic('right', { value: string() }))
  left
    .join(right, (l, r) => `${l}${r}`)
    .groupBy((record) => record.value, { name: 'by', key: string() })
    .count({ name: 'counts' })
    .toStream()
    .mapValues(String)
    .to(topic('out', { value: string() }))
  return t.build('app')
}

describe('the preparation of topics', () => {
  let transport: Transport
  beforeEach(() => {
    transport = embeddedTransport()
  })
  afterEach(() => transport.close())
  const prepared = () => prepare({ built: job(), admin: transport.admin, replicationFactor: 1 })

  it('plans one task per partition and sub-topology, each with all of its sources, and creates internal topics', async () => {
    await createTopics(transport, { left: 3, right: 3, out: 1 })
    const { plans, partitionCount, sourceTopics } = await prepared()
    expect(plans.map((p) => p.id)).to.deep.equal(['0_0', '0_1', '0_2', '1_0', '1_1', '1_2'])
    expect(plans[1]!.sources).to.have.deep.members([
      { topic: 'left', partition: 1 },
      { topic: 'right', partition: 1 }
    ])
    expect(sourceTopics).to.have.members(['left', 'right', 'app-by-repartition'])
    expect(partitionCount('app-by-repartition')).to.equal(3)
    expect(partitionCount('out')).to.equal(1)
    const names = await transport.admin.topics()
    expect(names).to.include.members(['app-by-repartition', 'app-counts-changelog'])
  })

  it('changes nothing the second time', async () => {
    await createTopics(transport, { left: 2, right: 2, out: 1 })
    await prepared()
    const before = await transport.admin.topics()
    await prepared()
    expect(await transport.admin.topics()).to.deep.equal(before)
  })

  it('lets a task start only when all of its partitions are there, and end when one of them goes', async () => {
    await createTopics(transport, { left: 2, right: 2, out: 1 })
    const { plans } = await prepared()
    const tps = [
      { topic: 'left', partition: 0 },
      { topic: 'left', partition: 1 },
      { topic: 'right', partition: 1 }
    ]
    expect(completeTasks(plans, tps).map((p) => p.id)).to.deep.equal(['0_1'])
    expect(affectedTasks(plans, [{ topic: 'right', partition: 0 }]).map((p) => p.id)).to.deep.equal(['0_0'])
  })

  it('refuses topics of a join with different counts', async () => {
    await createTopics(transport, { left: 2, right: 3, out: 1 })
    const error = await prepared().catch((e) => e)
    expect(error.code).to.equal('ERR_COPARTITION')
  })

  it('names an output topic that is missing', async () => {
    await createTopics(transport, { left: 2, right: 2 })
    const error = await prepared().catch((e) => e)
    expect(error).to.include({ code: 'ERR_MISSING_TOPIC' })
    expect(error.message).to.contain('output topic "out"')
  })

  it('warns of an output topic that deletes by age, and only then', async () => {
    const spec = (name: string, config: Record<string, string>) => ({
      topic: name,
      partitions: 2,
      replication: 1,
      config
    })
    await transport.admin.create([spec('left', {}), spec('right', {}), spec('out', { 'retention.ms': '3600000' })])
    const about = async () => (await prepared()).warnings.filter((w) => w.includes('"out"'))
    expect(await about()).to.have.length(1)
    await transport.admin.alter('out', { 'retention.ms': '-1' })
    expect(await about()).to.deep.equal([])
    await transport.admin.alter('out', { 'retention.ms': '5', 'cleanup.policy': 'compact' })
    expect(await about()).to.deep.equal([])
  })
})
