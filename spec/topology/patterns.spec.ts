/** Sources by pattern: what matches, what is refused, and how many tasks there are. */
import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import { TopologyError } from '../../lib/errors.ts'
import { planOf } from '../../lib/prepare/prepare.ts'
import { string } from '../../lib/serde/index.ts'
import { drive } from '../../lib/testing/drive.ts'
import { bindPatterns } from '../../lib/topology/patterns.ts'

const orders = topic(/orders-[a-z]+/, string())
const counts = (entries: Record<string, number>) => new Map(Object.entries(entries))
const counting = () => {
  const t = topology()
  t.stream(orders).groupByKey().count({ name: 'n' })
  return t.build('app')
}
const spreading = () => {
  const t = topology()
  t.stream(orders)
    .groupBy(({ value }) => value, { key: string(), name: 'by-value' })
    .count({ name: 'n' })
  return t.build('app')
}
const refused = (build: () => unknown, text: string): void => {
  expect(build).to.throw(TopologyError).with.property('message').that.contains(text)
}

describe('Patterns', () => {
  it('match whole names, none of the broker’s own topics, and none of the job’s internal ones', () => {
    const t = topology()
    t.stream(topic(/.*orders.*/g, string()))
      .groupBy(({ value }) => value, { key: string(), name: 'orders' })
      .count({ name: 'orders-n' })
    const names = ['orders', '__orders', 'my-orders', 'app-orders-repartition', 'app-orders-n-changelog', 'other']
    const bound = bindPatterns(t.build('app'), names)
    expect(bound.subtopologies[0]!.sourceTopics).to.deep.equal(['my-orders', 'orders'])
    expect(bound.internalTopics.repartition[0]!.upstream).to.deep.equal(['my-orders', 'orders'])
    const part = bindPatterns(counting(), ['orders-a', 'orders-A', 'x-orders-a', 'orders-a-b'])
    expect(part.subtopologies[0]!.sourceTopics).to.deep.equal(['orders-a'])
  })

  it('have as many tasks as the largest topic, each with the topics that have its partition', () => {
    const { plans } = planOf(counting(), counts({ 'orders-a': 1, 'orders-b': 3, other: 9 }))
    expect(plans.map(({ id, sources }) => [id, sources.map((tp) => tp.topic)])).to.deep.equal([
      ['0_0', ['orders-a', 'orders-b']],
      ['0_1', ['orders-b']],
      ['0_2', ['orders-b']]
    ])
  })

  it('may match nothing: then nothing is made for what follows from them', () => {
    for (const built of [counting(), spreading()]) {
      const { plans, internal, counts: read } = planOf(built, counts({ other: 2 }))
      expect(plans).to.deep.equal([])
      expect(internal).to.deep.equal([])
      expect([...read.values()].every((count) => count === 0)).to.equal(true)
    }
  })

  it('leave a repartition topic as it is when a larger topic comes; a changelog refuses it', () => {
    const there = { 'app-by-value-repartition': 2, 'app-n-changelog': 2 }
    const { plans, internal } = planOf(spreading(), counts({ 'orders-a': 2, 'orders-b': 5, ...there }))
    expect(plans.map(({ id }) => id)).to.deep.equal(['0_0', '0_1', '0_2', '0_3', '0_4', '1_0', '1_1'])
    expect(internal.map((spec) => spec.partitions)).to.deep.equal([2, 2])
    expect(() => planOf(counting(), counts({ 'orders-a': 5, 'app-n-changelog': 2 })))
      .to.throw()
      .with.property('code', 'ERR_INTERNAL_TOPIC')
  })

  it('are one source where they are equal, and one of two where they are not', () => {
    const t = topology()
    t.stream(orders)
      .merge(t.stream(orders))
      .foreach(() => {})
    t.stream(topic(/orders-.+/, string())).foreach(() => {})
    const built = t.build('app')
    expect(built.subtopologies.map((sub) => sub.sourceTopics)).to.deep.equal([['/orders-[a-z]+/'], ['/orders-.+/']])
    refused(() => bindPatterns(built, ['orders-a']), 'matches /orders-.+/ of source')
    expect(bindPatterns(built, ['orders-1']).subtopologies.map((sub) => sub.sourceTopics)).to.deep.equal([
      [],
      ['orders-1']
    ])
  })

  it('are refused for tables, beside the name of a topic they match, and in joins', () => {
    const t = topology()
    refused(() => t.table(orders as never), 'A table (')
    refused(() => t.globalTable(orders as never), 'A global table (')
    t.stream(orders)
    refused(() => t.stream(topic('orders-a', string())), 'by its name and by the pattern /orders-[a-z]+/')
    const other = topology()
    const table = other.table(topic('names', string()))
    other.stream(orders).join(table, (order) => order)
    refused(() => other.build('app'), 'Put repartition() in front of the join')
    const moved = topology()
    const names = moved.table(topic('names', string()))
    moved
      .stream(orders)
      .repartition({ name: 'moved' })
      .join(names, (order) => order)
    expect(
      planOf(moved.build('app'), counts({ 'orders-a': 2, names: 4 })).counts.get('app-moved-repartition')
    ).to.equal(4)
  })

  it('stand in describe() as they are', () => {
    const t = topology()
    t.stream(orders).to('all', { value: string() })
    expect(t.describe()).to.contain('a task for each partition of /orders-[a-z]+/').and.contain('from /orders-[a-z]+/')
  })

  it('take records of every topic that matches in the driver, which says where they came from', async () => {
    const t = topology()
    t.stream(orders)
      .processValues((record, context) => context.forward({ value: `${context.source!.topic} ${record.value}` }))
      .to('all')
    const d = await drive(t, { partitions: { 'orders-b': 2 } })
    await d.send(topic('orders-a', string()), 'k', 'one')
    await d.send(topic('orders-b', string()), 'k', 'two', { partition: 1 })
    await d.send(topic('orders-c', string()), 'k', 'three')
    expect(d.output('all').map(({ value }) => value)).to.deep.equal(['orders-a one', 'orders-b two', 'orders-c three'])
    let refusal: unknown
    await d.send(topic('orders-1', string()), 'k', 'none').catch((error) => {
      refusal = error
    })
    expect((refusal as Error).message).to.contain('does not read the topic "orders-1"')
  })
})
