/** What a topology refuses, and what it gives: names, sub-topologies, internal topics, the text for people. */
import { expect } from 'chai'
import { keyValueStore, topic, topology, tumbling } from '../../lib/dsl/index.ts'
import { TopologyError } from '../../lib/errors.ts'
import { json, long, string, windowed } from '../../lib/serde/index.ts'
import { Topology } from '../../lib/topology/graph.ts'

interface Flight {
  origin: string
  delay: number
}
const flights = topic('flights', { key: string(), value: json<Flight>() })
const airports = topic('airports', { key: string(), value: json<{ state: string }>() })
const noop = () => ({ process() {} })
const source = (name: string, topics = [name]) => ({ name, topics, key: string(), value: string() })

const refused = (code: string, build: () => unknown): TopologyError => {
  try {
    build()
  } catch (error) {
    expect(error).to.be.instanceOf(TopologyError)
    expect((error as TopologyError).code).to.equal(code)
    return error as TopologyError
  }
  return expect.fail('accepted')
}

describe('a topology refuses', () => {
  it('a name used twice, and names both places', () => {
    const t = topology()
    t.stream(flights).groupByKey().count({ name: 'n' })
    const error = refused('ERR_TOPOLOGY_DUPLICATE', () => t.stream(flights).groupByKey().count({ name: 'n' }))
    expect(error.message).to.match(
      /"n" is used twice: at spec\/topology\/graph\.spec\.ts:\d+ and at spec\/topology\/graph\.spec\.ts:\d+/
    )
    const places = error.details.places as string[]
    expect(places[0]).not.to.equal(places[1])
  })

  it('two stores of one name, unless they are one definition', () => {
    const a = keyValueStore('totals', { key: string(), value: long() })
    const b = keyValueStore('totals', { key: string(), value: long() })
    const t = topology()
    t.stream(flights).process(() => {}, { stores: [a] })
    t.stream(flights).process(() => {}, { stores: [a] })
    refused('ERR_TOPOLOGY_DUPLICATE', () => t.stream(flights).process(() => {}, { stores: [b] }))
  })

  it('a topic read with two sets of serdes, but not the same topic read twice', () => {
    const t = topology()
    t.stream(flights).to('a')
    t.table(flights).toStream().to('b')
    const error = refused('ERR_TOPOLOGY_SOURCE', () => t.stream(topic('flights', string())))
    expect(error.message).to.contain('different serdes')
    expect(t.build('app').subtopologies[0]!.sourceTopics).to.deep.equal(['flights'])
  })

  it('unknown parents, sinks as parents, unknown and unused stores', () => {
    const g = new Topology()
    g.addSource(source('in'))
    g.addSink({ name: 'end', parents: ['in'], topic: 'out', key: string(), value: string() })
    refused('ERR_TOPOLOGY_PARENT', () => g.addProcessor({ name: 'x', parents: ['end'], create: noop }))
    expect(
      refused('ERR_TOPOLOGY_PARENT', () => g.addProcessor({ name: 'x', parents: ['inn'], create: noop })).message
    ).to.contain('did you mean "in"')
    refused('ERR_TOPOLOGY_PARENT', () => g.addProcessor({ name: 'x', parents: [], create: noop }))
    refused('ERR_TOPOLOGY_STORE', () => g.addProcessor({ name: 'x', parents: ['in'], stores: ['none'], create: noop }))
    refused('ERR_TOPOLOGY_SOURCE', () => g.addSource(source('again', ['in'])))
    g.addStore({ name: 'idle', kind: 'keyValue', key: string(), value: string(), caching: true, logged: true })
    refused('ERR_TOPOLOGY_STORE', () => g.build('app'))
  })

  it('names that cannot be part of a topic', () => {
    const grouped = topology().stream(flights).groupByKey()
    for (const name of ['', '..', 'a b', 'ä', 'x'.repeat(250)]) {
      refused('ERR_TOPOLOGY_NAME', () => grouped.count({ name }))
    }
    const t = topology()
    t.stream(flights)
      .groupByKey()
      .count({ name: 'x'.repeat(240) })
    refused('ERR_TOPOLOGY_NAME', () => t.build('app'))
    refused('ERR_TOPOLOGY_NAME', () => t.build('my app'))
    refused('ERR_TOPOLOGY_EMPTY', () => topology().build('app'))
  })

  it('a partition count that cannot be', () => {
    for (const partitions of [0, -1, 1.5, Number.NaN]) {
      const error = refused('ERR_TOPOLOGY_PARTITIONS', () => topology().stream(flights).repartition({ partitions }))
      expect(error.message).to.contain(`asks for ${partitions} partitions`)
    }
    refused('ERR_TOPOLOGY_DUPLICATE', () => {
      const s = topology().stream(flights)
      s.repartition({ name: 'twice' })
      s.repartition({ name: 'twice' })
    })
  })

  it('a changed key without a serde where it must be written, and says where it was changed', () => {
    const t = topology()
    const moved = t.stream(flights).selectKey(({ value }) => value.origin, { name: 'by-origin' })
    const error = refused('ERR_TOPOLOGY_SERDE', () => moved.groupByKey())
    expect(error.message).to.contain('"by-origin"').and.contain('{ key: string() }')
    refused('ERR_TOPOLOGY_SERDE', () => moved.repartition())
    refused('ERR_TOPOLOGY_SERDE', () => moved.to('x'))
    refused('ERR_TOPOLOGY_SERDE', () =>
      t
        .stream(flights)
        .mapValues((f) => f.delay)
        .to('x')
    )
    const untyped = (s: unknown) => (s as { groupBy(f: () => string): unknown }).groupBy(() => 'x')
    refused('ERR_TOPOLOGY_SERDE', () => untyped(t.stream(flights)))
    moved.groupByKey({ key: string() }).count()
  })
})

