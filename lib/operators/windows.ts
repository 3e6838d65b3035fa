/** The kinds of windows of time as data, all in ms: tumbling and hopping, unlimited, sliding, session. */

/** [start, start + size), one every `advance`; aligned to the epoch. Tumbling windows advance by their size. */
export interface TimeWindows {
  readonly size: number
  readonly advance: number
  /** How long after its end a window still takes records. */
  readonly grace: number
  /** Unlimited windows only: the start of the one window there is; its size is Infinity. */
  readonly origin?: number
}

/** [start, start + difference], both ends inclusive: one that ends and one that begins behind each record. */
export interface SlidingWindows {
  readonly difference: number
  /** How long after its end a window still takes records. */
  readonly grace: number
}

/** [first record, last record], both ends inclusive: records that are at most `gap` apart. */
export interface SessionWindows {
  readonly gap: number
  /** How long after its end and the gap a session still takes records. */
  readonly grace: number
}

/** Start of the earliest window that contains `time` (≥ 0); Infinity when none does. */
export function firstStart(time: number, { size, advance, origin }: TimeWindows): number {
  if (origin !== undefined) return time < origin ? Number.POSITIVE_INFINITY : origin
  if (size === advance) return time - (time % size)
  return Math.floor(Math.max(0, time - size + advance) / advance) * advance
}
