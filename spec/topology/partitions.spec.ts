/** Partition counts of tasks and internal topics, and the errors when they cannot fit. */
import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import { TopicError } from '../../lib/errors.ts'
import { string } from '../../lib/serde/index.ts'
import { resolvePartitions } from '../../lib/topology/partitions.ts'

const topicOf = (name: string) => topic(name, string())
const counts = (entries: Record<string, number>) => new Map(Object.entries(entries))

const joined = () => {
  const t = topology()
  t.stream(topicOf('flights'))
    .join(t.table(topicOf('airports'), { name: 'airports' }), (f) => f, { name: 'departures' })
    .to('out', { value: string() })
  return t.build('app')
}
const moved = () => {
  const t = topology()
  t.stream(topicOf('flights'))
    .selectKey(({ value }) => value, { key: string() })
    .join(t.table(topicOf('airports'), { name: 'airports' }), (f) => f, { name: 'departures' })
    .to('out', { value: string() })
  return t.build('app')
}

const refused = (build: () => unknown, code: string): TopicError => {
  try {
    build()
  } catch (error) {
    expect(error).to.be.instanceOf(TopicError)
    expect((error as TopicError).code).to.equal(code)
    return error as TopicError
  }
  return expect.fail('accepted')
}

describe('partitions', () => {
  it('a sub-topology has as many tasks as its largest source', () => {
    const t = topology()
    t.stream(topicOf('a'))
      .merge(t.stream(topicOf('b')))
      .to('out', { value: string() })
    expect(resolvePartitions(t.build('app'), counts({ a: 3, b: 5 })).tasks(0)).to.equal(5)
  })

  it('joined topics must have equal counts; the error names them and the mend', () => {
    expect(resolvePartitions(joined(), counts({ flights: 4, airports: 4 })).tasks(0)).to.equal(4)
    const error = refused(() => resolvePartitions(joined(), counts({ flights: 4, airports: 3 })), 'ERR_COPARTITION')
    expect(error.message).to.contain('flights (4), airports (3)').and.contain('repartition()')
    expect(error.details).to.deep.equal({ node: 'departures', counts: { flights: 4, airports: 3 } })
  })

  it('a repartition topic takes the count of what it is joined with', () => {
    const resolved = resolvePartitions(moved(), counts({ flights: 2, airports: 6 }))
    expect(resolved.partitions('app-departures-input-repartition')).to.equal(6)
    expect([resolved.tasks(0), resolved.tasks(1)]).to.deep.equal([2, 6])
    expect(resolved.internal.map((s) => [s.topic, s.partitions])).to.deep.equal([
      ['app-departures-input-repartition', 6],
      ['app-airports-changelog', 6]
    ])
  })

  it('a repartition topic that is joined with nothing takes the highest count upstream, through chains', () => {
    const t = topology()
    const first = t
      .stream(topicOf('a'))
      .merge(t.stream(topicOf('b')))
      .groupBy(({ value }) => value, { key: string(), name: 'first' })
      .count({ name: 'n' })
    first
      .toStream(({ value }) => String(value), { key: string() })
      .groupByKey({ name: 'second' })
      .count({ name: 'm' })
    const resolved = resolvePartitions(t.build('app'), counts({ a: 2, b: 7 }))
    expect(resolved.partitions('app-first-repartition')).to.equal(7)
    expect(resolved.partitions('app-second-repartition')).to.equal(7)
    expect(resolved.partitions('app-m-changelog')).to.equal(7)
  })

  it('two repartition topics that are joined get one count', () => {
    const t = topology()
    const table = t
      .stream(topicOf('a'))
      .selectKey(({ value }) => value, { key: string() })
      .toTable({ name: 'table' })
    t.stream(topicOf('b'))
      .selectKey(({ value }) => value, { key: string() })
      .join(table, (x) => x, { name: 'joined' })
      .to('out', { value: string() })
    const resolved = resolvePartitions(t.build('app'), counts({ a: 3, b: 8 }))
    expect(resolved.partitions('app-table-input-repartition')).to.equal(8)
    expect(resolved.partitions('app-joined-input-repartition')).to.equal(8)
  })

  it('repartition() takes the count of what it is joined with, else the highest upstream, unless it asks for one', () => {
    const build = (partitions?: number) => {
      const t = topology()
      t.stream(topicOf('a'))
        .repartition({ name: 'spread', ...(partitions === undefined ? {} : { partitions }) })
        .groupByKey()
        .count({ name: 'n' })
      return resolvePartitions(t.build('app'), counts({ a: 3 }))
    }
    expect([build().tasks(0), build().tasks(1)]).to.deep.equal([3, 3])
    expect([build(8).tasks(0), build(8).tasks(1)]).to.deep.equal([3, 8])
    expect(build(8).internal.map((s) => [s.topic, s.partitions])).to.deep.equal([
      ['app-spread-repartition', 8],
      ['app-n-changelog', 8]
    ])
  })

  describe('what ERR_COPARTITION advises works', () => {
    const two = (stream: number | null | undefined, table: number | null | undefined) => {
      const t = topology()
      const spread = (name: string, count: number | null | undefined) => {
        const s = t.stream(topicOf(name))
        if (count === undefined) return s // as the topic is
        return s.repartition({ name: `${name}-moved`, ...(count === null ? {} : { partitions: count }) })
      }
      spread('flights', stream)
        .join(spread('airports', table).toTable({ name: 'airports' }), (f) => f, { name: 'departures' })
        .to('out', { value: string() })
      return resolvePartitions(t.build('app'), counts({ flights: 4, airports: 3 }))
    }

    it('repartition() in front of the join, when topics of the user differ', () => {
      const { message } = refused(() => two(undefined, undefined), 'ERR_COPARTITION')
      expect(message).to.contain('flights (4), airports (3)').and.contain('repartition() in front of "departures"')
      expect(two(null, undefined).partitions('app-flights-moved-repartition')).to.equal(3)
    })

    it('the count that is named, or none, when repartition() asks for another than a topic of the user has', () => {
      const { message } = refused(() => two(5, undefined), 'ERR_COPARTITION')
      expect(message).to.contain('app-flights-moved-repartition (5), airports (3)')
      expect(message).to.contain('Ask for 3 partitions in repartition() (app-flights-moved-repartition)')
      expect(two(3, undefined).tasks(1)).to.equal(3)
      expect(two(null, undefined).tasks(1)).to.equal(3)
    })

    it('one count in both, or in one, when two repartition() ask for different ones', () => {
      const { message } = refused(() => two(5, 6), 'ERR_COPARTITION')
      expect(message).to.contain('app-flights-moved-repartition (5), app-airports-moved-repartition (6)')
      expect(message).to.contain('same count in each repartition()')
      expect(two(6, 6).partitions('app-flights-moved-repartition')).to.equal(6)
      expect(two(null, 6).partitions('app-flights-moved-repartition')).to.equal(6)
      expect(two(5, null).partitions('app-airports-moved-repartition')).to.equal(5)
    })

    it('stream().repartition().toTable(), when the table comes from topics that differ', () => {
      const build = (moved: boolean) => {
        const t = topology()
        const both = t.stream(topicOf('flights')).merge(t.stream(topicOf('airports')))
        t.stream(topicOf('other'))
          .join((moved ? both.repartition({ name: 'both' }) : both).toTable({ name: 'table' }), (f) => f, { name: 'j' })
          .to('out', { value: string() })
        return resolvePartitions(t.build('app'), counts({ flights: 4, airports: 3, other: 2 }))
      }
      const { message } = refused(() => build(false), 'ERR_COPARTITION')
      expect(message).to.contain('other (2), flights (4), airports (3)').and.contain('repartition().toTable()')
      expect(build(true).partitions('app-both-repartition')).to.equal(2)
    })
  })

  it('a missing source topic is named, with the nearest that exists', () => {
    const error = refused(() => resolvePartitions(joined(), counts({ flight: 4, airports: 4 })), 'ERR_MISSING_TOPIC')
    expect(error.message).to.contain('"flights" (did you mean "flight"?)')
    expect(error.details).to.deep.equal({ topics: ['flights'] })
  })

  it('an internal topic that exists with another count is refused', () => {
    const error = refused(
      () => resolvePartitions(moved(), counts({ flights: 2, airports: 6, 'app-airports-changelog': 4 })),
      'ERR_INTERNAL_TOPIC'
    )
    expect(error.message).to.contain('"app-airports-changelog" has 4 partitions, the topology needs 6')
    resolvePartitions(moved(), counts({ flights: 2, airports: 6, 'app-airports-changelog': 6 }))
  })

  it('internal topics let no event time be deleted by age', () => {
    for (const { topic: name, config } of resolvePartitions(moved(), counts({ flights: 1, airports: 1 })).internal) {
      expect(config['message.timestamp.before.max.ms'], name).to.equal('9223372036854775807')
      if (name.endsWith('-repartition')) expect(config).to.include({ 'cleanup.policy': 'delete', 'retention.ms': '-1' })
      else expect(config['cleanup.policy']).to.equal('compact')
    }
  })
})
