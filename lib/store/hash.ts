/** One hash of keys, as text and as bytes: filters and tables of the stores take its bits. */
import { systemRandom } from '../time.ts'

/**
 * Of each process others, so that nobody can choose keys that all meet in one place. Another beginning alone does not do: which pieces of keys
 * meet depends on the last byte of it only. Multipliers of 5 modulo 8 mix best (Knuth, TAOCP 2, 3.2.1.2).
 */
const BASIS = (systemRandom() * 2 ** 32) | 0
const MULTIPLIER = (((systemRandom() * 2 ** 32) | 0) & ~7) | 5

/** As FNV-1a over the characters, then the finaliser of murmur3: the low bits are used alone. */
export function hash(text: string): number {
  let h = BASIS
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), MULTIPLIER)
  return finished(h)
}

/** As `hash`, of the text whose characters are [start, end) of `bytes`. */
export function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let h = BASIS
  for (let i = start; i < end; i++) h = Math.imul(h ^ bytes[i]!, MULTIPLIER)
  return finished(h)
}

function finished(h: number): number {
  let x = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}
