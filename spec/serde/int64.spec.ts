/** 64-bit integers as plain numbers: the bytes are those of a BigInt. */
import { expect } from 'chai'
import { writeInt64 } from '../../lib/serde/int64.ts'
import { seededRandom } from '../../lib/time.ts'

describe('writing 64-bit integers', () => {
  it('gives the big-endian bytes of every whole number up to 2^53, negative ones too, and touches no others', () => {
    const random = seededRandom(7)
    const borders = [0, 1, 255, 256, 2 ** 31, 2 ** 32, 2 ** 48, Number.MAX_SAFE_INTEGER].flatMap((n) => [n - 1, n, -n])
    const any = Array.from({ length: 2_000 }, () => Math.floor((random() - 0.5) * 2 ** (1 + random() * 53)))
    for (const value of [...borders, ...any]) {
      const [found, right] = [Buffer.alloc(12, 0xaa), Buffer.alloc(12, 0xaa)]
      writeInt64(found, value, 2)
      right.writeBigInt64BE(BigInt(value), 2)
      expect(found.toString('hex'), String(value)).to.equal(right.toString('hex'))
    }
  })
})
