/** Suppress: until windows close, until a time has passed, bounded; durable over restarts, with and without cache. */
import { expect } from 'chai'
import {
  hopping,
  type SuppressOptions,
  session,
  sliding,
  topic,
  topology,
  tumbling,
  unlimited
} from '../../lib/dsl/index.ts'
import { ConfigError, TopologyError } from '../../lib/errors.ts'
import { json, nullable, string } from '../../lib/serde/index.ts'
import type { Windowed } from '../../lib/serde/windowed.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'
import { seededRandom } from '../../lib/time.ts'

const numbers = topic('numbers', { key: nullable(string()), value: nullable(json<number>()) })
const rows = topic('rows', { key: string(), value: nullable(json<number>()) })

const limited = (options: SuppressOptions) => {
  const t = topology()
  t.table(rows, { name: 'rows-kept' })
    .suppress({ name: 'calm', ...options })
    .toStream()
    .to('out')
  return t
}

const final = (grace: number, options: Partial<SuppressOptions> = {}) => {
  const t = topology()
  t.stream(numbers)
    .groupByKey()
    .windowedBy(hopping(10, { advance: 5, grace }))
    .aggregate(
      () => 0,
      (sum, value) => sum + value!,
      { name: 'sums', value: json<number>() }
    )
    .suppress({ until: 'close', name: 'final', ...options })
    .toStream()
    .to('out')
  return t
}

const plain = (d: Driver): unknown[] =>
  d.output('out').map(({ key, value, timestamp }) => {
    const { key: raw, start } = key as unknown as { key: string; start: number }
    return [raw === undefined ? key : `${raw} ${start}`, value, timestamp]
  })

const fail = async (run: () => Promise<unknown>): Promise<Error & { code?: string }> => {
  try {
    await run()
  } catch (error) {
    return error as Error
  }
  throw new Error('It did not fail.')
}

async function waits(d: Driver, store: string): Promise<number> {
  let found = 0
  for (const { state } of d.tasks) {
    if (!state.stores.some((s) => s.spec.name === store)) continue
    for await (const _ of state.store(store).scan({ from: '', to: undefined })) found++
  }
  return found
}

describe('suppress until windows close', () => {
  it('gives the last value of each window once, in the order of time, over restarts, with and without cache', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const next = seededRandom(seed)
      let now = 0
      const inputs = Array.from({ length: 120 }, (_, value) => {
        now += Math.floor(next() * 4)
        return { key: next() < 0.5 ? 'a' : 'b', value, time: Math.max(0, now - Math.floor(next() * 25)) }
      })
      inputs.push({ key: 'z', value: 1, time: 10_000 })
      const run = async (cache: boolean, every: number, topologyOf = final(12)): Promise<unknown[]> => {
        const d = await drive(topologyOf, { cache })
        for (const [i, { key, value, time }] of inputs.entries()) {
          await d.send(numbers, key, value, { timestamp: time })
          if ((i + 1) % every === 0) await (((i + 1) / every) % 2 === 0 ? d.restart() : d.commit())
        }
        await d.commit()
        const out = plain(d)
        expect(await waits(d, 'final')).to.equal(2) // the two windows of the last record
        await d.close()
        return out
      }
      const direct = await run(false, 1_000)
      const names = direct.map((row) => (row as string[])[0])
      expect(new Set(names).size).to.equal(names.length)
      const starts = names.map((name) => Number(name!.split(' ')[1]))
      expect(starts).to.deep.equal([...starts].sort((a, b) => a - b))
      expect(await run(false, 3)).to.deep.equal(direct)
      expect(await run(true, 1)).to.deep.equal(direct)
      expect(await run(true, 4)).to.deep.equal(direct)
      expect(await run(true, 1_000)).to.deep.equal(direct)
    }
  })

  it('leaves out sessions that were swallowed, and keeps time and headers of what it held', async () => {
    const t = topology()
    t.stream(numbers)
      .groupByKey()
      .windowedBy(session(5))
      .count({ name: 'sessions', value: json<number>() })
      .suppress({ until: 'close', name: 'final' })
      .toStream()
      .to('out')
    const d = await drive(t, { cache: false })
    const header = (text: string) =>
      [
        ['n', Buffer.from(text)],
        ['none', null]
      ] as const
    await d.send(numbers, 'a', 1, { timestamp: 0, headers: header('1') })
    await d.send(numbers, 'a', 1, { timestamp: 4, headers: header('2') })
    await d.restart()
    await d.send(numbers, 'b', 1, { timestamp: 20, headers: header('3') })
    expect(d.output('out')).to.deep.equal([
      { topic: 'out', key: { key: 'a', start: 0, end: 4 }, value: 2, timestamp: 4, headers: header('2') }
    ])
  })

  it('knows the grace of windows behind filter and mapValues', async () => {
    const t = topology()
    t.stream(numbers)
      .groupByKey()
      .windowedBy(tumbling(10, { grace: 5 }))
      .count({ name: 'counts', value: json<number>() })
      .filter((count) => count > 1)
      .mapValues((count) => -count, { value: json<number>() })
      .suppress({ until: 'close', name: 'final' })
      .toStream()
      .to('out')
    const d = await drive(t, { cache: false })
    for (const time of [1, 2, 12, 14, 3, 15]) await d.send(numbers, 'a', 1, { timestamp: time })
    expect(plain(d)).to.deep.equal([['a 0', -3, 3]])
  })

  for (const cache of [true, false]) {
    it(`waits while a window whose end is inclusive takes records of the last ms, so it comes once, cache ${cache ? 'on' : 'off'}`, async () => {
      for (const [kind, closes] of [
        ['sliding', 106],
        ['session', 116]
      ] as const) {
        const t = topology()
        const grouped = t.stream(numbers).groupByKey()
        const how = { grace: 5 }
        const windowed =
          kind === 'sliding' ? grouped.windowedBy(sliding(10, how)) : grouped.windowedBy(session(10, how))
        windowed.count({ name: 'counts' }).suppress({ until: 'close', name: 'final' }).toStream().to('out')
        const d = await drive(t, { cache })
        const send = async (key: string, timestamp: number): Promise<unknown[]> => {
          await d.send(numbers, key, 1, { timestamp })
          await d.commit()
          const windows = d.output('out').map(({ key, value }) => ({ ...(key as unknown as Windowed<string>), value }))
          return windows.filter(({ key, end }) => key === 'a' && end === 100).map(({ value }) => value)
        }
        expect(await send('a', 100), kind).to.deep.equal([])
        expect(await send('b', closes - 1), kind).to.deep.equal([])
        expect(await send('a', 95), `${kind}: it takes the last one`).to.deep.equal([])
        expect(await send('b', closes), kind).to.deep.equal([2])
        expect(await send('a', 95), `${kind}: late`).to.deep.equal([])
        expect(await send('b', 1_000), kind).to.deep.equal([])
        await d.close()
      }
    })
  }

  it('fails the task, and loses nothing, when more waits than it may hold', async () => {
    const d = await drive(final(1_000, { maxRecords: 3, full: 'fail' }), { cache: false })
    await d.send(numbers, 'a', 1, { timestamp: 7 })
    const error = await fail(() => d.send(numbers, 'b', 1, { timestamp: 7 }))
    expect(error).to.be.instanceOf(TopologyError)
    expect(error.code).to.equal('ERR_SUPPRESS_FULL')
    expect(error.message).to.contain('"final"').and.contain('capacity').and.contain('maxRecords')
  })

  it('is refused where no window closes, and with early results', () => {
    const grouped = topology().stream(numbers).groupByKey()
    const refused = (build: () => unknown): void => {
      expect(build).to.throw(TopologyError).with.property('code', 'ERR_TOPOLOGY_WINDOW')
    }
    refused(() => grouped.count({ name: 'all' }).suppress({ until: 'close' }))
    refused(() => grouped.windowedBy(unlimited()).count({ name: 'ever' }).suppress({ until: 'close' }))
    refused(() => grouped.windowedBy(unlimited(), { emit: 'close' }))
    const windows = grouped.windowedBy(tumbling(10)).count({ name: 'windows' })
    refused(() => windows.suppress({ until: 'close', maxRecords: 5, full: 'emit' }))
    expect(() => windows.suppress({ until: 'close', maxRecords: 0 })).to.throw(ConfigError, 'maxRecords')
  })
})

