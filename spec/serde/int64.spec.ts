/** 64-bit integers as plain numbers: the bytes are those of a BigInt. */
import { expect } from 'chai'
import { readInt64, writeInt64 } from '../../lib/serde/int64.ts'
import { seededRandom } from '../../lib/time.ts'

describe('64-bit integers', () => {
  it('are the big-endian bytes of every whole number up to 2^53, negative ones too, without a touch to others, and read back', () => {
    const random = seededRandom(7)
    const borders = [0, 1, 255, 256, 2 ** 31, 2 ** 32, 2 ** 48, Number.MAX_SAFE_INTEGER].flatMap((n) => [n - 1, n, -n])
    const any = Array.from({ length: 2_000 }, () => Math.floor((random() - 0.5) * 2 ** (1 + random() * 53)))
    for (const value of [...borders, ...any]) {
      const [found, right] = [Buffer.alloc(12, 0xaa), Buffer.alloc(12, 0xaa)]
      writeInt64(found, value, 2)
      right.writeBigInt64BE(BigInt(value), 2)
      expect(found.toString('hex'), String(value)).to.equal(right.toString('hex'))
      expect(readInt64(found, 2) + 0).to.equal(value + 0)
    }
  })

  it('are not read beyond the end of their source', () => {
    for (const at of [-1, 1, 8, Number.NaN]) expect(() => readInt64(Buffer.alloc(8), at)).to.throw(RangeError)
  })

  it('are not written of what no number holds exactly', () => {
    for (const value of [2 ** 53, -(2 ** 53), 1e20, Number.POSITIVE_INFINITY, Number.NaN])
      expect(() => writeInt64(Buffer.alloc(8), value, 0), String(value)).to.throw(RangeError)
  })
})
