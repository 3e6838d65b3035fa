/** Rules at nodes of the DSL: each method that takes them keeps to them when its own function fails. */
import { expect } from 'chai'
import { type Stream, type TopologyBuilder, topic, topology } from '../../lib/dsl/index.ts'
import { long, nullable, string } from '../../lib/serde/index.ts'
import { exponential } from '../../lib/supervise/backoff.ts'
import { on, type Rule } from '../../lib/supervise/rules.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

const numbers = topic('numbers', { key: string(), value: long() })
const names = topic('names', { key: string(), value: nullable(string()) })
const out = topic('out', { key: string(), value: nullable(string()) })
const skips = [on(RangeError).skip()]
const picky = <T>(value: T, wrong: unknown): T => {
  if (value === wrong) throw new RangeError(`not ${wrong}`)
  return value
}

type Joiner = (n: number, name: string | null) => string
const joins: Record<
  string,
  (t: TopologyBuilder, joiner: Joiner, supervise: readonly Rule[]) => Stream<string, string>
> = {
  'a table': (t, joiner, supervise) => t.stream(numbers).join(t.table(names), joiner, { supervise, result: string() }),
  'a global table': (t, joiner, supervise) =>
    t.stream(numbers).join(t.globalTable(names), joiner, { on: ({ key }) => key, supervise, result: string() })
}
const values = (d: Driver): (string | null)[] => d.output(out).map(({ value }) => value)

describe('rules at a node', () => {
  for (const [other, join] of Object.entries(joins)) {
    async function joined(joiner: Joiner, supervise: readonly Rule[]): Promise<Driver> {
      const t = topology()
      join(t, joiner, supervise).to(out)
      const d = await drive(t)
      for (const key of ['a', 'b']) await d.send(names, key, key)
      return d
    }

    it(`hold for the joiner of a stream and ${other}`, async () => {
      const d = await joined((n, name) => `${name}${picky(n, 2)}`, skips)
      for (const n of [1, 2, 3]) await d.send(numbers, 'a', n)
      expect(values(d)).to.deep.equal(['a1', 'a3'])
      await d.close()
    })

    it(`keep what the joiner of a stream and ${other} failed on, until it is due; other keys go on`, async () => {
      let down = true
      const joiner: Joiner = (n, name) => `${name}${picky(n, down ? 2 : -1)}`
      const d = await joined(joiner, [on(RangeError).retry({ times: 3, order: 'key', backoff: exponential(100, 100) })])
      await d.send(numbers, 'a', 2)
      await d.send(numbers, 'a', 3)
      await d.send(numbers, 'b', 4)
      expect(values(d)).to.deep.equal(['b4'])
      down = false
      await d.advance(200)
      expect(values(d)).to.deep.equal(['a2', 'a3'])
      await d.close()
    })
  }

  it('hold for the function that groups, of streams and of tables', async () => {
    const t = topology()
    t.stream(numbers)
      .groupBy(({ value }) => `n${picky(value, 2)}`, { key: string(), supervise: skips })
      .count()
      .toStream()
      .mapValues(String, { value: string() })
      .to(out)
    t.table(names)
      .groupBy((name, key) => [picky(name, 'wrong'), key] as const, { key: string(), supervise: skips })
      .count()
      .toStream()
      .mapValues(String, { value: string() })
      .to(out)
    const d = await drive(t, { cache: false })
    for (const n of [1, 2, 1]) await d.send(numbers, 'a', n)
    for (const name of ['right', 'wrong', 'good']) await d.send(names, name, name)
    expect(d.output(out).map(({ key, value }) => [key, value])).to.deep.equal([
      ['n1', '1'],
      ['n1', '2'],
      ['right', '1'],
      ['good', '1']
    ])
    await d.close()
  })
})
