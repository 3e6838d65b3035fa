/** How time is cut into windows, with the checks that windows can work. */
import { TopologyError } from '../errors.ts'
import type { SessionWindows, SlidingWindows, TimeWindows } from '../operators/windows.ts'
import { type Duration, ms } from '../time.ts'

export interface WindowOptions {
  /** How long after its end a window still takes records that come late. Default 0. */
  readonly grace?: Duration
}

const fault = (message: string): TopologyError => new TopologyError(message, { code: 'ERR_TOPOLOGY_WINDOW' })

/** @internal A duration of whole milliseconds. */
export function whole(what: string, duration: Duration, least: number): number {
  let value: number
  try {
    value = ms(duration)
  } catch (cause) {
    throw new TopologyError(`The ${what} cannot work: ${(cause as Error).message}.`, {
      code: 'ERR_TOPOLOGY_WINDOW',
      cause
    })
  }
  if (value < least || !Number.isSafeInteger(value)) {
    throw fault(`The ${what} is ${duration}: it must be whole milliseconds, at least ${least}.`)
  }
  return value
}

/**
 * Windows [start, start + size) side by side, aligned to the epoch: every record is in exactly one.
 * @throws TopologyError ERR_TOPOLOGY_WINDOW when a duration cannot work
 * @example tumbling('5m', { grace: '30s' }) // → { size: 300_000, advance: 300_000, grace: 30_000 }
 */
export function tumbling(size: Duration, { grace = 0 }: WindowOptions = {}): TimeWindows {
  const sizeMs = whole('size of tumbling windows', size, 1)
  return { size: sizeMs, advance: sizeMs, grace: whole('grace of tumbling windows', grace, 0) }
}

/**
 * Windows [start, start + size), a new one every `advance`: they overlap, a record is in size / advance of them.
 * @throws TopologyError ERR_TOPOLOGY_WINDOW when a duration cannot work, or the advance is above the size
 * @example hopping('1h', { advance: '5m' }) // → { size: 3_600_000, advance: 300_000, grace: 0 }
 */
export function hopping(size: Duration, options: WindowOptions & { readonly advance: Duration }): TimeWindows {
  const sizeMs = whole('size of hopping windows', size, 1)
  const advance = whole('advance of hopping windows', options.advance, 1)
  if (advance > sizeMs) {
    throw fault(
      `Hopping windows of size ${size} advance by ${options.advance}: records between two windows would be lost. Advance by at most the size.`
    )
  }
  return { size: sizeMs, advance, grace: whole('grace of hopping windows', options.grace ?? 0, 0) }
}

/**
 * Windows [t − difference, t] that end at a record, and [t + 1, t + 1 + difference] that begin behind one: every set of records that lie
 * at most `difference` apart is in one window. Both ends are inclusive.
 * @throws TopologyError ERR_TOPOLOGY_WINDOW when a duration cannot work
 * @example sliding('10m', { grace: '1m' }) // → { difference: 600_000, grace: 60_000 }
 */
export function sliding(difference: Duration, { grace = 0 }: WindowOptions = {}): SlidingWindows {
  return {
    difference: whole('time difference of sliding windows', difference, 0),
    grace: whole('grace of sliding windows', grace, 0)
  }
}

/**
 * Windows [first record, last record] of records of one key that are at most `gap` apart: they grow, and a record between two makes them
 * one. Both ends are inclusive.
 * @throws TopologyError ERR_TOPOLOGY_WINDOW when a duration cannot work
 * @example session('30m', { grace: '5m' }) // → { gap: 1_800_000, grace: 300_000 }
 */
export function session(gap: Duration, { grace = 0 }: WindowOptions = {}): SessionWindows {
  return { gap: whole('gap of sessions', gap, 1), grace: whole('grace of sessions', grace, 0) }
}

/**
 * One window [start, ∞): for what is counted since a day. Earlier records are in no window; none is ever late, and the window never closes.
 * @param options `start`: ms since the epoch, default 0
 * @throws TopologyError ERR_TOPOLOGY_WINDOW when the start is no whole number of at least 0
 * @example unlimited({ start: Date.UTC(2026, 0, 1) }).origin // → 1767225600000
 */
export function unlimited({ start = 0 }: { readonly start?: number } = {}): TimeWindows {
  if (!(Number.isSafeInteger(start) && start >= 0)) {
    throw fault(`The unlimited window starts at ${start}: it must be whole milliseconds since the epoch, at least 0.`)
  }
  const never = Number.POSITIVE_INFINITY
  return { size: never, advance: never, grace: 0, origin: start }
}

/** @internal `closeIdleAfter` in ms. The log is asked each time so much has passed, so it must not be next to nothing. */
export function idleOf(
  what: string,
  { closeIdleAfter }: { readonly closeIdleAfter?: Duration | undefined }
): number | undefined {
  return closeIdleAfter === undefined ? undefined : whole(`closeIdleAfter of ${what}`, closeIdleAfter, 100)
}

/** @internal Retention in ms. */
export function checkRetention(store: string, retention: Duration, least: number, what: string): number {
  const value = whole(`retention of store "${store}"`, retention, 0)
  if (value < least) {
    throw fault(
      `Store "${store}" keeps its windows for ${retention}, which is less than ${what} (${least} ms): open windows would be lost. Keep them for at least that long.`
    )
  }
  return value
}
