/** 64-bit integers as plain numbers. */

const TWO_32 = 4_294_967_296

/**
 * Writes a whole number (exact up to 2^53) as a signed 64-bit big-endian integer; negative ones in two's complement. Byte by byte: two
 * checked writes take 7 times as long. Nothing is said of a target that is too short.
 */
export function writeInt64(target: Buffer, value: number, at: number): void {
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
