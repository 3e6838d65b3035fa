/** Input data that every run makes alike: scattered keys, a millisecond apart in event time. */

/** Event time of the first record. */
export const START = Date.UTC(2024, 0)

/** A whole number below `limit`, scattered: the finaliser of murmur3 over `i`. */
export function scattered(i: number, limit: number): number {
  let h = (i + 0x9e3779b9) | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) % limit
}

const FILL = 'x'.repeat(52)

/** JSON of 100 bytes. */
export const order = (i: number, amount: number): Buffer =>
  Buffer.from(`{"id":${1_000_000_000 + i},"amount":${100 + amount},"checked":false,"text":"${FILL}"}`)

export const keyOf = (n: number): Buffer => Buffer.from(String(n))