describe('suppress until a time has passed', () => {
  it('gives the last change of a key when its first one is old enough, ties in the order of keys', async () => {
    for (const cache of [false, true]) {
      const d = await drive(limited({ until: 10 }), { cache })
      const send = async (key: string, value: number | null, timestamp: number): Promise<unknown[]> => {
        await d.send(rows, key, value, { timestamp })
        await d.restart()
        return plain(d)
      }
      expect(await send('b', 1, 0)).to.deep.equal([])
      expect(await send('a', 1, 0)).to.deep.equal([])
      expect(await send('b', 2, 9)).to.deep.equal([])
      expect(await send('c', 1, 10)).to.deep.equal([
        ['a', 1, 0],
        ['b', 2, 9]
      ])
      expect(await send('b', 3, 15)).to.deep.equal([])
      expect(await send('c', null, 19)).to.deep.equal([])
      expect(await send('x', 1, 20)).to.deep.equal([['c', null, 19]])
      await d.close()
    }
  })

  it('with 0 holds nothing back', async () => {
    const d = await drive(limited({ until: 0 }), { cache: false })
    await d.send(rows, 'a', 1, { timestamp: 5 })
    await d.send(rows, 'a', 2, { timestamp: 3 })
    expect(plain(d)).to.deep.equal([
      ['a', 1, 5],
      ['a', 2, 3]
    ])
    await d.commit()
    expect(await waits(d, 'calm')).to.equal(0)
  })

  it('says what was before as downstream has seen it', async () => {
    const t = topology()
    t.table(rows, { name: 'kept' })
      .suppress({ until: 10, name: 'calm' })
      .groupBy((value) => ['all', value] as const, { key: string(), value: json<number>(), name: 'by' })
      .aggregate(
        () => 0,
        (sum, value) => sum + value,
        (sum, value) => sum - value,
        { name: 'sum', value: json<number>() }
      )
      .toStream()
      .to('out')
    const d = await drive(t, { cache: false })
    for (const [i, value] of [1, 5, 7, 20, 30, 100].entries()) await d.send(rows, 'a', value, { timestamp: i * 5 })
    // 7 goes on at 10 (1 and 5 never did), 100 at 25: the sum is that of the one row.
    expect(plain(d).map((row) => (row as unknown[])[1])).to.deep.equal([7, 100])
  })

  it('passes the oldest on early when too many keys or bytes wait, also counted over restarts', async () => {
    const d = await drive(limited({ until: '1h', maxRecords: 2 }), { cache: false })
    for (const [i, key] of ['a', 'b', 'a', 'c', 'd'].entries()) {
      await d.send(rows, key, i, { timestamp: i })
      await d.restart()
    }
    expect(plain(d)).to.deep.equal([
      ['a', 2, 2],
      ['b', 1, 1]
    ])
    const bytes = await drive(limited({ until: '1h', maxBytes: 8 }), { cache: false })
    for (const [i, key] of ['a', 'b', 'c'].entries()) {
      await bytes.send(rows, key, 100 + i, { timestamp: i })
      await bytes.restart()
    }
    expect(plain(bytes)).to.deep.equal([['a', 100, 0]])
  })
})
