/** Sessions: growing, merging, closing; with and without cache, over restarts, against a naive model. */
import { expect } from 'chai'
import { type Late, session, topic, topology } from '../../lib/dsl/index.ts'
import { json, nullable, sessionWindowed, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'
import { seededRandom } from '../../lib/time.ts'

const numbers = topic('numbers', { key: nullable(string()), value: nullable(json<number>()) })
const out = topic('out', { key: sessionWindowed(string()), value: nullable(json<number[]>()) })
type Row = [key: string, window: string, value: number[] | null, timestamp: number]

interface Input {
  readonly key: string
  readonly value: number
  readonly time: number
}

interface Setup {
  readonly gap: number
  readonly grace: number
  readonly emit?: 'update' | 'close'
  readonly cache?: boolean
  /** Commits, and every second time restarts, after so many inputs. */
  readonly every?: number
}

const lists = (setup: Setup, onLate?: (late: Late<string, number | null>) => void) => {
  const t = topology()
  t.stream(numbers)
    .groupByKey()
    .windowedBy(session(setup.gap, { grace: setup.grace }), { emit: setup.emit, onLate })
    .aggregate<number[]>(
      () => [],
      (list, value) => [...list, value!],
      { name: 'lists', value: json<number[]>(), merge: (_, a, b) => [...a, ...b] }
    )
    .toStream()
    .to(out)
  return t
}

async function run(inputs: readonly Input[], setup: Setup, late?: Late<string, number | null>[]): Promise<Row[]> {
  const d = await drive(
    lists(setup, (l) => late?.push(l)),
    { cache: setup.cache ?? false }
  )
  for (const [i, { key, value, time }] of inputs.entries()) {
    await d.send(numbers, key, value, { timestamp: time })
    if (setup.every === undefined || (i + 1) % setup.every > 0) continue
    if ((i + 1) % (2 * setup.every) === 0) await d.restart()
    else await d.commit()
  }
  await d.commit()
  const rows = d.output(out).map(({ key, value, timestamp }): Row => {
    const { key: raw, start, end } = key!
    return [raw, `${start}-${end}`, value, timestamp]
  })
  await d.close()
  return rows
}

const random = (seed: number, count: number, disorder: number): Input[] => {
  const next = seededRandom(seed)
  const inputs: Input[] = []
  let now = 0
  for (let value = 0; value < count; value++) {
    now += Math.floor(next() * 6)
    if (next() < 0.1) now += 25
    inputs.push({ key: next() < 0.5 ? 'a' : 'b', value, time: Math.max(0, now - Math.floor(next() * disorder)) })
  }
  return inputs
}

const byNumber = (a: number, b: number): number => a - b

/** Sees all records: those of a key by time, cut where two are further apart than the gap. */
function model(inputs: readonly Input[], gap: number): unknown[] {
  const found: unknown[] = []
  for (const key of ['a', 'b']) {
    const records = inputs.filter((r) => r.key === key).sort((a, b) => a.time - b.time)
    let from = 0
    for (let i = 1; i <= records.length; i++) {
      if (i < records.length && records[i]!.time - records[i - 1]!.time <= gap) continue
      const held = records.slice(from, i)
      found.push([`${key} ${held[0]!.time}-${held.at(-1)!.time}`, held.map((r) => r.value).sort(byNumber)])
      from = i
    }
  }
  return found.sort()
}

/** The rows that are left when deletions have deleted. */
function left(rows: readonly Row[]): unknown[] {
  const windows = new Map<string, number[]>()
  for (const [key, window, value] of rows) {
    if (value === null) windows.delete(`${key} ${window}`)
    else windows.set(`${key} ${window}`, [...value].sort(byNumber))
  }
  return [...windows].sort()
}

async function held(d: Driver): Promise<number> {
  let rows = 0
  for await (const _ of d.tasks[0]!.state.store('lists').scan({ from: '', to: undefined })) rows++
  return rows
}

describe('sessions', () => {
  it('are the records of a key that lie at most a gap apart, in order or not', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const inputs = random(seed, 80, seed % 3 === 0 ? 0 : 40)
      const gap = [1, 4, 9][seed % 3]!
      expect(left(await run(inputs, { gap, grace: 10_000 })), `seed ${seed}`).to.deep.equal(model(inputs, gap))
    }
  })

  it('end with the same values whatever the cache, the commits and the restarts', async () => {
    for (let seed = 20; seed <= 27; seed++) {
      const inputs = random(seed, 100, 40)
      const base = { gap: 5, grace: 12 }
      const plain = await run(inputs, base)
      for (const other of [{ cache: true }, { cache: true, every: 5 }, { every: 7 }, { cache: true, every: 1 }]) {
        const rows = await run(inputs, { ...base, ...other })
        expect(left(rows), `${seed} ${JSON.stringify(other)}`).to.deep.equal(left(plain))
        if (!('cache' in other)) expect(rows).to.deep.equal(plain)
      }
    }
  })

  it('on close go on once each, in the order of time, with what they end as, also over restarts', async () => {
    for (let seed = 30; seed <= 37; seed++) {
      const inputs = [...random(seed, 100, 40), { key: 'z', value: -1, time: 100_000 }]
      const base = { gap: 5, grace: 12 }
      const updates = left(await run(inputs, base)).filter((row) => !(row as string[])[0]!.startsWith('z'))
      for (const other of [{}, { cache: true }, { every: 3 }, { cache: true, every: 4 }]) {
        const rows = await run(inputs, { ...base, ...other, emit: 'close' })
        expect(rows.length).to.equal(updates.length)
        expect(left(rows)).to.deep.equal(updates)
        const ends = rows.map((row) => row[3])
        expect(ends).to.deep.equal([...ends].sort(byNumber))
      }
    }
  })

  it('take back what they were, first, with its own end as time; a point that stays a point does not', async () => {
    const inputs = [10, 10, 13, 7].map((time, value) => ({ key: 'a', value, time }))
    expect(await run(inputs, { gap: 5, grace: 20 })).to.deep.equal([
      ['a', '10-10', [0], 10],
      ['a', '10-10', [0, 1], 10],
      ['a', '10-10', null, 10],
      ['a', '10-13', [0, 1, 2], 13],
      ['a', '10-13', null, 13],
      ['a', '7-13', [0, 1, 2, 3], 13]
    ])
  })

  it('that came and went between two commits are not seen with a cache', async () => {
    const inputs = [10, 13, 16].map((time, value) => ({ key: 'a', value, time }))
    expect(await run(inputs, { gap: 5, grace: 20, cache: true })).to.deep.equal([['a', '10-16', [0, 1, 2], 16]])
    expect(await run(inputs, { gap: 5, grace: 20, cache: true, every: 2 })).to.deep.equal([
      ['a', '10-13', [0, 1], 13],
      ['a', '10-13', null, 13],
      ['a', '10-16', [0, 1, 2], 16]
    ])
  })

  it('refuse a record when all it could become is closed, and join nothing once they are closed', async () => {
    const late: Late<string, number | null>[] = []
    const inputs = [
      { key: 'a', value: 0, time: 10 },
      { key: 'b', value: 1, time: 30 }, // closes what ends before 25
      { key: 'a', value: 2, time: 12 },
      { key: 'a', value: 3, time: 26 }
    ]
    const rows = await run(inputs, { gap: 5, grace: 0 }, late)
    expect(late.map(({ timestamp, window, lateBy }) => [timestamp, window.start, window.end, lateBy])).to.deep.equal([
      [12, 12, 12, 13]
    ])
    expect(rows.map((row) => row[1])).to.deep.equal(['10-10', '30-30', '26-26'])
  })

  it('leave the store when they are closed: rows and marks', async () => {
    for (const cache of [true, false]) {
      const d = await drive(lists({ gap: 5, grace: 0 }), { cache })
      for (let time = 0; time < 2_000; time += 10) {
        await d.send(numbers, `k${time % 70}`, time, { timestamp: time })
        if (time % 100 === 0) await d.commit()
      }
      await d.commit()
      await d.send(numbers, 'z', 1, { timestamp: 5_000 })
      await d.commit()
      await d.send(numbers, 'z', 1, { timestamp: 5_001 })
      await d.commit()
      expect(await held(d)).to.equal(2)
      await d.close()
    }
  })

  it('drop null keys, and give null values to the function', async () => {
    const d = await drive(lists({ gap: 5, grace: 0 }), { cache: false })
    await d.send(numbers, null, 1, { timestamp: 1 })
    await d.send(numbers, 'a', null, { timestamp: 20 })
    expect(d.dropped).to.deep.equal(['null-key'])
    expect(d.output(out).map((r) => r.value)).to.deep.equal([[null]])
  })

  it('travel with keys as the JVM writes them: key, end, start', () => {
    const key = sessionWindowed(string())
    const bytes = key.encode({ key: 'ab', start: 5, end: 258 })
    expect(bytes.toString('hex')).to.equal('616200000000000001020000000000000005')
    expect(key.decode(bytes, 0, bytes.length)).to.deep.equal({ key: 'ab', start: 5, end: 258 })
  })
})
