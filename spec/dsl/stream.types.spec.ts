/** Types follow the chain without a cast, and refuse what cannot work: this file is checked by tsc; the specs only build it. */
import { expect } from 'chai'
import { keyValueStore, type Stream, type Table, topic, topology, tumbling, windowStore } from '../../lib/dsl/index.ts'
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
})
