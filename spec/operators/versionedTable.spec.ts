/** Versioned tables: history, looks into the past, joins with a grace period, a naive model, restarts. */
import { expect } from 'chai'
import { type Table, type Topic, topic, topology } from '../../lib/dsl/index.ts'
import { TopologyError } from '../../lib/errors.ts'
import { bufferedSerde } from '../../lib/operators/bufferedSerde.ts'
import { type Versions, versionAt, versionsSerde, withVersion } from '../../lib/operators/versions.ts'
import type { Headers } from '../../lib/record.ts'
import { nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'
import { type Duration, seededRandom } from '../../lib/time.ts'

const serdes = { key: nullable(string()), value: nullable(string()) }
const asks = topic('asks', serdes)
const rates = topic('rates', serdes)
const out = topic('out', serdes)
const dash = (l: string | null, r: string | null): string => `${l}-${r}`
const rows = (d: Driver, t: Topic<string | null, string | null> = out): unknown[][] =>
  d.output(t).map((r) => [r.key, r.value, r.timestamp])

async function joined(
  versioned: Duration,
  options: { grace?: Duration; left?: boolean } = {},
  see: (table: Table<string, string>) => Table<string, string> = (table) => table
): Promise<Driver> {
  const t = topology()
  const table = see(t.table(rates, { versioned }))
  const { left, ...rest } = options
  const stream = t.stream(asks)
  const named = { name: 'rated', ...rest }
  const result = left ? stream.leftJoin(table, dash, named) : stream.join(table, dash, named)
  result.to(out, { value: serdes.value as never })
  return drive(t)
}
const rate = (d: Driver, value: string | null, timestamp: number, key = 'k') => d.send(rates, key, value, { timestamp })
const ask = (d: Driver, value: string, timestamp: number, key: string | null = 'k', headers: Headers = []) =>
  d.send(asks, key, value, { timestamp, headers })

describe('versioned tables', () => {
  it('give streams the value of their time, deletions included', async () => {
    const d = await joined(100, { left: true })
    await rate(d, 'a', 10)
    await rate(d, null, 20)
    await rate(d, 'c', 30)
    await rate(d, 'b', 15)
    for (const time of [5, 10, 17, 20, 29, 30, 99]) await ask(d, '?', time)
    expect(rows(d).map((r) => r[1])).to.deep.equal(['?-null', '?-a', '?-b', '?-null', '?-null', '?-c', '?-c'])
  })

  it('drop what is older than the history, and forget what no look can reach; the present value never goes', async () => {
    const d = await joined(10, { left: true })
    await rate(d, 'a', 100)
    await rate(d, 'x', 1, 'old')
    expect(d.dropped).to.deep.equal(['late'])
    await rate(d, 'b', 105)
    await rate(d, 'c', 200, 'other')
    await ask(d, '?', 103)
    await ask(d, '?', 105)
    await d.restart()
    await rate(d, 'y', 189)
    expect(d.dropped, 'time is that of before the restart').to.deep.equal(['late', 'late'])
    await ask(d, '?', 300)
    expect(rows(d).map((r) => r[1])).to.deep.equal(['?-null', '?-b', '?-b'])
  })

  it('pass history on as changes; joins of tables and kept rows leave it out', async () => {
    const t = topology()
    const table = t.table(rates, { versioned: 100, name: 'history' })
    table.toStream().to(out)
    const other = topic('other', string())
    table.join(t.table(other), dash).toStream().to('pairs', { value: string() })
    table
      .mapValues((v) => `<${v}>`, { name: 'marked', value: string() })
      .toStream()
      .to('marked')
    const d = await drive(t, { cache: false })
    await d.send(other, 'k', 'o', { timestamp: 1 })
    await rate(d, 'new', 50)
    await rate(d, 'old', 40)
    await rate(d, 'newer', 50)
    expect(rows(d).map((r) => r[1])).to.deep.equal(['new', 'old', 'newer'])
    expect(d.output('pairs').map((r) => r.value)).to.deep.equal(['new-o', 'newer-o'])
    expect(d.output('marked').map((r) => r.value)).to.deep.equal(['<new>', '<newer>'])
  })

  it('are seen through filter and mapValues, in the past too', async () => {
    const d = await joined(100, { left: true }, (table) =>
      table.filter((v) => v !== 'no').mapValues((v) => v.toUpperCase(), { value: string() })
    )
    await rate(d, 'a', 10)
    await rate(d, 'no', 20)
    await rate(d, 'c', 30)
    for (const time of [12, 22, 32]) await ask(d, '?', time)
    expect(rows(d).map((r) => r[1])).to.deep.equal(['?-A', '?-null', '?-C'])
  })

  it('come from a stream too', async () => {
    const t = topology()
    const table = t.stream(rates).toTable({ versioned: '1s', name: 'rates-then' })
    t.stream(asks)
      .join(table, dash)
      .to(out, { value: serdes.value as never })
    const d = await drive(t)
    await rate(d, 'a', 10)
    await rate(d, 'b', 20)
    await ask(d, '?', 15)
    expect(rows(d)).to.deep.equal([['k', '?-a', 15]])
  })

  it('equal a model that keeps everything', () => {
    const random = seededRandom(9)
    const whole = (n: number): number => Math.floor(random() * n)
    for (let run = 0; run < 60; run++) {
      const history = whole(30)
      const all = new Map<number, string | null>()
      let versions: Versions<string> = []
      let now = -1
      for (let i = 0; i < 30; i++) {
        const timestamp = Math.max(0, i * 2 - whole(25))
        if (timestamp < now - history) continue
        now = Math.max(now, timestamp)
        const value = whole(4) === 0 ? null : `${i}`
        all.set(timestamp, value)
        versions = withVersion(versions, { timestamp, value }, now - history)
        for (let time = Math.max(0, now - history); time <= now + 1; time++) {
          const at = [...all.keys()].filter((t) => t <= time)
          const wanted = at.length === 0 ? undefined : all.get(Math.max(...at))
          expect(versionAt(versions, time, now - history)?.value, `run ${run}: at ${time} of ${now}`).to.equal(wanted)
        }
      }
      const bytes = versionsSerde(string()).encode(versions)
      expect(versionsSerde(string()).decode(bytes, 0, bytes.length)).to.deep.equal(versions)
      expect(versions.filter((v) => v.timestamp < now - history).length).to.be.at.most(1)
    }
  })
})

describe('stream-table joins with a grace period', () => {
  it('wait for the table, then join in the order of time, at the same time in the order of keys and arrival', async () => {
    const d = await joined(100, { grace: 10 })
    await ask(d, '1', 100)
    await ask(d, '2', 95)
    await ask(d, '3', 100, 'a')
    await ask(d, '4', 100)
    await rate(d, 'new', 100)
    await rate(d, 'old', 90)
    await rate(d, 'A', 90, 'a')
    await ask(d, '5', 109)
    expect(rows(d)).to.deep.equal([['k', '2-old', 95]])
    await ask(d, '6', 110)
    expect(rows(d)).to.deep.equal([
      ['a', '3-A', 100],
      ['k', '1-new', 100],
      ['k', '4-new', 100]
    ])
  })

  it('join what comes later than the grace at once', async () => {
    const d = await joined(100, { grace: 10 })
    await rate(d, 'r', 1)
    await ask(d, 'waits', 100)
    await ask(d, 'late', 89)
    await ask(d, 'just', 90)
    expect(rows(d)).to.deep.equal([
      ['k', 'late-r', 89],
      ['k', 'just-r', 90]
    ])
  })

  it('keep what waits over a restart, with its headers', async () => {
    const d = await joined(100, { grace: 10, left: true })
    await ask(d, 'a', 100, 'k', [
      ['h', Buffer.from('1')],
      ['n', null]
    ])
    await ask(d, 'b', 100)
    await d.restart()
    await ask(d, 'c', 100)
    await ask(d, 'd', 110, 'k', [['h', Buffer.from('2')]])
    const results = d.output(out)
    expect(results.map((r) => r.value)).to.deep.equal(['a-null', 'b-null', 'c-null'])
    expect(results[0]!.headers).to.deep.equal([
      ['h', Buffer.from('1')],
      ['n', null]
    ])
    expect(results[1]!.headers).to.deep.equal([])
  })

  it('drop null values and null keys; a left join gives null keys at once', async () => {
    const d = await joined(100, { grace: 10 })
    await ask(d, 'a', 1, null)
    await d.send(asks, 'k', null, { timestamp: 500 })
    expect(d.dropped).to.deep.equal(['null-key', 'null-value'])
    const left = await joined(100, { grace: 10, left: true })
    await ask(left, 'a', 1, null)
    expect(rows(left)).to.deep.equal([[null, 'a-null', 1]])
  })

  it('need a versioned table, with a history that is long enough', async () => {
    const t = topology()
    expect(() => t.stream(asks).join(t.table(rates), dash, { grace: 10 })).to.throw(TopologyError, 'must be versioned')
    const short = topology()
    const table = short.table(rates, { versioned: 9 })
    expect(() => short.stream(asks).join(table, dash, { grace: 10 })).to.throw(TopologyError, 'history is 9 ms')
  })

  it('keep records whole in the buffer', () => {
    const serde = bufferedSerde(string())
    const record = {
      value: 'v',
      headers: [
        ['é', Buffer.from('x')],
        ['n', null],
        ['e', Buffer.alloc(0)]
      ] as Headers
    }
    const bytes = serde.encode(record)
    expect(serde.decode(Buffer.concat([Buffer.from('..'), bytes]), 2, 2 + bytes.length)).to.deep.equal(record)
  })
})
