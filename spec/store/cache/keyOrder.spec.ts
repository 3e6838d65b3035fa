/** The order of restored rows: near the order of keys, and never against the log for one key. */
import { expect } from 'chai'
import { keyOrder } from '../../../lib/store/cache/keyOrder.ts'

/** The keys in the order found, each with its place in the list. */
function ordered(keys: readonly string[]): [string, number][] {
  const rows = Buffer.from(keys.map((key) => `${key}|value`).join(''), 'latin1')
  const places = new Int32Array(keys.length * 3)
  let at = 0
  for (const [i, key] of keys.entries()) {
    places.set([at, at + key.length, at + key.length + 6], i * 3)
    at += key.length + 6
  }
  return Array.from(keyOrder(rows, places, keys.length), (row) => [keys[row]!, row])
}

describe('the order of restored rows', () => {
  it('is that of the bytes behind what the keys share', () => {
    const keys = ['the same beginning \xff', 'the same beginning a', 'the same beginning ', 'the same beginning \0\x01']
    expect(ordered(keys).map(([, row]) => row)).to.eql([2, 3, 1, 0])
    expect(ordered([])).to.eql([])
    expect(ordered(['one'])).to.eql([['one', 0]])
  })

  it('leaves out rows of a key that a neighbour replaces, and keeps the last', () => {
    expect(ordered(['b', 'a', 'b', '', 'a', 'b', ''])).to.eql([
      ['', 6],
      ['a', 4],
      ['b', 5]
    ])
  })

  it('keeps the order of the log for a key among others that begin like it, many of them or few', () => {
    const begin = 'z'.repeat(20)
    const keys = Array.from({ length: 5_000 }, (_, i) => {
      const n = (i * 7_919) % 1_700
      return n % 2 === 0 ? `a${begin}${n}` : `${n}${begin}`
    })
    const last = new Map<string, number>()
    for (const [i, key] of keys.entries()) last.set(key, i)
    const seen = new Map<string, number>()
    for (const [key, row] of ordered(keys)) {
      expect(seen.get(key) ?? -1).to.be.below(row)
      seen.set(key, row)
    }
    expect(seen).to.eql(last)
  })

  it('has every row when replaced ones are too rare to be looked for', () => {
    // Alike but for their first and last bytes, so that each neighbour is looked at.
    const keys = Array.from({ length: 2_000 }, (_, i) => `${i % 2} same beginning ${i}`)
    keys.push(keys[1_999]!)
    const found = ordered(keys)
    expect(found.length).to.equal(2_001)
    expect(found.filter(([key]) => key === keys[1_999]).map(([, row]) => row)).to.eql([1_999, 2_000])
  })
})
