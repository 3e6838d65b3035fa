/** Joins of two tables: caches, chains over one table, restarts, a naive model. */
import { expect } from 'chai'
import { session, sliding, type Table, topic, topology, tumbling } from '../../lib/dsl/index.ts'
import { long, nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'
import { seededRandom } from '../../lib/time.ts'

const a = topic('a', string())
const b = topic('b', string())
const out = topic('out', { key: string(), value: nullable(string()) })
const dash = (l: string | null, r: string | null): string => `${l}-${r}`
type Kind = 'join' | 'leftJoin' | 'outerJoin'
const KINDS: readonly Kind[] = ['join', 'leftJoin', 'outerJoin']
const rows = (d: Driver): unknown[][] => d.output(out).map((r) => [r.key, r.value, r.timestamp])

/** The driver of what a function makes of tables a and b. */
async function driven(
  make: (a: Table<string, string>, b: Table<string, string>) => Table<string, string>,
  cache = false
): Promise<Driver> {
  const t = topology()
  make(t.table(a), t.table(b)).toStream().to(out)
  return drive(t, { cache })
}

describe('table-table joins', () => {
  it('give one result for each update of either side, at the higher time of both', async () => {
    const d = await driven((l, r) => l.join(r, dash))
    await d.send(a, 'k', 'A', { timestamp: 10 })
    await d.send(b, 'k', 'B', { timestamp: 5 })
    await d.send(b, 'k', 'B', { timestamp: 12 })
    expect(rows(d)).to.deep.equal([
      ['k', 'A-B', 10],
      ['k', 'A-B', 12]
    ])
  })

  for (const kind of KINDS) {
    it(`${kind} gives one result a key and commit with a cache, whichever sides changed`, async () => {
      const d = await driven((l, r) => l[kind as 'outerJoin'](r, dash), true)
      await d.send(a, 'k', 'A', { timestamp: 1 })
      await d.send(b, 'k', 'B', { timestamp: 2 })
      await d.commit()
      expect(rows(d)).to.deep.equal([['k', 'A-B', 2]])
      await d.send(b, 'k', 'C', { timestamp: 3 })
      await d.send(a, 'k', 'D', { timestamp: 4 })
      await d.restart()
      expect(rows(d)).to.deep.equal([['k', 'D-C', 4]])
      await d.send(b, 'k', null, { timestamp: 5 })
      await d.send(a, 'k', null, { timestamp: 6 })
      await d.commit()
      expect(rows(d).map((r) => r[1])).to.satisfy(
        (values: unknown[]) => values.length > 0 && values.every((v) => v === null)
      )
    })

    for (const cache of [false, true]) {
      it(`${kind} in a chain over one table gives each result once, and each tombstone${cache ? ', with a cache' : ''}`, async () => {
        const d = await driven((l, r) => l[kind as 'outerJoin'](r, dash)[kind as 'outerJoin'](r, dash), cache)
        const step = async (topic: typeof a, value: string | null, timestamp: number): Promise<unknown[]> => {
          await d.send(topic, 'k', value, { timestamp })
          if (cache) await d.commit()
          return rows(d)
        }
        await step(a, 'A', 1)
        expect(await step(b, 'B', 2)).to.deep.equal([['k', 'A-B-B', 2]])
        expect(await step(b, 'C', 3)).to.deep.equal([['k', 'A-C-C', 3]])
        const again = cache ? [] : [['k', 'A-C-C', 3]] // with a cache, what is equal to the last in all parts is left out
        expect(await step(b, 'C', 3)).to.deep.equal(again)
        expect(await step(a, 'D', 4)).to.deep.equal([['k', 'D-C-C', 4]])
        const gone = kind === 'join' ? null : 'D-null-null'
        expect(await step(b, null, 5)).to.deep.equal([['k', gone, 5]])
        expect(await step(b, 'E', 6)).to.deep.equal([['k', 'D-E-E', 6]])
        const alone = kind === 'outerJoin' ? 'null-E-E' : null
        expect(await step(a, null, 7)).to.deep.equal([['k', alone, 7]])
      })
    }
  }

  it('join a table with itself', async () => {
    for (const cache of [false, true]) {
      const d = await driven((l) => l.outerJoin(l, dash), cache)
      await d.send(a, 'k', 'A', { timestamp: 1 })
      await d.commit()
      expect(rows(d)).to.deep.equal([['k', 'A-A', 1]])
      await d.send(a, 'k', null, { timestamp: 2 })
      await d.commit()
      expect(rows(d)).to.deep.equal([['k', null, 2]])
    }
  })

  it('join computed tables, whose rows are then kept', async () => {
    const t = topology()
    const upper = t.table(a).mapValues((v) => v.toUpperCase(), { value: string() })
    upper
      .join(
        t.table(b).filter((v) => v !== 'no'),
        dash,
        { name: 'pairs', value: string() }
      )
      .toStream()
      .to(out)
    const d = await drive(t, { cache: false })
    await d.send(a, 'k', 'x', { timestamp: 1 })
    await d.send(b, 'k', 'y', { timestamp: 2 })
    await d.send(b, 'k', 'no', { timestamp: 3 })
    expect(rows(d)).to.deep.equal([
      ['k', 'X-y', 2],
      ['k', null, 3]
    ])
  })

  it('see computed tables as fresh as what they are computed from: no result of new and old, and each once', async () => {
    for (const cache of [false, true]) {
      const t = topology()
      const table = t.table(a)
      const wrap = (mark: string): Table<string, { v: string }> => table.mapValues((v) => ({ v: mark + v }))
      const pairs = wrap('l').leftJoin(wrap('r'), (l, r) => `${l.v}-${r?.v}`, { value: string() })
      pairs.toStream().to(out)
      const d = await drive(t, { cache })
      for (const [value, timestamp] of [
        ['1', 1],
        ['2', 2],
        [null, 3]
      ] as const) {
        await d.send(a, 'k', value, { timestamp })
        await d.commit()
      }
      expect(rows(d), `cache ${cache}`).to.deep.equal([
        ['k', 'l1-r1', 1],
        ['k', 'l2-r2', 2],
        ['k', null, 3]
      ])
    }
  })

  it('join tables of windows, of sliding ones too, and of sessions', async () => {
    for (const cache of [false, true]) {
      const t = topology()
      const grouped = t.stream(a).groupByKey()
      const text = { key: string(), value: nullable(string()) }
      const pair = (l: number, r: number): string => `${l}/${r}`
      for (const [name, windowed] of [
        ['tumbling', grouped.windowedBy(tumbling(10))],
        ['sliding', grouped.windowedBy(sliding(10))],
        ['session', grouped.windowedBy(session(10))]
      ] as const) {
        const twice = windowed.count({ name: `${name}-2` }).mapValues((n) => n * 2, { value: long() })
        windowed
          .count({ name })
          .join(twice, pair)
          .toStream((r) => `${name} ${r.key.key} ${r.key.start}`, { key: string() })
          .to(out, { value: text.value })
      }
      const d = await drive(t, { cache })
      await d.send(a, 'k', 'v', { timestamp: 1 })
      await d.send(a, 'k', 'v', { timestamp: 3 })
      await d.commit()
      const last = new Map(rows(d).map(([key, value]) => [key, value]))
      expect([...last].filter(([, value]) => value !== null)).to.have.deep.members([
        ['tumbling k 0', '2/4'],
        ['sliding k 0', '2/4'],
        ['sliding k 2', '1/2'],
        ['session k 1', '2/4']
      ])
    }
  })

  it('are seen by a stream of one of their tables with that very change, without rows of their own', async () => {
    const t = topology()
    const table = t.table(a)
    table
      .toStream()
      .join(
        table.join(t.table(b), dash).filter((v) => v !== 'no'),
        (own, pair) => `${own}:${pair}`
      )
      .to(out, { value: string() })
    expect(t.build('x').internalTopics.changelogs.map((c) => c.store.name)).to.deep.equal(['a-table', 'b-table'])
    const d = await drive(t, { cache: false })
    await d.send(b, 'k', 'B', { timestamp: 1 })
    await d.send(a, 'k', 'A', { timestamp: 2 })
    expect(rows(d)).to.deep.equal([['k', 'A:A-B', 2]])
  })

  it('equal a model without a cache, and end equal with one: any kind, disorder, restarts', async () => {
    const random = seededRandom(11)
    const whole = (n: number): number => Math.floor(random() * n)
    for (let run = 0; run < 30; run++) {
      const kind = KINDS[run % 3]!
      const cached = await driven((l, r) => l[kind as 'outerJoin'](r, dash), true)
      const d = await driven((l, r) => l[kind as 'outerJoin'](r, dash))
      const state = { a: new Map<string, [string, number]>(), b: new Map<string, [string, number]>() }
      const finals = new Map<string, unknown>()
      const seen = new Map<string, unknown>()
      for (let i = 0; i < 60; i++) {
        const isLeft = whole(2) === 0
        const key = 'xyz'[whole(3)]!
        const value = whole(3) === 0 ? null : `${i}`
        const timestamp = whole(100)
        const had = state[isLeft ? 'a' : 'b'].get(key)
        if (value === null) state[isLeft ? 'a' : 'b'].delete(key)
        else state[isLeft ? 'a' : 'b'].set(key, [value, timestamp])
        const [l, r] = [state.a.get(key), state.b.get(key)]
        const other = isLeft ? r : l
        const need = kind === 'join' || (kind === 'leftJoin' && !isLeft)
        const speaks = other !== undefined || (!need && (value !== null || had !== undefined))
        const present = kind === 'join' ? l && r : kind === 'leftJoin' ? l : (l ?? r)
        const result = present ? dash(l?.[0] ?? null, r?.[0] ?? null) : null
        await d.send(isLeft ? a : b, key, value, { timestamp })
        await cached.send(isLeft ? a : b, key, value, { timestamp })
        if (whole(8) === 0) await d.restart()
        if (whole(8) === 0) await (run % 2 ? cached.restart() : cached.commit())
        const wanted = speaks ? [[key, result, Math.max(timestamp, other?.[1] ?? -1)]] : []
        expect(rows(d), `run ${run}, record ${i}: ${kind}`).to.deep.equal(wanted)
        if (speaks) finals.set(key, result)
        for (const [k, v] of rows(cached)) seen.set(k as string, v)
      }
      await cached.commit()
      for (const [k, v] of rows(cached)) seen.set(k as string, v)
      const left = (m: Map<string, unknown>): unknown[] => [...m].filter(([, v]) => v !== null).sort()
      expect(left(seen), `run ${run}: ${kind}`).to.deep.equal(left(finals))
    }
  })
})
