/** The broker's timers on its clock, gathered so that `close` ends them all and the process can exit. */
import type { Clock } from '../time.ts'

export type Timer = { handle: unknown }

export class Timers {
  readonly clock: Clock
  #live = new Set<Timer>()
  #closed = false

  constructor(clock: Clock) {
    this.clock = clock
  }

  after(ms: number, fn: () => void): Timer {
    const timer: Timer = { handle: undefined }
    if (this.#closed) return timer
    this.#live.add(timer)
    timer.handle = this.clock.setTimeout(() => {
      this.#live.delete(timer)
      fn()
    }, ms)
    return timer
  }

  cancel(timer: Timer | undefined): void {
    if (timer && this.#live.delete(timer)) this.clock.clearTimeout(timer.handle)
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#live) this.clock.clearTimeout(timer.handle)
    this.#live.clear()
  }
}
