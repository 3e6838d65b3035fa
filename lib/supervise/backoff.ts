/** How long to wait before the next try: exponential, with an upper bound and jitter. All in milliseconds. */
import { type Duration, ms, type Random } from '../time.ts'

export interface Backoff {
  /** Milliseconds before the first repeat. */
  readonly min: number
  /** Milliseconds; the wait never grows past this (jitter comes on top). */
  readonly max: number
  /** Share of the wait added at random: 0.2 = up to 20 % more, so that tasks that failed together do not return together. */
  readonly jitter: number
}

/**
 * Doubles from `min` to `max`. Default jitter 0.2.
 * @throws RangeError when a duration is none.
 * @example exponential('1s', '1m', { jitter: 0.2 })
 */
export function exponential(min: Duration, max: Duration, options: { jitter?: number } = {}): Backoff {
  return Object.freeze({ min: ms(min), max: ms(max), jitter: options.jitter ?? 0.2 })
}

/** The wait before attempt `n` (0 = the first repeat): `min(max, min · 2ⁿ) · (1 + random · jitter)`. */
export function backoffMs(backoff: Backoff, n: number, random: Random): number {
  return Math.round(Math.min(backoff.max, backoff.min * 2 ** Math.min(n, 52)) * (1 + random() * backoff.jitter))
}
