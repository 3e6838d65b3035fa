/** Rows of a stream-stream join: records that wait for a partner. */
import type { Serde } from '../record.ts'

/** Records of one key and time without a partner; `left` says whose. */
export interface Pending {
  readonly left: boolean
  readonly values: unknown[]
}

/** Rows of `Pending`: side(1; 1 = left) ‖ (length(4) ‖ value)*. */
export const pendingSerde = (left: Serde<unknown>, right: Serde<unknown>): Serde<Pending> => ({
  name: `pending(${left.name}, ${right.name})`,
  encode: (pending) => {
    const serde = pending.left ? left : right
    const parts: Buffer[] = [Buffer.from([pending.left ? 1 : 0])]
    for (const one of pending.values) {
      const bytes = serde.encode(one)
      const length = Buffer.allocUnsafe(4)
      length.writeInt32BE(bytes.length)
      parts.push(length, bytes)
    }
    return Buffer.concat(parts)
  },
  decode: (bytes, start, end) => {
    const isLeft = bytes[start] === 1
    const serde = isLeft ? left : right
    const values: unknown[] = []
    for (let at = start + 1; at < end; ) {
      const length = bytes.readInt32BE(at)
      values.push(serde.decode(bytes, at + 4, at + 4 + length))
      at += 4 + length
    }
    return { left: isLeft, values }
  }
})
