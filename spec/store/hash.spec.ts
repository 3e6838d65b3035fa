/** The hash of keys: of text as of bytes, and not to be foreseen by who chooses the keys. */
import { expect } from 'chai'
import { hash, hashBytes } from '../../lib/store/hash.ts'
import { Bucket } from '../../lib/store/join/bucket.ts'
import { stopwatch } from '../../lib/time.ts'
import { text } from '../cases/storeKit.ts'

const PRIME = 0x01000193

/** 2^stages keys that FNV-1a gives one number, from its well-known beginning: each stage doubles them by two pieces that lead to one state. */
function meeting(stages: number): string[] {
  let keys = ['']
  let state = 0x811c9dc5 | 0
  for (let stage = 0; stage < stages; stage++) {
    const seen = new Map<number, string>()
    for (let n = 0; ; n++) {
      const piece = String.fromCharCode(97 + (n % 26), 97 + (Math.floor(n / 26) % 26), 48 + (n % 75), n % 128, n >>> 13)
      let h = state
      for (let i = 0; i < piece.length; i++) h = Math.imul(h ^ piece.charCodeAt(i), PRIME)
      const other = seen.get(h)
      seen.set(h, piece)
      if (other === undefined || other === piece) continue
      keys = keys.flatMap((key) => [key + other, key + piece])
      state = h
      break
    }
  }
  return keys
}

describe('The hash of keys', () => {
  it('is the same of a text and of its bytes', () => {
    for (const key of ['', 'a', '\u0000', 'ÿÿ', 'order-12345', 'x'.repeat(300)]) {
      const bytes = Buffer.from(`<${key}>`, 'latin1')
      expect(hashBytes(bytes, 1, bytes.length - 1)).to.equal(hash(key))
    }
  })

  it('keeps apart keys that somebody has chosen to meet in one place', () => {
    const keys = meeting(14)
    expect(new Set(keys).size).to.equal(2 ** 14)
    expect(new Set(keys.map(hash)).size).to.be.above(2 ** 13)
    const bucket = new Bucket(0, text)
    const began = stopwatch()
    for (const key of keys) bucket.put(key, 1, false, Buffer.alloc(0), 0, 0)
    expect(stopwatch() - began).to.be.below(1_000)
  })
})
