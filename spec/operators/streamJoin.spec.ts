/** Joins of two streams: windows that look to one side, grace, waiting results, restarts, a naive model. */
import { expect } from 'chai'
import { type Stream, type StreamJoinOptions, topic, topology, type Within } from '../../lib/dsl/index.ts'
import { TopologyError } from '../../lib/errors.ts'
import type { Headers } from '../../lib/record.ts'
import { nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'
import { seededRandom } from '../../lib/time.ts'

const serdes = { key: nullable(string()), value: nullable(string()) }
const left = topic('left', serdes)
const right = topic('right', serdes)
const out = topic('out', serdes)
type Kind = 'join' | 'leftJoin' | 'outerJoin'
const dash = (l: string | null, r: string | null): string => `${l}-${r}`

async function joined(kind: Kind, within: Within, cache = false, cacheBytes?: number): Promise<Driver> {
  const t = topology()
  const options: StreamJoinOptions<string | null, string | null, string | null, string> = { within, name: 'pairs' }
  const [l, r] = [t.stream(left), t.stream(right)]
  const results: Stream<string | null, string> =
    kind === 'join'
      ? (l.join(r, dash, options) as Stream<string | null, string>)
      : kind === 'leftJoin'
        ? l.leftJoin(r, dash, options)
        : l.outerJoin(r, dash, options)
  results.to(out, { value: serdes.value as never })
  return drive(t, { cache, ...(cacheBytes !== undefined && { cacheBytes }) })
}
const rows = (d: Driver): unknown[][] => d.output(out).map((r) => [r.key, r.value, r.timestamp])
const l = (d: Driver, value: string | null, timestamp: number, key: string | null = 'k', headers: Headers = []) =>
  d.send(left, key, value, { timestamp, headers })
const r = (d: Driver, value: string | null, timestamp: number, key: string | null = 'k', headers: Headers = []) =>
  d.send(right, key, value, { timestamp, headers })

describe('stream-stream joins', () => {
  it('take partners from before to after, both ends included, whichever side comes first', async () => {
    const d = await joined('join', { before: 5, after: 10, grace: 100 })
    await l(d, 'A', 100)
    for (const [value, time] of [
      ['a', 94],
      ['b', 95],
      ['c', 110],
      ['d', 111]
    ] as const)
      await r(d, value, time)
    expect(rows(d)).to.deep.equal([
      ['k', 'A-b', 100],
      ['k', 'A-c', 110]
    ])
    await l(d, 'B', 101)
    expect(rows(d)).to.deep.equal([
      ['k', 'B-c', 110],
      ['k', 'B-d', 111]
    ])
  })

  it('take windows that lie wholly after or before the record', async () => {
    const d = await joined('join', { before: -5, after: 10, grace: 100 })
    await l(d, 'A', 100)
    for (const [value, time] of [
      ['a', 104],
      ['b', 105],
      ['c', 110],
      ['d', 111]
    ] as const)
      await r(d, value, time)
    expect(rows(d).map((row) => row[1])).to.deep.equal(['A-b', 'A-c'])
    const e = await joined('join', { before: 10, after: -5, grace: 100 })
    await l(e, 'A', 100)
    for (const [value, time] of [
      ['a', 89],
      ['b', 90],
      ['c', 95],
      ['d', 96]
    ] as const)
      await r(e, value, time)
    expect(rows(e).map((row) => row[1])).to.deep.equal(['A-b', 'A-c'])
  })

  it('give a left record without partner when stream time has passed its end and grace, not a moment earlier', async () => {
    const d = await joined('leftJoin', { before: 0, after: 10, grace: 5 })
    await l(d, 'A', 100)
    await r(d, 'x', 115, 'other')
    expect(rows(d)).to.deep.equal([])
    await r(d, 'y', 116, 'other')
    expect(rows(d)).to.deep.equal([['k', 'A-null', 100]])
    await r(d, 'z', 200, 'other')
    expect(rows(d), 'once').to.deep.equal([])
  })

  it('give each side of an outer join by its own end: the earlier first, at equal times the right side', async () => {
    const d = await joined('outerJoin', { before: 50, after: 10 })
    await l(d, 'A', 100, 'a')
    await r(d, 'B', 100, 'b')
    await l(d, 'C', 111, 'c')
    expect(rows(d), 'a left one waits for what comes after it').to.deep.equal([['a', 'A-null', 100]])
    await l(d, 'D', 151, 'd')
    expect(rows(d), 'a right one for what comes before it').to.deep.equal([
      ['b', 'null-B', 100],
      ['c', 'C-null', 111]
    ])
    await l(d, 'E', 1000, 'e')
    await r(d, 'F', 1000, 'f')
    await l(d, 'G', 2000, 'g')
    expect(rows(d)).to.deep.equal([
      ['d', 'D-null', 151],
      ['f', 'null-F', 1000],
      ['e', 'E-null', 1000]
    ])
  })

  it('forget a waiting record with its first partner, and all of its key and time with it', async () => {
    const d = await joined('leftJoin', 10)
    await l(d, 'A', 100)
    await l(d, 'B', 100)
    await r(d, 'a', 105)
    expect(rows(d)).to.deep.equal([
      ['k', 'A-a', 105],
      ['k', 'B-a', 105]
    ])
    await l(d, 'C', 500, 'other')
    expect(rows(d)).to.deep.equal([])
  })

  it('give null keys of an optional side at once, drop others; null values move time all the same', async () => {
    const d = await joined('outerJoin', 10)
    await l(d, 'A', 1, null)
    await r(d, 'B', 2, null)
    expect(rows(d)).to.deep.equal([
      [null, 'A-null', 1],
      [null, 'null-B', 2]
    ])
    await l(d, 'C', 5)
    await l(d, null, 100)
    expect(rows(d)).to.deep.equal([])
    await l(d, 'D', 100)
    expect(rows(d)).to.deep.equal([['k', 'C-null', 5]])
    expect(d.dropped).to.deep.equal(['null-value'])
    const inner = await joined('join', 10)
    await l(inner, 'A', 1, null)
    await r(inner, 'A', 1, null)
    expect(inner.dropped).to.deep.equal(['null-key', 'null-key'])
    const leftOnly = await joined('leftJoin', 10)
    await r(leftOnly, 'A', 1, null)
    expect(leftOnly.dropped).to.deep.equal(['null-key'])
  })

  it('keep null keys through the repartition topic in front of an optional side', async () => {
    const t = topology()
    const rekeyed = t.stream(left).selectKey(({ value }) => (value === 'lost' ? null : value), { key: serdes.key })
    rekeyed.leftJoin(t.stream(right), dash, { within: 10, name: 'pairs' }).to(out, { value: serdes.value as never })
    const d = await drive(t)
    await l(d, 'lost', 1)
    expect(rows(d)).to.deep.equal([[null, 'lost-null', 1]])
    expect(d.dropped).to.deep.equal([])
  })

  it('let null keys of the other side move the time of a left join, behind a repartition topic as without one', async () => {
    for (const rekeyed of [false, true]) {
      const t = topology()
      const other = t.stream(right)
      const by = rekeyed ? other.selectKey(({ key }) => key, { key: serdes.key }) : other
      t.stream(left)
        .leftJoin(by, dash, { within: 10, name: 'pairs' })
        .to(out, { value: serdes.value as never })
      const d = await drive(t)
      await l(d, 'A', 1)
      await r(d, 'B', 100, null)
      await l(d, 'C', 100)
      expect(rows(d)).to.deep.equal([['k', 'A-null', 1]])
      expect(d.dropped).to.deep.equal(['null-key'])
    }
  })

  it('give pairs the headers of the record that completes them, waiting results those of the one that ends the wait', async () => {
    const h = (name: string): Headers => [[name, null]]
    const d = await joined('leftJoin', 10)
    await l(d, 'A', 100, 'k', h('1'))
    await r(d, 'a', 100, 'k', h('2'))
    await l(d, 'B', 200, 'k', h('3'))
    await r(d, 'b', 300, 'x', h('4'))
    expect(d.output(out).map((o) => [o.value, o.headers[0]![0]])).to.deep.equal([
      ['A-a', '2'],
      ['B-null', '4']
    ])
  })

  it('join a stream with itself over one store', async () => {
    const t = topology()
    const stream = t.stream(left)
    stream.join(stream, dash, { within: 10, name: 'pairs' }).to(out, { value: serdes.value as never })
    expect(t.build('a').internalTopics.changelogs.map((c) => c.topic)).to.deep.equal(['a-pairs-rows-changelog'])
    const d = await drive(t)
    await l(d, 'A', 1)
    await l(d, 'B', 5)
    await l(d, 'C', 14)
    expect(rows(d).map((row) => row[1])).to.deep.equal(['A-A', 'B-A', 'A-B', 'B-B', 'C-B', 'B-C', 'C-C'])
  })

  it('join a stream with itself to the ends of the window, and late records with nothing, restarted or not', async () => {
    for (const restarts of [false, true]) {
      const t = topology()
      const stream = t.stream(left)
      const within = { before: 0, after: 10 }
      stream.join(stream, dash, { within, name: 'pairs' }).to(out, { value: serdes.value as never })
      const d = await drive(t)
      for (const [value, time] of [
        ['A', 0],
        ['B', 10],
        ['C', 100],
        ['late', 5]
      ] as const) {
        await l(d, value, time)
        if (restarts) await d.restart()
      }
      expect(rows(d).map((row) => row[1])).to.deep.equal(['A-A', 'A-B', 'B-B', 'C-C'])
    }
  })

  it('join a stream with itself where records without a partner come out too: each is its own partner', async () => {
    const t = topology()
    const stream = t.stream(left)
    stream.outerJoin(stream, dash, { within: 0, name: 'pairs' }).to(out, { value: serdes.value as never })
    const d = await drive(t)
    await l(d, 'A', 5)
    expect(rows(d)).to.deep.equal([['k', 'A-A', 5]])
  })

  it('see what the other side still keeps: a null value moves its time too', async () => {
    const d = await joined('outerJoin', 3)
    await r(d, 'a', 185)
    await r(d, null as never, 192, 'other')
    await l(d, 'A', 188)
    expect(rows(d)).to.deep.equal([['k', 'A-null', 188]])
  })

  it('go on after a restart: rows, waiting records and stream time are those of before', async () => {
    const d = await joined('outerJoin', { before: 10, after: 10, grace: 5 })
    await l(d, 'A', 100)
    await r(d, 'x', 114, 'other')
    await d.restart()
    await r(d, 'a', 109)
    expect(rows(d)).to.deep.equal([['k', 'A-a', 109]])
    await l(d, 'late', 100, 'z')
    expect(rows(d), 'its end is past already, by the time of before').to.deep.equal([['z', 'late-null', 100]])
    await d.restart()
    await l(d, 'B', 200)
    expect(rows(d)).to.deep.equal([['other', 'null-x', 114]])
  })

  it('refuse what can never match', () => {
    const t = topology()
    const wrong = (within: Within): void => {
      t.stream(left).join(t.stream(right), dash, { within })
    }
    expect(() => wrong({ before: -5, after: 4 })).to.throw(TopologyError, 'nothing can ever match')
    expect(() => wrong({ before: 1.5, after: 4 })).to.throw(TopologyError, 'whole milliseconds')
    expect(() => wrong({ before: 1, after: 4, grace: -1 })).to.throw(TopologyError, 'grace')
    expect(() => wrong('5x' as never)).to.throw(TopologyError, 'not a duration')
  })

  it('equal a model that sees all records: any kind, disorder, gaps, full caches, with and without restarts', async () => {
    const random = seededRandom(7)
    const whole = (n: number): number => Math.floor(random() * n)
    for (let run = 0; run < 60; run++) {
      const kind = (['join', 'leftJoin', 'outerJoin'] as const)[run % 3]!
      const before = whole(30) - 5
      const span = { before, after: Math.max(-before, whole(30) - 5), grace: whole(20) }
      const d = await joined(kind, span, run % 2 === 0, run < 30 ? undefined : [1, 3_000, 20_000][run % 3])
      const model = new Model(kind, span)
      let time = 0
      for (let i = 0; i < 80; i++) {
        time += whole(20) === 0 ? 100 : whole(6)
        const sent = Math.max(0, time - (whole(3) === 0 ? whole(40) : 0))
        const isLeft = whole(2) === 0
        const key = 'abc'[whole(3)]!
        await (isLeft ? l : r)(d, `${i}`, sent, key)
        if (whole(10) === 0) await (run % 4 < 2 ? d.restart() : d.commit())
        expect(rows(d), `run ${run}, record ${i}: ${kind} ${JSON.stringify(span)}`).to.deep.equal(
          model.process(isLeft, key, `${i}`, sent)
        )
      }
    }
  })
})

interface Held {
  isLeft: boolean
  key: string
  value: string
  time: number
  waits: boolean
}

/** All records in one list, everything looked up by going through it. */
class Model {
  readonly #kind: Kind
  readonly #span: { before: number; after: number; grace: number }
  #held: Held[] = []
  #time = -1
  readonly #stored = { left: -1, right: -1 }

  constructor(kind: Kind, span: { before: number; after: number; grace: number }) {
    this.#kind = kind
    this.#span = span
  }

  process(isLeft: boolean, key: string, value: string, time: number): unknown[][] {
    const { before, after, grace } = this.#span
    const ahead = (side: boolean): number => (side ? after : before)
    const optional = (side: boolean): boolean => (side ? this.#kind !== 'join' : this.#kind === 'outerJoin')
    const results: unknown[][] = []
    this.#time = Math.max(this.#time, time)
    if (time === this.#time) {
      const due = this.#held.filter((h) => h.waits && h.time + ahead(h.isLeft) + grace < this.#time)
      due.sort(
        (a, b) => a.time - b.time || Number(a.isLeft) - Number(b.isLeft) || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
      )
      for (const h of due) {
        h.waits = false
        results.push([h.key, h.isLeft ? `${h.value}-null` : `null-${h.value}`, h.time])
      }
    }
    const from = isLeft ? time - before : time - after
    const to = time + ahead(isLeft)
    const oldest = (isLeft ? this.#stored.right : this.#stored.left) - (before + after + grace) + 1
    const partners = this.#held
      .filter((h) => h.isLeft !== isLeft && h.key === key && h.time >= from && h.time <= to && h.time >= oldest)
      .sort((a, b) => a.time - b.time)
    for (const p of partners) {
      for (const h of this.#held) if (h.isLeft === p.isLeft && h.key === key && h.time === p.time) h.waits = false
      results.push([key, isLeft ? `${value}-${p.value}` : `${p.value}-${value}`, Math.max(time, p.time)])
    }
    const alone = partners.length === 0 && optional(isLeft)
    if (alone && to < this.#time) results.push([key, isLeft ? `${value}-null` : `null-${value}`, time])
    this.#held.push({ isLeft, key, value, time, waits: alone && to >= this.#time })
    const side = isLeft ? 'left' : 'right'
    this.#stored[side] = Math.max(this.#stored[side], time)
    return results
  }
}
