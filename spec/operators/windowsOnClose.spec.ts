/** Windows of time: emitted once when they close, late records shown, the window without an end. */
import { expect } from 'chai'
import { hopping, type Late, topic, topology, tumbling, unlimited } from '../../lib/dsl/index.ts'
import { json, nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'
import { seededRandom } from '../../lib/time.ts'

const numbers = topic('numbers', { key: nullable(string()), value: nullable(json<number>()) })
type Numbered = Late<string, number | null>

const closing = (windows: Parameters<typeof build>[0], onLate?: (late: Numbered) => void) => build(windows, onLate)
function build(
  windows: ReturnType<typeof tumbling>,
  onLate?: (late: Numbered) => void,
  emit: 'close' | 'update' = 'close'
) {
  const t = topology()
  t.stream(numbers)
    .groupByKey()
    .windowedBy(windows, { emit, onLate })
    .aggregate(
      () => 0,
      (sum, value) => (value === -1 ? null : sum + (value ?? 0)),
      { name: 'sums', value: json<number>() }
    )
    .toStream()
    .to('out')
  return t
}

const plain = (d: Driver): unknown[] =>
  d.output('out').map(({ key, value, timestamp }) => {
    const { key: raw, start } = key as unknown as { key: string; start: number }
    return [`${raw} ${start}`, value, timestamp]
  })

describe('windows of time on close', () => {
  it('are all emitted by one record that jumps far ahead, also when it is the first after a restart', async () => {
    for (const cache of [false, true]) {
      const d = await drive(closing(tumbling(10)), { cache })
      for (let time = 0; time < 9; time++) await d.send(numbers, `k${time % 3}`, 1, { timestamp: time })
      await d.send(numbers, 'b', 5, { timestamp: 12 })
      expect(plain(d)).to.deep.equal([
        ['k0 0', 3, 6],
        ['k1 0', 3, 7],
        ['k2 0', 3, 8]
      ])
      await d.send(numbers, 'a', 7, { timestamp: 19 })
      await d.restart()
      await d.send(numbers, 'z', 1, { timestamp: 9_000_000_000 })
      expect(plain(d)).to.deep.equal([
        ['a 10', 7, 19],
        ['b 10', 5, 12]
      ])
      await d.restart()
      await d.send(numbers, 'z', 1, { timestamp: 9_000_000_001 })
      expect(plain(d)).to.deep.equal([])
      await d.close()
    }
  })

  it('come out once each, in the order of time, with the value that they end with, over restarts', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const next = seededRandom(seed)
      let now = 0
      const inputs = Array.from({ length: 150 }, (_, value) => {
        now += Math.floor(next() * 4) + (next() < 0.05 ? 100 : 0)
        return { key: next() < 0.5 ? 'a' : 'b', value, time: Math.max(0, now - Math.floor(next() * 25)) }
      })
      inputs.push({ key: 'z', value: 1, time: 100_000 })
      const run = async (cache: boolean, every: number, emit: 'close' | 'update' = 'close'): Promise<unknown[][]> => {
        const d = await drive(build(hopping(12, { advance: 4, grace: 9 }), undefined, emit), { cache })
        for (const [i, { key, value, time }] of inputs.entries()) {
          await d.send(numbers, key, value, { timestamp: time })
          if ((i + 1) % every === 0) await d.restart()
        }
        await d.commit()
        const out = plain(d) as unknown[][]
        await d.close()
        return out.filter(([name]) => !String(name).startsWith('z'))
      }
      const updates = new Map((await run(false, 1_000, 'update')).map(([name, value]) => [name, value]))
      const final = await run(false, 1_000)
      expect(new Map(final.map(([name, value]) => [name, value]))).to.deep.equal(updates)
      expect(final.length).to.equal(updates.size)
      const starts = final.map(([name]) => Number(String(name).split(' ')[1]))
      expect(starts).to.deep.equal([...starts].sort((a, b) => a - b))
      for (const [cache, every] of [
        [true, 1_000],
        [false, 3],
        [true, 7]
      ] as const) {
        expect(await run(cache, every)).to.deep.equal(final)
      }
    }
  })

  it('have the headers of the record that closed them; a deleted window is not emitted', async () => {
    const d = await drive(closing(tumbling(10)), { cache: true })
    await d.send(numbers, 'a', 4, { timestamp: 1 })
    await d.send(numbers, 'b', 4, { timestamp: 1 })
    await d.send(numbers, 'b', -1, { timestamp: 2 })
    const headers = [['by', Buffer.from('me')]] as const
    await d.send(numbers, 'c', 1, { timestamp: 10, headers })
    expect(d.output('out')).to.deep.equal([
      { topic: 'out', key: { key: 'a', start: 0, end: 10 }, value: 4, timestamp: 1, headers }
    ])
  })
})

describe('onLate', () => {
  it('sees each window that refuses a record, and how late it is', async () => {
    const late: Numbered[] = []
    const d = await drive(closing(hopping(10, { advance: 5, grace: 2 }), (l) => late.push(l)))
    await d.send(numbers, 'a', 1, { timestamp: 20 })
    await d.send(numbers, 'b', 7, { timestamp: 9 })
    expect(late).to.deep.equal([
      { key: 'b', value: 7, timestamp: 9, window: { start: 0, end: 10 }, lateBy: 8 },
      { key: 'b', value: 7, timestamp: 9, window: { start: 5, end: 15 }, lateBy: 3 }
    ])
    expect(d.dropped).to.deep.equal(['late', 'late'])
  })
})

describe('the unlimited window', () => {
  it('takes every record from its start on, however late, for ever', async () => {
    const d = await drive(build(unlimited({ start: 100 }), undefined, 'update'), { cache: false })
    for (const [value, timestamp] of [
      [1, 50],
      [2, 100],
      [3, 9_000_000_000],
      [4, 101]
    ] as const) {
      await d.send(numbers, 'a', value, { timestamp })
      await d.restart()
    }
    expect(plain(d)).to.deep.equal([
      ['a 100', 2, 100],
      ['a 100', 5, 9_000_000_000],
      ['a 100', 9, 9_000_000_000]
    ])
    expect(d.dropped).to.deep.equal([])
  })
})
