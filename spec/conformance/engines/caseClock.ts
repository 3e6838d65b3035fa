/** A clock for one case: its time stands until it is moved, while timers run as always. */
import { type Clock, systemClock } from '../../../lib/time.ts'

interface Timer {
  readonly at: number
  readonly fn: () => void
  readonly handle: unknown
}

/** A timer fires after its delay in real time, or when the case's time is moved to it, whichever is first. */
export class CaseClock implements Clock {
  #now = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#now
  }

  setTimeout(fn: (...args: unknown[]) => void, ms: number): unknown {
    const timer: Timer = {
      at: this.#now + ms,
      fn,
      handle: systemClock.setTimeout(() => {
        this.#timers.delete(timer)
        fn()
      }, ms)
    }
    this.#timers.add(timer)
    return timer
  }

  clearTimeout(handle: unknown): void {
    const timer = handle as Timer | undefined
    if (!timer || !this.#timers.delete(timer)) return
    systemClock.clearTimeout(timer.handle)
  }

  advance(ms: number): void {
    this.#now += ms
    for (const timer of [...this.#timers]) {
      if (timer.at > this.#now) continue
      this.clearTimeout(timer)
      timer.fn()
    }
  }
}
