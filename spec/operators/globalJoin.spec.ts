/** Joins with global tables in the driver: what triggers, what is dropped, null keys, reads by processors, and what is refused. */
import { expect } from 'chai'
import { type StreamRecord, type TopologyBuilder, topic, topology } from '../../actors/index.ts'
import { TopologyError } from '../../lib/errors.ts'
import { json, nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

const visits = topic('visits', { key: nullable(string()), value: nullable(string()) })
const people = topic('people', string())
const names = topic('names', { key: nullable(string()), value: string() })
const out = topic('out', { key: nullable(string()), value: nullable(string()) })
const dash = (l: string, r: string | null): string => `${l}-${r}`
/** The part behind the bar; null without one. */
const pointed = (value: string): string | null => value.split('|')[1] ?? null

const driven = (build: (t: TopologyBuilder) => void, partitions = {}): Promise<Driver> => {
  const t = topology()
  build(t)
  return drive(t, { cache: false, partitions })
}
const joined = (how: 'join' | 'leftJoin') =>
  driven((t) => {
    const on = ({ value }: StreamRecord<string | null, string>): string | null => pointed(value)
    const table = t.globalTable(names, { name: 'everybody' })
    if (how === 'join') t.stream(visits).join(table, dash, { on }).to(out)
    else t.stream(visits).leftJoin(table, dash, { on }).to(out)
  })
const rows = (d: Driver): unknown[] => d.output(out).map(({ key, value, timestamp }) => [key, value, timestamp])

describe('Global tables', () => {
  it('are looked up by a key of the record; their own changes cause nothing', async () => {
    const d = await joined('join')
    await d.send(visits, 'a', 'v|x', { timestamp: 1 })
    await d.send(names, 'x', 'Xena', { timestamp: 99 })
    expect(rows(d)).to.deep.equal([])
    await d.send(visits, 'a', 'v|x', { timestamp: 2 })
    await d.send(names, 'x', 'Xerxes', { timestamp: 1 })
    await d.send(visits, 'b', 'w|x', { timestamp: 3 })
    await d.send(names, 'x', null)
    await d.send(visits, 'b', 'w|x', { timestamp: 4 })
    expect(rows(d)).to.deep.equal([
      ['a', 'v|x-Xena', 2],
      ['b', 'w|x-Xerxes', 3]
    ])
    expect(d.dropped).to.deep.equal([])
  })

  it('join: null values and records that point to nothing are dropped; a null key of the record is none of its business', async () => {
    const d = await joined('join')
    await d.send(names, 'x', 'Xena')
    await d.send(names, null, 'nobody')
    await d.send(visits, 'a', null)
    await d.send(visits, 'a', 'none')
    await d.send(visits, null, 'v|x', { timestamp: 7 })
    expect(rows(d)).to.deep.equal([[null, 'v|x-Xena', 7]])
    expect(d.dropped).to.deep.equal(['null-value', 'null-key'])
  })

  it('leftJoin: records without a row, or that point to nothing, get null; null values are dropped', async () => {
    const d = await joined('leftJoin')
    await d.send(visits, 'a', 'v|x', { timestamp: 1 })
    await d.send(visits, 'a', 'none', { timestamp: 2 })
    await d.send(visits, 'a', null)
    expect(rows(d)).to.deep.equal([
      ['a', 'v|x-null', 1],
      ['a', 'none-null', 2]
    ])
    expect(d.dropped).to.deep.equal(['null-value'])
  })

  it('need neither equal partition counts nor a repartition topic: every task sees every row', async () => {
    const t = topology()
    const table = t.globalTable(names)
    t.stream(people)
      .selectKey(({ value }) => value)
      .join(table, dash, { on: ({ key }) => key })
      .foreach(() => {})
    const built = t.build('app')
    expect(built.internalTopics).to.deep.equal({ repartition: [], changelogs: [] })
    expect(built.subtopologies.map((sub) => sub.sourceTopics)).to.deep.equal([['people']])
    const d = await driven(
      (other) => {
        const all = other.globalTable(names)
        other
          .stream(people)
          .join(all, dash, { on: ({ value }) => value })
          .to('out', { value: string() })
      },
      { people: 3 }
    )
    await d.send(names, 'x', 'Xena')
    for (let partition = 0; partition < 3; partition++) await d.send(people, `k${partition}`, 'x', { partition })
    expect(d.outputs().map(({ value }) => value)).to.deep.equal(['x-Xena', 'x-Xena', 'x-Xena'])
  })

  it('join a table: its own changes look up, deletions and rows without a partner are tombstones', async () => {
    const d = await driven((t) => {
      const table = t.globalTable(names)
      t.table(people)
        .join(table, (person, name) => dash(person, name), { on: pointed, name: 'named', value: string() })
        .toStream()
        .to(out)
    })
    await d.send(names, 'x', 'Xena')
    await d.send(people, 'a', 'p|x', { timestamp: 1 })
    await d.send(names, 'x', 'Xerxes')
    await d.send(people, 'a', 'q|x', { timestamp: 2 })
    await d.send(people, 'a', 'q|y', { timestamp: 3 })
    await d.send(people, 'a', 'q|x', { timestamp: 4 })
    await d.send(people, 'a', null, { timestamp: 5 })
    expect(rows(d)).to.deep.equal([
      ['a', 'p|x-Xena', 1],
      ['a', 'q|x-Xerxes', 2],
      ['a', null, 3],
      ['a', 'q|x-Xerxes', 4],
      ['a', null, 5]
    ])
  })

  it('leftJoin of a table keeps what it was joined with: groups lose exactly what they got', async () => {
    const d = await driven((t) => {
      const table = t.globalTable(names)
      t.table(people)
        .leftJoin(table, (person, name) => dash(person, name), { on: pointed, value: string() })
        .groupBy((value, key) => [value.split('-')[1]!, key] as const, { key: string(), name: 'by-name' })
        .count({ name: 'counts' })
        .toStream()
        .mapValues((n) => `${n}`)
        .to('out', { value: string() })
    })
    await d.send(people, 'a', 'p|x')
    await d.send(names, 'x', 'Xena')
    await d.send(people, 'a', 'q|x')
    await d.send(people, 'b', 'q|x')
    expect(rows(d).map((row) => (row as unknown[]).slice(0, 2))).to.deep.equal([
      ['null', '1'],
      ['null', '0'],
      ['Xena', '1'],
      ['Xena', '2']
    ])
  })

  it('are read by processors, by key, by range and whole', async () => {
    const d = await driven((t) => {
      const table = t.globalTable(names, { name: 'everybody' })
      t.stream(people)
        .processValues(
          async ({ value }, context) => {
            const store = context.store('everybody')
            const all: string[] = []
            for await (const [key, name] of store.all()) all.push(`${key}=${name}`)
            const some: string[] = []
            for await (const [key] of store.range('x', 'y', { limit: 1 })) some.push(key)
            await context.forward({ value: [await store.get(value), all, some] })
            // @ts-expect-error A global table is read only
            expect(store.put).to.equal(undefined)
          },
          { stores: [table], value: json<unknown>() }
        )
        .to('out')
    })
    for (const [key, name] of [
      ['y', 'Yann'],
      ['x', 'Xena'],
      ['a', 'Ann']
    ] as const) {
      await d.send(names, key, name)
    }
    await d.send(people, 'k', 'x')
    expect(d.outputs().map(({ value }) => value)).to.deep.equal([['Xena', ['a=Ann', 'x=Xena', 'y=Yann'], ['x']]])
  })

  it('may be made of a topic that the job reads or writes otherwise', async () => {
    const d = await driven((t) => {
      const table = t.globalTable(names)
      t.stream(people).to('names', { value: string() })
      t.stream(names)
        .join(table, dash, { on: ({ key }) => key })
        .to(out)
    })
    await d.send(names, 'x', 'Xena', { timestamp: 1 })
    await d.send(people, 'y', 'Yann', { timestamp: 2 })
    expect(rows(d)).to.deep.equal([
      ['x', 'Xena-Xena', 1],
      ['y', 'Yann-Yann', 2]
    ])
  })

  it('are shown by describe()', () => {
    const t = topology()
    const table = t.globalTable(names, { name: 'everybody' })
    t.stream(people)
      .join(table, dash, { on: ({ key }) => key })
      .to('out', { value: string() })
    expect(t.describe())
      .to.contain('people-join (global table everybody)')
      .and.contain('Global table everybody: from topic names [string, string], whole in each process')
  })

  it('refuse a name that is taken, another topology and a join that does not say where to look', () => {
    const t = topology()
    const table = t.globalTable(names, { name: 'taken' })
    const refused = (build: () => unknown, text: string): void => {
      expect(build).to.throw(TopologyError).with.property('message').that.contains(text)
    }
    refused(() => t.globalTable(people, { name: 'taken' }), '"taken" is used twice')
    refused(() => t.globalTable(names), 'made a global table twice')
    refused(() => t.table(people, { name: 'taken' }), '"taken" is used twice')
    const other = topology().stream(people)
    refused(() => other.join(table, dash, { on: ({ key }) => key }), 'of another topology')
    refused(() => other.process(() => {}, { stores: [table] }), 'of another topology')
    refused(() => t.stream(people).join(table, dash, {} as never), 'needs to know where to look')
  })
})
