/** Windows of time, aligned to the epoch: tumbling and hopping. */

/** [start, start + size), one every `advance`; all in ms. Tumbling windows advance by their size. */
export interface TimeWindows {
  readonly size: number
  readonly advance: number
  /** How long after its end a window still takes records. */
  readonly grace: number
}

/** Start of the earliest window that contains `time` (≥ 0). */
export function firstStart(time: number, { size, advance }: TimeWindows): number {
  if (size === advance) return time - (time % size)
  return Math.floor(Math.max(0, time - size + advance) / advance) * advance
}
