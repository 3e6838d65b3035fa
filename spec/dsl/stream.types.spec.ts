/** Types follow the chain without a cast, and refuse what cannot work: this file is checked by tsc; the specs only build it. */
import { expect } from 'chai'
import {
  hopping,
  keyValueStore,
  type Stream,
  session,
  type Table,
  topic,
  topology,
  tumbling,
  windowStore
} from '../../lib/dsl/index.ts'
import { json, long, nullable, string, type Windowed } from '../../lib/serde/index.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** Compiles only if both types are the same. */
const same = <A, B>(_: Equal<A, B>): void => {}
type OfStream<S> = S extends Stream<infer K, infer V> ? [K, V] : never
type OfTable<T> = T extends Table<infer K, infer V> ? [K, V] : never

interface Flight {
  origin: string
  delay: number
}
interface Airport {
  state: string
}
const flights = topic('flights', json<Flight>())
const airports = topic('airports', { key: string(), value: json<Airport>() })
const delays = topic('delays', { key: string(), value: long() })

describe('types', () => {
  it('follow keys and values along the chain', () => {
    const t = topology()
    const s = t.stream(flights)
    same<OfStream<typeof s>, [string, Flight]>(true)
    const mapped = s.map(({ value }) => ({ key: value.delay, value: value.origin }))
    same<OfStream<typeof mapped>, [number, string]>(true)
    const values = s.mapValues((flight, { key }) => `${key}${flight.delay}`)
    same<OfStream<typeof values>, [string, string]>(true)
    const flat = s.flatMapValues((flight) => [flight.delay])
    same<OfStream<typeof flat>, [string, number]>(true)
    const merged = s.merge(t.stream(delays))
    same<OfStream<typeof merged>, [string, Flight | number]>(true)
    const { late, rest } = s.split({ late: ({ value }) => value.delay > 15 }, { otherwise: 'rest' })
    same<OfStream<typeof late>, [string, Flight]>(true)
    same<OfStream<typeof rest>, [string, Flight]>(true)
    const keyed = t.stream(topic('clicks', { key: nullable(string()), value: nullable(long()) }))
    same<OfStream<typeof keyed>, [string | null, number | null]>(true)
    const reduced = keyed.groupByKey().reduce((a, b) => a + b, { name: 'sum' })
    same<OfTable<typeof reduced>, [string, number]>(true)
    expect(t.graph.hasName('sum')).to.equal(true)
  })

  it('of a grouped table follow the pairs, without their nulls', () => {
    const table = topology().table(topic('stops', json<{ state: string | null; delay: number | null }>()))
    const groups = table.groupBy(({ state, delay }) => [state, delay], { key: string(), value: long() })
    const sum = groups.reduce(
      (a, b) => a + b,
      (a, b) => a - b
    )
    same<OfTable<typeof sum>, [string, number]>(true)
    const open = table.groupBy(({ state }) => [state, state === null ? 0 : 1] as const, {
      key: string(),
      value: long()
    })
    const per = open.aggregate(
      () => '',
      (text, one) => text + one,
      (text) => text
    )
    same<OfTable<typeof per>, [string, string]>(true)
    // @ts-expect-error the serde must fit the group
    table.groupBy(({ delay }) => [delay, 1], { key: string() })
    const steady = topology()
      .stream(flights)
      .processValues<number>((record, context) => context.forward({ value: record.value.delay }), { value: long() })
    same<OfStream<typeof steady>, [string, number]>(true)
  })

  it('give windowed keys, nullable changes and join partners', () => {
    const t = topology()
    const s = t.stream(flights)
    const table = t.table(airports)
    same<OfTable<typeof table>, [string, Airport]>(true)
    const joined = s.join(table, (flight, airport) => ({ delay: flight.delay, state: airport.state }))
    same<OfStream<typeof joined>, [string, { delay: number; state: string }]>(true)
    const left = s.leftJoin(table, (_, airport) => airport)
    same<OfStream<typeof left>, [string, Airport | null]>(true)
    const counted = joined
      .groupBy(({ value }) => value.state, { key: string(), name: 'by-state' })
      .windowedBy(tumbling('1d'))
      .aggregate(
        () => ({ n: 0 }),
        (sum, { delay }) => ({ n: sum.n + delay }),
        { name: 'delays-by-state' }
      )
    same<OfTable<typeof counted>, [Windowed<string>, { n: number }]>(true)
    const changes = counted.toStream(({ key }) => `${key.key} ${key.start}`, { key: string() })
    same<OfStream<typeof changes>, [string, { n: number } | null]>(true)
    changes.mapValues((v) => v?.n ?? null).to(delays)
    expect(t.build('app').subtopologies).to.have.length(2)
  })

  it('give stores by name and the type of what may be forwarded', () => {
    const totals = keyValueStore('totals', { key: string(), value: json<{ miles: number }>() })
    const days = windowStore('days', { key: string(), value: long(), size: '1d', retention: '7d' })
    const t = topology()
    const processed = t.stream(flights).process(
      async ({ key, value }, context) => {
        const row = await context.store('totals').get(key)
        same<typeof row, { miles: number } | null>(true)
        const day = await context.store('days').fetch(key, 0)
        same<typeof day, number | null>(true)
        await context.forward({ key: value.origin, value: row?.miles ?? 0 })
        // @ts-expect-error the values that come out are numbers
        if (value.delay < 0) await context.forward({ key, value: 'text' })
        // @ts-expect-error no such store
        if (value.delay < 0) context.store('other')
      },
      { stores: [totals, days], key: string(), value: long(), name: 'p' }
    )
    same<OfStream<typeof processed>, [string, number]>(true)
    expect(t.graph.hasName('p')).to.equal(true)
  })

  it('refuse wrong properties, sinks, tables and missing serdes', () => {
    const t = topology()
    const s = t.stream(flights)
    // Never called: only its compilation counts.
    const refused = (): void => {
      // @ts-expect-error no such property
      s.filter(({ value }) => value.dely > 1)
      // @ts-expect-error the topic holds numbers
      s.to(delays)
      // @ts-expect-error a new key needs its serde
      s.groupBy(({ value }) => value.origin)
      // @ts-expect-error the serde is not one of that key
      s.groupBy(({ value }) => value.delay, { key: string(), name: 'wrong' })
      // @ts-expect-error the table has other keys
      s.selectKey(({ value }) => value.delay, { key: long() }).join(t.table(airports), (x) => x)
      // @ts-expect-error a row may be absent in a left join
      s.leftJoin(t.table(airports), (_, airport) => airport.state)
      const text = (sum: number, flight: Flight): string => `${sum}${flight.delay}`
      // @ts-expect-error the aggregate is a number
      s.groupByKey().aggregate(() => 0, text)
      // @ts-expect-error no such branch
      s.split({ late: () => true }).early.foreach(() => {})
    }
    expect(refused).to.be.a('function')
  })

  it('refuse what windows, joins, tables and sinks cannot do', () => {
    const t = topology()
    const s = t.stream(flights)
    const grouped = s.groupByKey()
    const table = t.table(airports)
    const refused = (): void => {
      // @ts-expect-error a duration has a unit
      tumbling('5')
      // @ts-expect-error hopping windows need an advance
      hopping('1h', {})
      // @ts-expect-error there are two times to emit
      grouped.windowedBy(tumbling('1h'), { emit: 'closed' })
      const [zero, more] = [() => 0, (n: number) => n + 1] as const
      // @ts-expect-error sessions that become one need a merge
      grouped.windowedBy(session('1h')).aggregate(zero, more, { name: 'n' })
      // @ts-expect-error windows have keys of their own
      grouped.windowedBy(tumbling('1h')).count().toStream().to(delays)
      // @ts-expect-error streams are joined within a time
      s.join(t.stream(delays), (flight, delay) => [flight, delay])
      // @ts-expect-error the right side may be absent
      s.leftJoin(t.stream(delays), (_, delay) => delay.toFixed(), { within: '1m' })
      // @ts-expect-error both sides may be absent
      s.outerJoin(t.stream(delays), (flight) => flight.delay, { within: '1m' })
      // @ts-expect-error other keys
      s.join(t.stream(topic('by-number', { key: long(), value: long() })), () => 0, { within: '1m' })
      // @ts-expect-error a grace is a duration
      s.join(table, (flight) => flight, { grace: true })
      const byId = t.table(topic('by-id', { key: long(), value: long() }))
      const stateOf = ({ state }: Airport): string => state
      // @ts-expect-error the foreign key is not one of that table
      table.joinByForeignKey(byId, stateOf, (a) => a)
      // @ts-expect-error the table on the right may have no row
      table.leftJoin(t.table(delays), (_, delay) => delay.toFixed())
      // @ts-expect-error until when
      table.suppress({ maxRecords: 10 })
      // @ts-expect-error 'drop' is no answer
      table.suppress({ until: '5m', full: 'drop' })
      // @ts-expect-error within which time
      s.deduplicate({ name: 'once' })
      // @ts-expect-error how many at once
      s.mapAsync(async (flight) => flight.delay, {})
      // @ts-expect-error every grouped stream adds to one aggregate
      grouped.cogroup((n: number) => n + 1).and(t.stream(delays).groupByKey(), (text: string) => text)
      // @ts-expect-error a grouped table must be able to take off
      table.groupBy(({ state }) => [state, 1], { key: string(), value: long() }).reduce((a, b) => a + b)
      // @ts-expect-error a store is defined, not named
      s.process(() => {}, { stores: ['totals'] })
      // @ts-expect-error rows have the types of the table
      s.process((_, context) => void context.store('rows').get(5), { stores: [table.rows('rows')] })
      const everywhere = t.globalTable(topic('everywhere', { key: long(), value: json<Airport>() }), {
        name: 'everywhere'
      })
      // @ts-expect-error the global table's key is a number
      s.join(everywhere, (flight) => flight, { on: ({ value }) => value.origin })
      // @ts-expect-error where to look
      s.join(everywhere, (flight) => flight, {})
      // @ts-expect-error the row may be absent
      s.leftJoin(everywhere, (_, airport) => airport.state, { on: () => 7 })
      // @ts-expect-error a global table has no outer join
      s.outerJoin(everywhere, (flight) => flight, { on: () => 7 })
      // @ts-expect-error the name and the rows of the global table are known
      s.process((_, context) => void context.store('everywhere').get('JFK'), { stores: [everywhere] })
      const found = topic(/flights-.*/, { value: json<Flight>() })
      t.stream(found).filter(({ value }) => value.delay > 15)
      // @ts-expect-error a table is made of one topic
      t.table(found)
      // @ts-expect-error as is a global table
      t.globalTable(found)
      // @ts-expect-error nothing is written to a pattern
      s.to(found)
      // @ts-expect-error a partitioner gives a number
      s.repartition({ partitioner: ({ value }) => value.origin })
    }
    expect(refused).to.be.a('function')
  })
})
