/** Grouped tables: groups that rows leave and enter, with and without cache, over restarts, and their bytes on the repartition topic. */
import { expect } from 'chai'
import fc from 'fast-check'
import { type Table, topic, topology } from '../../lib/dsl/index.ts'
import { DecodeError, TopologyError } from '../../lib/errors.ts'
import { changed, int, json, long, nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

interface Person {
  readonly city: string | null
  readonly age: number | null
}
const people = topic('people', { key: string(), value: nullable(json<Person>()) })
const out = topic('out', { key: string(), value: nullable(long()) })
const rows = (d: Driver): unknown[][] => d.output(out).map(({ key, value, timestamp }) => [key, value, timestamp])

type People = Table<string, Person>
const byCity = (table: People) =>
  table.groupBy(({ city, age }) => [city, age] as const, { key: string(), value: int() })
const ages = (table: People): void =>
  byCity(table)
    .reduce(
      (sum, age) => sum + age,
      (sum, age) => sum - age,
      { name: 'ages', value: long() }
    )
    .toStream()
    .to(out)

describe('A grouped table', () => {
  it('takes a row off the group it leaves, then puts it on the one it enters, both with its time', async () => {
    const t = topology()
    ages(t.table(people))
    const d = await drive(t, { cache: false })
    await d.send(people, 'ann', { city: 'Rome', age: 30 }, { timestamp: 5 })
    await d.send(people, 'bob', { city: 'Rome', age: 20 }, { timestamp: 3 })
    await d.send(people, 'ann', { city: 'Oslo', age: 31 }, { timestamp: 9 })
    await d.send(people, 'bob', null, { timestamp: 10 })
    expect(rows(d)).to.deep.equal([
      ['Rome', 30, 5],
      ['Rome', 50, 5],
      ['Rome', 20, 9],
      ['Oslo', 31, 9],
      ['Rome', 0, 10]
    ])
  })

  it('changes a row within its group in one step', async () => {
    const t = topology()
    ages(t.table(people))
    const d = await drive(t, { cache: false })
    await d.send(people, 'ann', { city: 'Rome', age: 30 }, { timestamp: 5 })
    await d.send(people, 'ann', { city: 'Rome', age: 35 }, { timestamp: 2 })
    expect(rows(d)).to.deep.equal([
      ['Rome', 30, 5],
      ['Rome', 35, 5]
    ])
  })

  it('knows that two objects are one group by their bytes', async () => {
    const t = topology()
    const cells = topic('cells', { key: json<{ city: string | null }>(), value: nullable(long()) })
    t.table(people)
      .groupBy(({ city }) => [{ city }, 1] as const, { key: json<{ city: string | null }>() })
      .count({ name: 'cells' })
      .toStream()
      .to(cells)
    const d = await drive(t, { cache: false })
    await d.send(people, 'ann', { city: 'Rome', age: 30 })
    await d.send(people, 'ann', { city: 'Rome', age: 31 })
    expect(d.output(cells).map((r) => r.value)).to.deep.equal([1, 1])
  })

  it('counts rows, and leaves those without a group, group key or value out', async () => {
    const t = topology()
    t.table(people)
      .groupBy((p) => (p.age === 99 ? null : ([p.city, p.age] as const)), { key: string() })
      .count({ name: 'people' })
      .toStream()
      .to(out)
    const d = await drive(t, { cache: false })
    await d.send(people, 'ann', { city: null, age: 30 })
    await d.send(people, 'ann', { city: 'Rome', age: null })
    await d.send(people, 'ann', { city: 'Rome', age: 99 })
    expect(rows(d)).to.deep.equal([])
    await d.send(people, 'ann', { city: 'Rome', age: 30 }, { timestamp: 4 })
    await d.send(people, 'ann', { city: 'Rome', age: null }, { timestamp: 5 })
    expect(rows(d)).to.deep.equal([
      ['Rome', 1, 4],
      ['Rome', 0, 5]
    ])
    expect(d.dropped).to.deep.equal([])
  })

  it('a subtractor that gives null empties the group; what is put on next begins anew', async () => {
    const t = topology()
    byCity(t.table(people))
      .aggregate(
        () => 1000,
        (sum, age) => sum + age,
        (sum, age) => (sum === 1000 + age ? null : sum - age),
        { name: 'sums', value: long() }
      )
      .toStream()
      .to(out)
    const d = await drive(t, { cache: false })
    await d.send(people, 'ann', { city: 'Rome', age: 30 })
    await d.send(people, 'ann', { city: 'Rome', age: 31 })
    await d.send(people, 'ann', null)
    expect(rows(d).map((r) => r[1])).to.deep.equal([1030, 1031, null])
  })

  it('gives the group and the value it left or entered to the functions', async () => {
    const seen: unknown[] = []
    const t = topology()
    byCity(t.table(people)).reduce(
      (a, b, key) => {
        seen.push(['add', a, b, key])
        return a + b
      },
      (a, b, key) => {
        seen.push(['subtract', a, b, key])
        return a - b
      },
      { name: 'ages' }
    )
    const d = await drive(t, { cache: false })
    await d.send(people, 'ann', { city: 'Rome', age: 30 })
    await d.send(people, 'bob', { city: 'Rome', age: 20 })
    await d.send(people, 'ann', null)
    expect(seen).to.deep.equal([
      ['add', 30, 20, 'Rome'],
      ['subtract', 50, 30, 'Rome']
    ])
  })

  it('repartitions by the group under its name, and keeps the rows of the table that it needs the former values of', () => {
    const t = topology()
    t.table(people, { name: 'people-rows' })
      .filter(({ age }) => (age ?? 0) > 17)
      .groupBy(({ city, age }) => [city, age] as const, { key: string(), name: 'cities' })
      .count({ name: 'adults' })
    const built = t.build('app')
    expect(built.internalTopics.repartition.map((r) => r.topic)).to.deep.equal(['app-cities-repartition'])
    expect(built.internalTopics.changelogs.map((c) => c.store.name)).to.deep.equal(['people-rows', 'adults'])
    expect(built.warnings).to.deep.equal([])
  })

  it('refuses a group without a serde', () => {
    const t = topology()
    // @ts-expect-error the serde of the group is required
    expect(() => t.table(people).groupBy(({ city, age }) => [city, age], {}))
      .to.throw(TopologyError, 'groupBy() of a table')
      .with.property('code', 'ERR_TOPOLOGY_SERDE')
  })

  const paths: Record<string, (table: People) => People> = {
    'a source': (table) => table,
    'a filter': (table) => table.filter(({ age }) => age !== 3),
    'a named filter': (table) => table.filter(({ age }) => age !== 3, { name: 'kept' }),
    'mapped values of a filter': (table) =>
      table.filterNot(({ age }) => age === 3).mapValues(({ city, age }): Person => ({ city, age: (age ?? 0) * 2 })),
    'a table from its changes': (table) => table.toStream().toTable({ name: 'again', value: json<Person>() }),
    'a reduced stream': (table) =>
      table
        .toStream()
        .groupByKey()
        .reduce((_, next) => next!, { name: 'latest' })
  }
  for (const [what, path] of Object.entries(paths)) {
    it(`of ${what} stands at the sum of the rows, with any cache, commits and restarts`, async () => {
      const city = fc.constantFrom('Rome', 'Oslo', null)
      const person = fc.option(fc.record({ city, age: fc.integer({ min: 1, max: 5 }) }), { freq: 3 })
      const update = fc.tuple(
        fc.constantFrom('ann', 'bob', 'cid'),
        person,
        fc.constantFrom('', '', 'commit', 'restart')
      )
      await fc.assert(
        fc.asyncProperty(fc.array(update, { maxLength: 25 }), fc.boolean(), async (updates, cache) => {
          const t = topology()
          const table = path(t.table(people))
          ages(table)
          const seen = topic('rows', { key: string(), value: nullable(json<Person>()) })
          table.toStream().to(seen, { value: nullable(json<Person>()) })
          const d = await drive(t, { cache })
          for (const [i, [name, row, then]] of updates.entries()) {
            await d.send(people, name, row, { timestamp: i })
            if (then === 'commit') await d.commit()
            if (then === 'restart') await d.restart()
          }
          await d.commit()
          const last = new Map(d.output(seen).map(({ key, value }) => [key, value]))
          const expected: Record<string, number> = {}
          for (const row of last.values())
            if (row?.city) expected[row.city] = (expected[row.city] ?? 0) + (row.age ?? 0)
          const sums = new Map(d.output(out).map(({ key, value }) => [key, value]))
          const actual = Object.fromEntries([...sums].filter(([, sum]) => sum !== 0))
          expect(actual).to.deep.equal(expected)
          await d.close()
        }),
        { numRuns: 40 }
      )
    })
  }
})

describe('A filter whose changes say what was before', () => {
  for (const name of [undefined, 'kept']) {
    it(`is silent about rows it neither had nor has (${name ?? 'without a store'})`, async () => {
      const t = topology()
      const seen = topic('rows', { key: string(), value: nullable(json<Person>()) })
      const adults = t.table(people).filter(({ age }) => (age ?? 0) > 17, name === undefined ? {} : { name })
      adults.toStream().to(seen)
      ages(adults)
      const d = await drive(t, { cache: false })
      await d.send(people, 'ann', { city: 'Rome', age: 3 })
      await d.send(people, 'ann', null)
      await d.send(people, 'ann', { city: 'Rome', age: 18 })
      await d.send(people, 'ann', { city: 'Rome', age: 2 })
      expect(d.output(seen).map((r) => r.value)).to.deep.equal([{ city: 'Rome', age: 18 }, null])
    })
  }
})

describe('changed()', () => {
  const serde = changed(string())
  const hex = (change: { value: string | null; old: string | null }): string => serde.encode(change).toString('hex')

  it('writes the bytes of the JVM (Kafka Streams 4.3.1)', () => {
    expect(hex({ value: 'new', old: null })).to.equal('6e657701')
    expect(hex({ value: null, old: 'old' })).to.equal('6f6c6400')
    expect(hex({ value: 'new', old: 'older' })).to.equal('066e65776f6c64657202')
    expect(hex({ value: '', old: 'o' })).to.equal('006f02')
    expect(hex({ value: 'x'.repeat(200), old: 'o' })).to.match(/^90037878/)
  })

  it('reads what it writes, also within a larger buffer', () => {
    const text = fc.option(fc.string())
    fc.assert(
      fc.property(text, text, (value, old) => {
        fc.pre(value !== null || old !== null)
        const bytes = Buffer.concat([Buffer.from('##'), serde.encode({ value, old }), Buffer.from('#')])
        expect(serde.decode(bytes, 2, bytes.length - 1)).to.deep.equal({ value, old })
      })
    )
    const long = { value: 'é'.repeat(20_000), old: 'b' }
    const bytes = serde.encode(long)
    expect(serde.decode(bytes, 0, bytes.length)).to.deep.equal(long)
  })

  it('refuses other bytes, and a change of nothing', () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('value'),
      Buffer.from('ff0202', 'hex'),
      Buffer.from('0302', 'hex')
    ]) {
      expect(() => serde.decode(bytes, 0, bytes.length), bytes.toString('hex')).to.throw(DecodeError)
    }
    expect(() => serde.encode({ value: null, old: null })).to.throw('without an old and a new value')
  })
})
