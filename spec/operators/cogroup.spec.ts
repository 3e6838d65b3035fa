/** Cogroup: several grouped streams into one value per key, window or session. */
import { expect } from 'chai'
import { session, sliding, topic, topology, tumbling } from '../../lib/dsl/index.ts'
import { TopologyError } from '../../lib/errors.ts'
import { json, long, nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

const words = topic('words', { key: nullable(string()), value: nullable(json<string>()) })
const numbers = topic('numbers', { key: nullable(string()), value: nullable(json<number>()) })
const addWord = (list: string, word: string | null): string => `${list}${word}`
const addNumber = (list: string, n: number | null): string => `${list}${(n ?? 0) * 10}`
const both = () => {
  const t = topology()
  return { t, cogrouped: t.stream(words).groupByKey().cogroup(addWord).and(t.stream(numbers).groupByKey(), addNumber) }
}
const plain = (d: Driver): unknown[] =>
  d.output('out').map(({ key, value, timestamp }) => {
    const { key: raw, start, end } = key as unknown as { key: string; start: number; end: number }
    return [raw === undefined ? key : `${raw} ${start}-${end}`, value, timestamp]
  })

describe('cogroup', () => {
  it('adds the records of all streams to one value per key, in the order they come, over restarts', async () => {
    for (const cache of [false, true]) {
      const { t, cogrouped } = both()
      cogrouped
        .aggregate(() => '', { name: 'mixed', value: json<string>() })
        .toStream()
        .to('out')
      const d = await drive(t, { cache })
      await d.send(words, 'a', 'x', { timestamp: 5 })
      await d.send(numbers, 'a', 1, { timestamp: 3 })
      await d.restart()
      await d.send(words, 'a', 'y', { timestamp: 9 })
      await d.send(numbers, 'b', 2, { timestamp: 1 })
      await d.send(words, 'a', null, { timestamp: 10 })
      await d.send(numbers, null, 2, { timestamp: 10 })
      await d.commit()
      expect(plain(d).slice(-2)).to.deep.equal([
        ['a', 'x10y', 9],
        ['b', '20', 1]
      ])
      expect(d.dropped).to.deep.equal(['null-value', 'null-key'])
      const { internalTopics, copartitioned } = t.build('app')
      expect(internalTopics.changelogs.map((c) => c.topic)).to.deep.equal(['app-mixed-changelog'])
      expect(copartitioned.map((c) => [...c.topics])).to.deep.equal([['words', 'numbers']])
      await d.close()
    }
  })

  it('takes streams of changed keys, and the same stream twice', async () => {
    const t = topology()
    const moved = t.stream(words).groupBy(({ value }) => value ?? 'none', { key: string(), name: 'by-word' })
    moved
      .cogroup((n: number) => n + 1)
      .and(moved, (n) => n + 100)
      .aggregate(() => 0, { name: 'visits', value: long() })
      .toStream()
      .to('out')
    const d = await drive(t, { cache: false })
    await d.send(words, 'k', 'x', { timestamp: 1 })
    expect(plain(d)).to.deep.equal([
      ['x', 1, 1],
      ['x', 101, 1]
    ])
  })

  it('goes by windows of time, sliding windows and sessions, with one stream time for all streams', async () => {
    const value = json<string>()
    const run = async (build: (c: ReturnType<typeof both>['cogrouped']) => { toStream(): { to(t: string): void } }) => {
      const { t, cogrouped } = both()
      build(cogrouped).toStream().to('out')
      const d = await drive(t, { cache: false })
      await d.send(words, 'a', 'x', { timestamp: 5 })
      await d.send(numbers, 'a', 1, { timestamp: 7 })
      await d.send(words, 'b', 'y', { timestamp: 40 })
      await d.send(numbers, 'a', 2, { timestamp: 8 })
      expect(d.dropped).to.deep.equal(['late'])
      return plain(d)
    }
    expect(
      await run((c) => c.windowedBy(tumbling(10), { emit: 'close' }).aggregate(() => '', { name: 'w', value }))
    ).to.deep.equal([['a 0-10', 'x10', 7]])
    expect(await run((c) => c.windowedBy(sliding(3)).aggregate(() => '', { name: 'w', value }))).to.deep.equal([
      ['a 2-5', 'x', 5],
      ['a 6-9', '10', 7],
      ['a 4-7', 'x10', 7],
      ['b 37-40', 'y', 40]
    ])
    expect(
      await run((c) =>
        c.windowedBy(session(3), { emit: 'close' }).aggregate(() => '', { name: 'w', value, merge: (_, a, b) => a + b })
      )
    ).to.deep.equal([['a 5-7', 'x10', 7]])
  })

  it('refuses streams of another topology, and keys that are written differently', () => {
    const grouped = topology().stream(words).groupByKey()
    const other = topology().stream(numbers).groupByKey()
    expect(() => grouped.cogroup(addWord).and(other, addNumber)).to.throw(TopologyError, 'another topology')
    const t = topology()
    const coded = topic('coded', { key: json<string>(), value: json<number>() })
    expect(() => t.stream(words).groupByKey().cogroup(addWord).and(t.stream(coded).groupByKey(), addNumber)).to.throw(
      TopologyError,
      'written differently'
    )
  })
})
