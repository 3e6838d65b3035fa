/** Aggregations, windows, tables, joins and processors: cache, nulls, times, restarts. */
import { expect } from 'chai'
import { keyValueStore, type Topic, topic, topology, tumbling, windowStore } from '../../lib/dsl/index.ts'
import { TopologyError } from '../../lib/errors.ts'
import type { Headers } from '../../lib/record.ts'
import { json, long, nullable, string, windowed } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

const clicks = topic('clicks', { key: nullable(string()), value: nullable(long()) })
const out = topic('out', { key: string(), value: nullable(long()) })
const rows = (d: Driver, t: Topic<string, number | null> | string = out): unknown[][] =>
  d.output(t).map(({ key, value, timestamp }) => [key, value, timestamp])

describe('aggregations', () => {
  it('forward each update at once without a cache, with the highest time of the key', async () => {
    const t = topology()
    t.stream(clicks).groupByKey().count({ name: 'clicks' }).toStream().to(out)
    const d = await drive(t, { cache: false })
    await d.send(clicks, 'a', 1, { timestamp: 10 })
    await d.send(clicks, 'a', 1, { timestamp: 5 })
    await d.send(clicks, 'b', 1, { timestamp: 7 })
    expect(rows(d)).to.deep.equal([
      ['a', 1, 10],
      ['a', 2, 10],
      ['b', 1, 7]
    ])
  })

  it('forward each changed key once per commit with a cache, with the headers of its last record', async () => {
    const headers = (n: string): Headers => [['n', Buffer.from(n)]]
    const t = topology()
    t.stream(clicks).groupByKey().count({ name: 'clicks' }).toStream().to(out)
    const d = await drive(t)
    await d.send(clicks, 'a', 1, { timestamp: 1, headers: headers('1') })
    await d.send(clicks, 'b', 1, { timestamp: 2, headers: headers('2') })
    await d.send(clicks, 'a', 1, { timestamp: 3, headers: headers('3') })
    expect(d.output(out)).to.deep.equal([])
    await d.commit()
    expect(d.output(out).map((r) => [r.key, r.value, r.timestamp, String(r.headers[0]![1])])).to.deep.equal([
      ['a', 2, 3, '3'],
      ['b', 1, 2, '2']
    ])
    await d.commit()
    expect(d.output(out)).to.deep.equal([])
  })

  it('drop null keys and null values, and say so', async () => {
    const t = topology()
    t.stream(clicks).groupByKey().count({ name: 'clicks' }).toStream().to(out)
    const d = await drive(t, { cache: false })
    await d.send(clicks, null, 1)
    await d.send(clicks, 'a', null)
    expect(d.dropped).to.deep.equal(['null-key', 'null-value'])
    expect(rows(d)).to.deep.equal([])
  })

  it('count a value whose bytes decode to null, whether somebody has read it before or not', async () => {
    const raw = {
      name: 'raw',
      encode: (bytes: Buffer) => bytes,
      decode: (b: Buffer, s: number, e: number) => b.subarray(s, e)
    }
    for (const read of [() => undefined, ({ value }: { value: unknown }) => value]) {
      const t = topology()
      t.stream(topic('notes', { key: string(), value: json() }))
        .peek(read)
        .groupByKey()
        .count({ name: 'notes' })
        .toStream()
        .to(out)
      const d = await drive(t, { cache: false })
      await d.send(topic('notes', { key: string(), value: raw }), 'a', Buffer.from('null'), { timestamp: 1 })
      expect(rows(d)).to.deep.equal([['a', 1, 1]])
      expect(d.dropped).to.deep.equal([])
    }
  })

  it('reduce begins with the first value; an aggregate that becomes null deletes the row', async () => {
    const t = topology()
    const grouped = t.stream(clicks).groupByKey()
    grouped
      .reduce((a, b) => Math.max(a, b), { name: 'max' })
      .toStream()
      .to('max')
    grouped
      .aggregate(
        () => 0,
        (sum, n) => (n === 0 ? null : sum + n),
        { name: 'sum', value: long() }
      )
      .toStream()
      .to(out)
    const d = await drive(t, { cache: false })
    for (const n of [5, 3, 0, 4]) await d.send(clicks, 'a', n, { timestamp: n })
    expect(rows(d, 'max').map((r) => r[1])).to.deep.equal([5, 5, 5, 5])
    expect(rows(d)).to.deep.equal([
      ['a', 5, 5],
      ['a', 8, 5],
      ['a', null, 5],
      ['a', 4, 4]
    ])
  })

  it('groupBy goes through a repartition topic, where null keys do not go', async () => {
    const words = topic('words', { key: nullable(string()), value: string() })
    const t = topology()
    t.stream(words)
      .groupBy(({ value }) => value[0] ?? null, { key: string(), name: 'by-letter' })
      .count({ name: 'letters' })
      .toStream()
      .to(out)
    const d = await drive(t)
    for (const word of ['ab', 'b', 'ac', '']) await d.send(words, null, word, { timestamp: 1 })
    await d.commit()
    expect(rows(d)).to.deep.equal([
      ['a', 2, 1],
      ['b', 1, 1]
    ])
    expect(d.dropped).to.deep.equal(['null-key'])
    const { internalTopics, subtopologies } = t.build('app')
    expect(internalTopics.repartition.map((r) => r.topic)).to.deep.equal(['app-by-letter-repartition'])
    expect(internalTopics.changelogs.map((c) => c.topic)).to.deep.equal(['app-letters-changelog'])
    expect(subtopologies).to.have.length(2)
  })

  it('behind one grouping share its repartition topic', () => {
    const t = topology()
    const grouped = t.stream(clicks).groupBy(({ value }) => String(value), { key: string(), name: 'by-value' })
    grouped.count({ name: 'a' })
    grouped.count({ name: 'b' })
    const moved = t.stream(clicks).selectKey(({ value }) => String(value), { key: string() })
    moved.groupByKey({ name: 'moved' }).count({ name: 'c' })
    moved.groupByKey({ name: 'moved' }).count({ name: 'd' })
    expect(t.build('app').internalTopics.repartition.map((r) => r.name)).to.deep.equal(['by-value', 'moved'])
  })

  it('keep their state over a restart', async () => {
    const t = topology()
    t.stream(clicks).groupByKey().count({ name: 'clicks' }).toStream().to(out)
    const d = await drive(t)
    await d.send(clicks, 'a', 1, { timestamp: 1 })
    await d.restart()
    await d.send(clicks, 'a', 1, { timestamp: 2 })
    await d.commit()
    expect(rows(d).map((r) => r[1])).to.deep.equal([1, 2])
  })
})

