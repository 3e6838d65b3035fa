/** Which partition a key belongs to: murmur2 as in Java, byte for byte, so that Java programs and we agree. */
import type { Random } from '../time.ts'

const M = 0x5bd1e995

/** Kafka's murmur2 (seed 0x9747b28c) of `bytes[start, end)` as a signed 32-bit number; equals Java's `Utils.murmur2`. */
export function murmur2(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  const length = end - start
  let h = 0x9747b28c ^ length
  let at = start
  for (let words = length >>> 2; words > 0; words--, at += 4) {
    let k = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    k = Math.imul(k, M)
    k ^= k >>> 24
    h = Math.imul(h, M) ^ Math.imul(k, M)
  }
  const rest = end - at
  if (rest === 3) h ^= bytes[at + 2]! << 16
  if (rest >= 2) h ^= bytes[at + 1]! << 8
  if (rest >= 1) h = Math.imul(h ^ bytes[at]!, M)
  h ^= h >>> 13
  h = Math.imul(h, M)
  return h ^ (h >>> 15)
}

/**
 * The partition of a key, 0 … count − 1. An empty key is hashed like any other; a null key has no partition of its own:
 * see `stickyPartitioner`.
 * @example partitionFor(Buffer.from('order-1'), 0, 7, 12) // 10, as in Java
 */
export function partitionFor(bytes: Uint8Array, start: number, end: number, count: number): number {
  return (murmur2(bytes, start, end) & 0x7fffffff) % count
}

/**
 * Partitions for records without a key: stays on one partition for `bytesPerStay` bytes (full batches), then moves to
 * another at random, as Java's producer does.
 * @param bytesPerStay default 16 384
 * @example const next = stickyPartitioner(random); next(6, 120) // the same partition until 16 KiB went there
 */
export function stickyPartitioner(random: Random, bytesPerStay = 16_384): (count: number, bytes: number) => number {
  let current = -1
  let room = 0
  return (count, bytes) => {
    if (room <= 0 || current >= count) {
      // Drawn among the others, so that a move is a move; with one partition there is nowhere to go.
      const draw = Math.floor(random() * (current < 0 || current >= count ? count : Math.max(1, count - 1)))
      current = current < 0 || current >= count || draw < current ? draw : (draw + 1) % count
      room = bytesPerStay
    }
    room -= bytes
    return current
  }
}
