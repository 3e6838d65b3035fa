/** Rows that live for a time: in tables, aggregations and stores of processors; with and without cache, over commits and restarts. */
import { expect } from 'chai'
import fc from 'fast-check'
import { keyValueStore, topic, topology } from '../../lib/dsl/index.ts'
import { TopologyError } from '../../lib/errors.ts'
import { json, long, nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

const clicks = topic('clicks', { key: string(), value: nullable(long()) })
const ask = topic('ask', { key: string(), value: long() })
const out = topic('out', { key: string(), value: nullable(long()) })
const joined = topic('joined', { key: string(), value: json<(number | null)[]>() })
const rows = (d: Driver): unknown[][] => d.output(out).map(({ key, value, timestamp }) => [key, value, timestamp])

const counting = () => {
  const t = topology()
  t.stream(clicks).groupByKey().count({ name: 'counts', ttl: 10 }).toStream().to(out)
  return t
}

describe('ttl', () => {
  it('deletes an aggregate when stream time has passed its time, at that moment, and the next record begins anew', async () => {
    const d = await drive(counting(), { cache: false })
    await d.send(clicks, 'a', 1, { timestamp: 0 })
    await d.send(clicks, 'a', 1, { timestamp: 5 })
    await d.send(clicks, 'b', 1, { timestamp: 14 })
    expect(rows(d)).to.deep.equal([
      ['a', 1, 0],
      ['a', 2, 5],
      ['b', 1, 14]
    ])
    await d.send(clicks, 'c', 1, { timestamp: 15 })
    await d.send(clicks, 'a', 1, { timestamp: 15 })
    await d.send(clicks, 'c', 1, { timestamp: 24 })
    expect(rows(d)).to.deep.equal([
      ['a', null, 15],
      ['c', 1, 15],
      ['a', 1, 15],
      ['b', null, 24],
      ['c', 2, 24]
    ])
  })

  it('drops what could not live any more as late, and counts what comes late for a row that lives', async () => {
    const d = await drive(counting(), { cache: false })
    await d.send(clicks, 'a', 1, { timestamp: 20 })
    await d.send(clicks, 'a', 1, { timestamp: 1 })
    await d.send(clicks, 'b', 1, { timestamp: 10 })
    await d.send(clicks, 'b', 1, { timestamp: 11 })
    expect(rows(d)).to.deep.equal([
      ['a', 1, 20],
      ['a', 2, 20],
      ['b', 1, 11]
    ])
    expect(d.dropped).to.deep.equal(['late'])
  })

  it('of a table: its rows leave, joins do not find them, grouped tables take them off', async () => {
    const t = topology()
    const table = t.table(clicks, { name: 'latest', ttl: '10ms' })
    table
      .groupBy((value) => ['all', value] as const, { key: string(), value: long(), name: 'all' })
      .reduce(
        (a, b) => a + b,
        (a, b) => a - b,
        { name: 'sum' }
      )
      .toStream()
      .to(out)
    t.stream(ask)
      .leftJoin(table, (value, row) => [value, row])
      .to(joined)
    const d = await drive(t, { cache: false })
    await d.send(clicks, 'a', 3, { timestamp: 0 })
    await d.send(clicks, 'b', 4, { timestamp: 6 })
    await d.send(ask, 'a', 1, { timestamp: 9 })
    await d.send(clicks, 'c', 5, { timestamp: 10 })
    await d.send(ask, 'a', 2, { timestamp: 10 })
    expect(rows(d).map((r) => r[1])).to.deep.equal([3, 7, 4, 9])
    expect(d.output(joined).map((r) => r.value)).to.deep.equal([
      [1, 3],
      [2, null]
    ])
  })

  it('of a store of a processor: rows past it are neither read nor scanned nor put, by the time of the task', async () => {
    const seen = keyValueStore('seen', { key: string(), value: long(), ttl: 10 })
    const t = topology()
    t.stream(clicks)
      .process(
        async ({ key, value, timestamp }, context) => {
          const store = context.store('seen')
          const known = await store.get(key)
          if (value !== null) await store.put(key, value, timestamp)
          const all: string[] = []
          for await (const [k] of store.all()) all.push(k)
          await context.forward({ key, value: [known, all.length] })
        },
        { stores: [seen], key: string(), value: json<(number | null)[]>() }
      )
      .to(joined)
    const built = t.build('app')
    expect(built.internalTopics.changelogs.map((c) => c.store.name)).to.deep.equal(['seen'])
    for (const cache of [false, true]) {
      const d = await drive(t, { cache })
      await d.send(clicks, 'a', 1, { timestamp: 0 })
      await d.send(clicks, 'b', 2, { timestamp: 4 })
      await d.send(clicks, 'a', null, { timestamp: 9 })
      if (cache) await d.restart()
      await d.send(clicks, 'a', null, { timestamp: 10 })
      await d.send(clicks, 'c', 3, { timestamp: 0 })
      await d.send(clicks, 'b', 5, { timestamp: 12 })
      await d.send(clicks, 'b', null, { timestamp: 14 })
      await d.send(clicks, 'b', null, { timestamp: 22 })
      expect(d.output(joined).map((r) => r.value)).to.deep.equal([
        [null, 1],
        [null, 2],
        [1, 2],
        [null, 1],
        [null, 1],
        [2, 1],
        [5, 1],
        [null, 0]
      ])
      await d.commit()
      expect(await storedRows(d)).to.deep.equal([0, 0])
      await d.close()
    }
  })

  it('is at least a millisecond', () => {
    for (const ttl of [0, -1, 'x'] as never[]) {
      expect(() => keyValueStore('s', { key: string(), value: long(), ttl }))
        .to.throw(TopologyError, 'ttl of store "s"')
        .with.property('code', 'ERR_TOPOLOGY_WINDOW')
    }
  })

  it('works a jump of time over very many rows off with the records behind it, and hides them meanwhile', async () => {
    const t = topology()
    t.table(clicks, { name: 'latest', ttl: 10 }).toStream().to(out)
    const d = await drive(t)
    for (let i = 0; i < 10_100; i++) await d.send(clicks, `k${i}`, i, { timestamp: i % 5 })
    await d.restart()
    await d.send(clicks, 'z', 1, { timestamp: 100 })
    await d.commit()
    d.output(out)
    expect(await storedRows(d)).to.deep.equal([101, 101])
    await d.send(clicks, 'z', 2, { timestamp: 100 })
    await d.commit()
    expect(await storedRows(d)).to.deep.equal([1, 1])
    expect(d.output(out).filter((r) => r.value === null)).to.have.length(100)
  }).timeout(20_000)

  type Op = [key: string, value: number | null, time: number, then: string]
  const op = fc.tuple(
    fc.constantFrom('a', 'b', 'c', 'd'),
    fc.option(fc.integer({ min: 1, max: 9 }), { freq: 4 }),
    fc.integer({ min: 0, max: 60 }),
    fc.constantFrom('', '', '', 'commit', 'restart')
  )

  const RENEWED: Op[] = [
    ['a', 1, 0, ''],
    ['a', 1, 1, ''],
    ['b', 1, 0, ''],
    ['a', 1, 11, '']
  ]

  /** What lives, by a naive model: every row looked at for every record. */
  class Model {
    readonly rows = new Map<string, [value: number, time: number]>()
    time = -1
    readonly out: unknown[][] = []

    step(time: number): void {
      this.time = Math.max(this.time, time)
      const due = [...this.rows].filter(([, [, at]]) => at + 10 <= this.time)
      due.sort(([a, [, x]], [b, [, y]]) => x - y || (a < b ? -1 : 1))
      for (const [key, [, at]] of due) {
        this.rows.delete(key)
        this.out.push([key, null, at + 10])
      }
    }

    set(key: string, value: number | null, time: number): void {
      if (value === null) this.rows.delete(key)
      else this.rows.set(key, [value, time])
      this.out.push([key, value, time])
    }
  }

  const tables = {
    'an aggregation': {
      build: counting,
      apply: (model: Model, [key, value, time]: Op) => {
        if (value === null) return
        model.step(time)
        const [count, at] = model.rows.get(key) ?? [0, -1]
        if (count === 0 && time + 10 <= model.time) return
        model.set(key, count + 1, Math.max(time, at))
      }
    },
    'a table': {
      build: () => {
        const t = topology()
        t.table(clicks, { ttl: 10, name: 'latest' }).toStream().to(out)
        return t
      },
      apply: (model: Model, [key, value, time]: Op) => {
        model.step(time)
        if (value !== null && time + 10 <= model.time) return
        model.set(key, value, time)
      }
    }
  }
  for (const [what, { build, apply }] of Object.entries(tables)) {
    it(`of ${what} equals a model that looks at every row for every record, whenever it commits or restarts`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(op, { maxLength: 30 }), fc.boolean(), async (ops, cache) => {
          const model = new Model()
          const d = await drive(build(), { cache })
          for (const one of ops) {
            const [key, value, time, then] = one
            await d.send(clicks, key, value, { timestamp: time })
            apply(model, one)
            if (then === 'commit') await d.commit()
            if (then === 'restart') await d.restart()
          }
          await d.commit()
          const all = rows(d)
          if (!cache) expect(order(all)).to.deep.equal(order(model.out))
          const last = new Map(all.map((r) => [r[0], r[1]]))
          const live = [...last].filter(([, value]) => value !== null).sort()
          expect(live).to.deep.equal([...model.rows].map(([key, [value]]) => [key, value]).sort())
          expect((await storedRows(d))[0]).to.equal(model.rows.size)
          await d.close()
        }),
        {
          numRuns: 150,
          // A renewed row left with its old mark, before another whose end was earlier.
          examples: what === 'an aggregation' ? [[RENEWED, false]] : []
        }
      )
    })
  }
})

/** Rows that leave at one moment have no order among them but that of their times. */
const order = (all: unknown[][]): string[] => all.map((row) => row.join(' '))

/** Rows in each store. */
async function storedRows(d: Driver): Promise<number[]> {
  const counts: number[] = []
  for (const store of d.tasks[0]!.state.stores) {
    let n = 0
    for await (const _ of store.scan({ from: '', to: undefined })) n++
    counts.push(n)
  }
  return counts
}