describe('tumbling windows', () => {
  const perMinute = topic('per-minute', { key: windowed(string(), '1m'), value: long() })
  const counted = (grace: number) => {
    const t = topology()
    t.stream(clicks)
      .groupByKey()
      .windowedBy(tumbling('1m', { grace }))
      .count({ name: 'minutes' })
      .toStream()
      .to(perMinute)
    return t
  }
  const windows = (d: Driver): unknown[] =>
    d.output(perMinute).map((r) => [r.key!.key, r.key!.start, r.key!.end, r.value])

  it('drop what comes after end + grace, over all keys, and only null keys otherwise', async () => {
    const d = await drive(counted(1_000), { cache: false })
    await d.send(clicks, 'a', 1, { timestamp: 59_999 })
    await d.send(clicks, 'b', 1, { timestamp: 60_999 })
    await d.send(clicks, 'a', null, { timestamp: 0 })
    await d.send(clicks, 'b', 1, { timestamp: 61_000 })
    await d.send(clicks, 'a', 1, { timestamp: 59_999 })
    await d.send(clicks, null, 1, { timestamp: 900_000 })
    await d.send(clicks, 'a', 1, { timestamp: 60_000 })
    expect(windows(d)).to.deep.equal([
      ['a', 0, 60_000, 1],
      ['b', 60_000, 120_000, 1],
      ['a', 0, 60_000, 2],
      ['b', 60_000, 120_000, 2],
      ['a', 60_000, 120_000, 1]
    ])
    expect(d.dropped).to.deep.equal(['late', 'null-key'])
  })

  it('still give a cached window that a jump of stream time has closed and expired', async () => {
    const d = await drive(counted(0))
    await d.send(clicks, 'a', 1, { timestamp: 10 })
    await d.send(clicks, 'a', 1, { timestamp: 20 })
    await d.send(clicks, 'a', 1, { timestamp: 86_400_000_000 })
    await d.commit()
    expect(windows(d)).to.deep.equal([
      ['a', 0, 60_000, 2],
      ['a', 86_400_000_000, 86_400_060_000, 1]
    ])
  })

  it('know after a restart what is late, before any new record', async () => {
    const d = await drive(counted(0))
    await d.send(clicks, 'a', 1, { timestamp: 200_000 })
    await d.restart()
    await d.send(clicks, 'a', 1, { timestamp: 100 })
    expect(d.dropped).to.deep.equal(['late'])
  })

  it('leave the store with the commit behind the one in which retention has passed', async () => {
    const d = await drive(counted(0))
    await d.send(clicks, 'a', 1, { timestamp: 10 })
    await d.commit()
    await d.send(clicks, 'a', 1, { timestamp: 3_600_000 })
    await d.commit()
    await d.send(clicks, 'a', 1, { timestamp: 7_200_000 })
    await d.commit()
    const store = d.tasks[0]!.state.store('minutes')
    const left = async (): Promise<number[]> => {
      const times: number[] = []
      for await (const row of store.scan({ from: '', to: undefined })) times.push(row.timestamp)
      return times
    }
    expect(await left()).to.deep.equal([3_600_000, 7_200_000])
    await d.commit()
    expect(await left()).to.deep.equal([7_200_000])
  })

  it('refuse sizes, grace and retention that cannot work', () => {
    const grouped = topology().stream(clicks).groupByKey()
    expect(() => tumbling(0))
      .to.throw(TopologyError, 'at least 1')
      .with.property('code', 'ERR_TOPOLOGY_WINDOW')
    expect(() => tumbling('1m', { grace: -1 })).to.throw(TopologyError, 'grace of tumbling windows')
    expect(() => grouped.windowedBy(tumbling('1m', { grace: '1m' })).count({ name: 'x', retention: '90s' })).to.throw(
      TopologyError,
      'less than size + grace (120000 ms)'
    )
  })
})

