/** Sliding windows: every distinct set of records in reach of each other, with and without cache, over restarts, against a naive model. */
import { expect } from 'chai'
import { type Late, sliding, topic, topology } from '../../lib/dsl/index.ts'
import { json, nullable, string } from '../../lib/serde/index.ts'
import { drive } from '../../lib/testing/drive.ts'
import { seededRandom } from '../../lib/time.ts'

const numbers = topic('numbers', { key: nullable(string()), value: nullable(json<number>()) })
type Row = [key: string, window: string, value: unknown, timestamp: number]

interface Input {
  readonly key: string
  readonly value: number
  readonly time: number
}

interface Setup {
  readonly difference: number
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
    .windowedBy(sliding(setup.difference, { grace: setup.grace }), { emit: setup.emit, onLate })
    .aggregate<number[]>(
      () => [],
      (list, value) => [...list, value!],
      { name: 'lists', value: json<number[]>() }
    )
    .toStream()
    .to('out')
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
  const rows = d.output('out').map(({ key, value, timestamp }): Row => {
    const { key: raw, start, end } = key as unknown as { key: string; start: number; end: number }
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
    if (next() < 0.03) now += 60
    inputs.push({ key: next() < 0.5 ? 'a' : 'b', value, time: Math.max(0, now - Math.floor(next() * disorder)) })
  }
  return inputs
}

/** Sees all records: windows that end at a record or begin behind one, each with the records in it, in order of arrival. */
function model(inputs: readonly Input[], difference: number): Map<string, unknown> {
  const windows = new Map<string, unknown>()
  for (const { key, time } of inputs) {
    for (const start of [Math.max(0, time - difference), time + 1]) {
      const held = inputs.filter((r) => r.key === key && r.time >= start && r.time <= start + difference)
      if (held.length > 0) windows.set(`${key} ${start}-${start + difference}`, held.map((r) => r.value).sort(byNumber))
    }
  }
  return windows
}
const byNumber = (a: number, b: number): number => a - b
const last = (rows: readonly Row[]): Map<string, unknown> =>
  new Map(rows.map(([key, window, value]) => [`${key} ${window}`, [...(value as number[])].sort(byNumber)]))
const sorted = (windows: Map<string, unknown>): unknown[] => [...windows].sort(([a], [b]) => (a < b ? -1 : 1))

describe('sliding windows', () => {
  it('hold every distinct set of records in reach of each other, in order or not', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const inputs = random(seed, 60, seed % 3 === 0 ? 0 : 25)
      const difference = [0, 1, 7, 20][seed % 4]!
      const rows = await run(inputs, { difference, grace: 10_000 })
      expect(sorted(last(rows)), `seed ${seed}`).to.deep.equal(sorted(model(inputs, difference)))
    }
  })

  it('end with the same values whatever the cache, the commits and the restarts', async () => {
    for (let seed = 20; seed <= 25; seed++) {
      const inputs = random(seed, 80, 30)
      const base = { difference: 9, grace: 12 }
      const plain = await run(inputs, base)
      for (const other of [{ cache: true }, { cache: true, every: 5 }, { every: 7 }, { cache: true, every: 1 }]) {
        const rows = await run(inputs, { ...base, ...other })
        expect(sorted(last(rows)), JSON.stringify(other)).to.deep.equal(sorted(last(plain)))
        if (!('cache' in other)) expect(rows).to.deep.equal(plain)
      }
    }
  })

  it('on close go on once each, in the order of time, with the value that they end with, also over restarts', async () => {
    for (let seed = 30; seed <= 35; seed++) {
      const inputs = [...random(seed, 80, 30), { key: 'z', value: -1, time: 100_000 }]
      const base = { difference: 9, grace: 12 }
      const updates = last(await run(inputs, base))
      for (const key of [...updates.keys()]) if (key.startsWith('z')) updates.delete(key)
      for (const other of [{}, { cache: true }, { every: 3 }, { cache: true, every: 4 }]) {
        const rows = await run(inputs, { ...base, ...other, emit: 'close' })
        expect(rows.length).to.equal(updates.size)
        expect(sorted(last(rows))).to.deep.equal(sorted(updates))
        const ends = rows.map((row) => Number(row[1].split('-')[1]))
        expect(ends).to.deep.equal([...ends].sort(byNumber))
      }
    }
  })

  it('refuse what no open window takes, once per window, and tell the handler how late it was', async () => {
    const late: Late<string, number | null>[] = []
    const inputs = [100, 130, 85, 105].map((time, value) => ({ key: 'a', value, time }))
    const rows = await run(inputs, { difference: 10, grace: 15 }, late)
    // 85: its last window ends at 95, windows up to 115 are closed. 105: closed windows [95,105] and [101,111] refuse it as well.
    expect(late.map(({ timestamp, window, lateBy }) => [timestamp, window.start, window.end, lateBy])).to.deep.equal([
      [85, 85, 95, 20],
      [105, 101, 111, 4],
      [105, 95, 105, 10]
    ])
    expect(rows.map((row) => row[1])).to.deep.equal(['90-100', '120-130'])
  })

  it('drop null keys and null values', async () => {
    const d = await drive(lists({ difference: 10, grace: 0 }), { cache: false })
    await d.send(numbers, null, 1, { timestamp: 1 })
    await d.send(numbers, 'a', null, { timestamp: 900 })
    await d.send(numbers, 'a', 1, { timestamp: 20 })
    expect(d.dropped).to.deep.equal(['null-key', 'null-value'])
    expect(d.output('out')).to.have.length(1)
  })

  it('leave the store when nobody can need them', async () => {
    const t = lists({ difference: 10, grace: 0 })
    const d = await drive(t, { cache: true })
    for (let time = 0; time < 5_000; time += 7) await d.send(numbers, 'a', time, { timestamp: time })
    await d.commit()
    await d.commit()
    let rows = 0
    for await (const _ of d.tasks[0]!.state.store('lists').scan({ from: '', to: undefined })) rows++
    expect(rows).to.be.within(1, 10)
  })
})
