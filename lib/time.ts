/** Time and randomness as ports: the only file of lib and actors that touches real timers, clocks or dice. */

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  setTimeout(fn: (...args: unknown[]) => void, ms: number): unknown
  clearTimeout(handle: unknown): void
}

/** Draws from [0, 1). */
export type Random = () => number

/** Milliseconds, or a number with a unit: `'250ms' '30s' '5m' '24h' '7d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * A duration in milliseconds.
 * @throws RangeError when the text is no duration, or the value is negative or not finite.
 * @example ms('5m') // 300000
 */
export function ms(duration: Duration): number {
  const match = typeof duration === 'number' ? null : /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration)
  const value = typeof duration === 'number' ? duration : match ? Number(match[1]) * UNITS[match[2]!]! : Number.NaN
  if (!Number.isFinite(value) || value < 0) {
    throw new RangeError(
      `"${duration}" is not a duration: write milliseconds as a number, or '250ms', '30s', '5m', '24h', '7d'`
    )
  }
  return value
}

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (fn, delay) => setTimeout(fn, delay),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout)
}

export const systemRandom: Random = () => Math.random()

/** A monotonic stopwatch reading in milliseconds, for measuring only: results never depend on it. */
export const stopwatch = (): number => performance.now()

/** Gives the event loop one turn (sockets, timers, heartbeats), without waiting for a time. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Resolves after `ms` on the clock; rejects with the signal's reason when it aborts first. */
export function delay(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      clock.clearTimeout(handle)
      reject(signal!.reason)
    }
    const handle = clock.setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** The same dice for the same seed (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

interface Timer {
  readonly at: number
  readonly seq: number
  readonly fn: () => void
}

/** A clock that stands still until it is moved; due timers fire in order of their time, then of their making. */
export class VirtualClock implements Clock {
  #now: number
  #seq = 0
  #timers: Timer[] = [] // owned here; unsorted, few

  constructor(start = 0) {
    this.#now = start
  }

  now(): number {
    return this.#now
  }

  setTimeout(fn: () => void, delay: number): unknown {
    const timer = { at: this.#now + Math.max(0, delay), seq: this.#seq++, fn }
    this.#timers.push(timer)
    return timer
  }

  clearTimeout(handle: unknown): void {
    const at = this.#timers.indexOf(handle as Timer)
    if (at >= 0) this.#timers.splice(at, 1)
  }

  /** When the next timer is due, or undefined. */
  get next(): number | undefined {
    return this.#earliest()?.at
  }

  /** Moves on by `ms`, letting the event loop settle after each timer that fires. */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms
    for (;;) {
      await nextTurn()
      const timer = this.#earliest()
      if (!timer || timer.at > target) break
      this.#now = timer.at
      this.clearTimeout(timer)
      timer.fn()
    }
    this.#now = target
    await nextTurn()
  }

  #earliest(): Timer | undefined {
    let best: Timer | undefined
    for (const t of this.#timers) if (!best || t.at < best.at || (t.at === best.at && t.seq < best.seq)) best = t
    return best
  }
}