describe('tables', () => {
  const airports = topic('airports', { key: string(), value: string() })
  const flights = topic('flights', { key: nullable(string()), value: nullable(string()) })
  const joined = topic('joined', { key: nullable(string()), value: string() })

  it('join: the row as it is now, only on records of the stream', async () => {
    const t = topology()
    const table = t.table(airports)
    t.stream(flights)
      .join(table, (flight, airport) => `${flight} from ${airport}`)
      .to(joined)
    t.stream(flights)
      .leftJoin(table, (flight, airport) => `${flight} from ${airport}`, { name: 'left' })
      .to(topic('left', { key: nullable(string()), value: string() }))
    const d = await drive(t)
    await d.send(flights, 'JFK', '1', { timestamp: 9 })
    await d.send(airports, 'JFK', 'New York', { timestamp: 20 })
    await d.send(flights, 'JFK', '2', { timestamp: 3 })
    await d.send(flights, null, '3', { timestamp: 4 })
    await d.send(flights, 'JFK', null, { timestamp: 5 })
    await d.send(airports, 'JFK', null, { timestamp: 1 })
    await d.send(flights, 'JFK', '4', { timestamp: 6 })
    expect(d.output(joined).map((r) => [r.key, r.value, r.timestamp])).to.deep.equal([['JFK', '2 from New York', 3]])
    expect(d.output('left').map((r) => [r.key, r.value])).to.deep.equal([
      ['JFK', '1 from null'],
      ['JFK', '2 from New York'],
      [null, '3 from null'],
      ['JFK', '4 from null']
    ])
    expect(d.dropped).to.deep.equal(['null-key', 'null-value', 'null-value'])
  })

  it('join with a filtered table sees its rows only', async () => {
    const t = topology()
    const named = t
      .table(airports)
      .filter((name) => name.startsWith('New'))
      .mapValues((name) => name.length)
    t.stream(flights)
      .join(named, (flight, length) => `${flight}:${length}`)
      .to(joined)
    const d = await drive(t)
    await d.send(airports, 'JFK', 'New York')
    await d.send(airports, 'SFO', 'San Francisco')
    await d.send(flights, 'JFK', '1')
    await d.send(flights, 'SFO', '2')
    await d.send(airports, 'JFK', 'Old York')
    await d.send(flights, 'JFK', '3')
    expect(d.output(joined).map((r) => r.value)).to.deep.equal(['1:8'])
  })

  it('keep no rows that nobody needs', () => {
    const t = topology()
    t.table(airports).toStream().to('copy')
    expect(t.build('app').internalTopics.changelogs).to.deep.equal([])
  })

  it('from a stream: toTable repartitions a changed key and deletes on null', async () => {
    const t = topology()
    t.stream(flights)
      .selectKey(({ value }) => value?.slice(0, 1) ?? 'x', { key: string() })
      .toTable({ name: 'latest' })
      .toStream()
      .to('latest-out', { value: nullable(string()) })
    const d = await drive(t, { cache: false })
    await d.send(flights, null, 'ab')
    await d.send(flights, null, null)
    expect(d.output('latest-out').map((r) => [r.key, r.value])).to.deep.equal([
      ['a', 'ab'],
      ['x', null]
    ])
    expect(t.build('app').internalTopics.repartition.map((r) => r.topic)).to.deep.equal([
      'app-latest-input-repartition'
    ])
  })

  it('toStream with a selector changes the key', async () => {
    const t = topology()
    t.stream(clicks)
      .groupByKey()
      .windowedBy(tumbling(100))
      .count({ name: 'n' })
      .toStream(({ key }) => `${key.key}@${key.start}`, { key: string() })
      .to(out)
    const d = await drive(t, { cache: false })
    await d.send(clicks, 'a', 1, { timestamp: 250 })
    expect(rows(d)).to.deep.equal([['a@200', 1, 250]])
  })
})

