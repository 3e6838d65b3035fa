/** Rules at nodes of the DSL: each method that takes them keeps to them when its own function fails. */
import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import { long, nullable, string } from '../../lib/serde/index.ts'
import { on } from '../../lib/supervise/rules.ts'
import { drive } from '../../lib/testing/drive.ts'

const numbers = topic('numbers', { key: string(), value: long() })
const names = topic('names', { key: string(), value: nullable(string()) })
const out = topic('out', { key: string(), value: nullable(string()) })
const skips = [on(RangeError).skip()]
const picky = <T>(value: T, wrong: unknown): T => {
  if (value === wrong) throw new RangeError(`not ${wrong}`)
  return value
}

describe('rules at a node', () => {
  it('hold for the joiner of a stream and a table', async () => {
    const t = topology()
    t.stream(numbers)
      .join(t.table(names), (n, name) => `${name}${picky(n, 2)}`, { supervise: skips, result: string() })
      .to(out)
    const d = await drive(t)
    await d.send(names, 'a', 'x')
    for (const n of [1, 2, 3]) await d.send(numbers, 'a', n)
    expect(d.output(out).map(({ value }) => value)).to.deep.equal(['x1', 'x3'])
    await d.close()
  })

  it('hold for the joiner with a global table', async () => {
    const t = topology()
    t.stream(numbers)
      .join(t.globalTable(names), (n, name) => `${name}${picky(n, 2)}`, {
        on: ({ key }) => key,
        supervise: skips,
        result: string()
      })
      .to(out)
    const d = await drive(t)
    await d.send(names, 'a', 'x')
    for (const n of [1, 2, 3]) await d.send(numbers, 'a', n)
    expect(d.output(out).map(({ value }) => value)).to.deep.equal(['x1', 'x3'])
    await d.close()
  })

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