describe('a topology gives', () => {
  it('names from the place of the operator, which operators elsewhere do not move', () => {
    const names = (before: boolean): string[] => {
      const t = topology()
      if (before)
        t.table(airports)
          .filter(() => true)
          .toStream()
          .to('x')
      const s = before
        ? t
            .stream(flights)
            .filter(() => true)
            .peek(() => {})
        : t.stream(flights)
      s.groupByKey().count()
      s.groupBy(({ value }) => value.origin, { key: string() })
        .windowedBy(tumbling('1m'))
        .count()
      const { internalTopics } = t.build('app')
      return [...internalTopics.repartition, ...internalTopics.changelogs].map(({ topic }) => topic)
    }
    expect(names(false)).to.deep.equal([
      'app-flights-by-repartition',
      'app-flights-count-changelog',
      'app-flights-by-count-changelog'
    ])
    expect(names(true)).to.deep.equal(names(false))
  })

  it('one topic per repartition(), none behind it, and its partitioner to the sink', () => {
    const t = topology()
    const partitioner = () => 0
    const moved = t
      .stream(flights)
      .selectKey(({ value }) => value.origin, { key: string() })
      .repartition({ name: 'by-origin', partitions: 6, partitioner })
    moved.groupByKey().count({ name: 'n' })
    moved.join(t.table(airports, { name: 'airports' }), (f) => f).to('out', { value: json() })
    moved.repartition()
    moved.repartition()
    const { internalTopics, subtopologies } = t.build('app')
    expect(internalTopics.repartition.map(({ topic, partitions }) => [topic, partitions])).to.deep.equal([
      ['app-by-origin-repartition', 6],
      ['app-by-origin-spread-repartition', undefined],
      ['app-by-origin-spread-2-repartition', undefined]
    ])
    const sink = subtopologies[0]!.nodes.find((n) => n.kind === 'sink')
    expect(sink).to.include({ topic: 'app-by-origin-repartition', partitioner })
  })

  it('a warning for each store and repartition without a name of its own', () => {
    const t = topology()
    t.stream(flights)
      .groupBy(({ value }) => value.origin, { key: string() })
      .count({ name: 'named' })
    t.stream(flights).groupByKey().count()
    expect(t.build('app').warnings.map((w) => /"(.*?)"/.exec(w)![1])).to.deep.equal(['flights-by', 'flights-count'])
  })

  it('one sub-topology per connected part: edges and shared stores connect, topics do not', () => {
    const t = topology()
    const shared = keyValueStore('shared', { key: string(), value: long() })
    t.stream(topic('a', string())).process(() => {}, { stores: [shared] })
    t.stream(topic('b', string())).to('b-copy')
    t.stream(topic('c', string())).process(() => {}, { stores: [shared] })
    t.stream(topic('d', string()))
      .join(t.table(airports), (x) => x)
      .to('d-copy', { value: string() })
    expect(t.build('app').subtopologies.map((s) => s.sourceTopics)).to.deep.equal([
      ['a', 'c'],
      ['b'],
      ['d', 'airports']
    ])
  })

  it('a text for people, whose form is a contract', () => {
    const t = topology()
    const perDay = topic('per-day', { key: windowed(string(), '1d'), value: long() })
    const departures = t
      .stream(flights)
      .filter(({ value }) => value.delay > 0)
      .selectKey(({ value }) => value.origin, { key: string() })
      .join(t.table(airports, { name: 'airports' }), (f, a) => ({ ...f, ...a }), { name: 'departures' })
    departures
      .groupByKey()
      .windowedBy(tumbling('1d', { grace: '1h' }))
      .count({ name: 'days', caching: false })
      .toStream()
      .to(perDay)
    expect(t.describe('demo')).to.equal(`Topology demo: 2 sub-topologies

Sub-topology 0, a task for each partition of flights
  flights-source: from flights [string, json]
  └ flights-filter
    └ flights-selectKey
      └ departures-input-repartition-keys: drop null keys
        └ departures-input-repartition-sink: to demo-departures-input-repartition (internal, to sub-topology 1) [string, json]

Sub-topology 1, a task for each partition of the largest of 2 topics
  store airports: key-value [string, json], cached, changelog demo-airports-changelog
  store days: windows of 1d, kept 25h from their start [string, long], not cached, changelog demo-days-changelog
  airports-source: from airports [string, json]
  └ airports: table (store airports)
  departures-input-repartition: from demo-departures-input-repartition (internal, from sub-topology 0) [string, json]
  └ departures: join (store airports)
    └ days: count (store days)
      └ days-stream
        └ days-to: to per-day [windowed(string, 86400000), long]

Equal partition counts: demo-departures-input-repartition, airports (for departures)
`)
  })

  it('a text that shows branches, nodes with several parents, and topics chosen per record', () => {
    const t = topology()
    const { late, rest } = t.stream(flights).split({ late: ({ value }) => value.delay > 0 }, { otherwise: 'rest' })
    late.merge(rest.peek(() => {})).to(({ value }) => value.origin)
    const seen = keyValueStore('seen', { key: string(), value: long(), logged: false })
    late.process(() => {}, { name: 'dedupe', stores: [seen] })
    expect(t.describe()).to.equal(`Topology app: 1 sub-topology

Sub-topology 0, a task for each partition of flights
  store seen: key-value [string, long], cached, no changelog
  flights-source: from flights [string, json]
  └ flights-split
    ├ flights-split-late: branch
    │ ├ flights-merge
    │ │ └ flights-to: to a topic chosen per record [string, json]
    │ └ dedupe: process (store seen)
    └ flights-split-rest: branch
      └ flights-peek
        └ flights-merge, see above
`)
  })
})