describe('process', () => {
  const totals = keyValueStore('totals', { key: string(), value: long() })
  const seen = windowStore('seen', { key: string(), value: json<string[]>(), size: 100, retention: 200 })

  it('keeps state in stores, forwards, and drops with a reason', async () => {
    const t = topology()
    t.stream(clicks)
      .process(
        async ({ key, value, timestamp }, context) => {
          if (key === null || value === null) return context.drop('unwanted')
          const store = context.store('totals')
          const total = ((await store.get(key)) ?? 0) + value
          await store.put(key, total)
          const start = timestamp - (timestamp % 100)
          const windows = context.store('seen')
          await windows.put(key, [...((await windows.fetch(key, start)) ?? []), String(value)], start)
          await context.forward({ key: `${key}/${(await windows.fetch(key, start))!.join('+')}`, value: total })
        },
        { stores: [totals, seen], key: string(), value: long(), name: 'sum' }
      )
      .to(out)
    const d = await drive(t)
    await d.send(clicks, 'a', 2, { timestamp: 10 })
    await d.send(clicks, 'a', 3, { timestamp: 20 })
    await d.restart()
    await d.send(clicks, 'a', 4, { timestamp: 120 })
    await d.send(clicks, null, 4, { timestamp: 120 })
    expect(rows(d)).to.deep.equal([
      ['a/2', 2, 10],
      ['a/2+3', 5, 20],
      ['a/4', 9, 120]
    ])
    expect(d.dropped).to.deep.equal(['unwanted'])
  })

  it('fires by stream time with the first record, and by the wall clock on its grid', async () => {
    const fired: string[] = []
    const t = topology()
    t.stream(clicks)
      .process<string, number>(
        {
          create: () => ({
            init(context) {
              context.schedule(10, 'stream', (time) => {
                fired.push(`stream ${time} ${context.source?.topic}`)
              })
              const wall = context.schedule('1s', 'wall', (time) => {
                fired.push(`wall ${time}`)
                if (time >= 3_000) wall.cancel()
                return context.forward({ key: 'w', value: time })
              })
            },
            process() {}
          })
        },
        { key: string(), value: long() }
      )
      .to(out)
    const d = await drive(t)
    await d.send(clicks, 'a', 1, { timestamp: 25 })
    await d.send(clicks, 'a', 1, { timestamp: 29 })
    await d.send(clicks, 'a', 1, { timestamp: 30 })
    await d.advance(1_000)
    await d.advance(2_500)
    await d.advance(9_000)
    expect(fired).to.deep.equal(['stream 25 undefined', 'stream 30 undefined', 'wall 1000', 'wall 3500'])
    expect(rows(d)).to.deep.equal([
      ['w', 1_000, 1_000],
      ['w', 3_500, 3_500]
    ])
  })

  it('refuses a negative time and a store that is not connected', async () => {
    const t = topology()
    t.stream(clicks).process((_, context) => context.forward({ key: 'a', value: 1, timestamp: -1 }), {
      key: string(),
      name: 'back'
    })
    const d = await drive(t)
    await d.send(clicks, 'a', 1).then(
      () => expect.fail('accepted'),
      (e: Error) => expect(e.message).to.contain('timestamp -1')
    )
    const t2 = topology()
    t2.stream(clicks).process((_, context) => void context.store('totals' as never), { name: 'lone' })
    const d2 = await drive(t2)
    await d2.send(clicks, 'a', 1).then(
      () => expect.fail('accepted'),
      (e: TopologyError) => {
        expect(e.code).to.equal('ERR_TOPOLOGY_STORE')
        expect(e.message).to.contain('"lone"').and.contain('"totals"')
      }
    )
  })
})
