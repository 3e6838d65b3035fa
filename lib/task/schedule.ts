/** Punctuation: callbacks by stream time and by wall clock, each on its own grid. */
import type { MaybePromise } from '../store/port.ts'
import type { Cancellable } from '../topology/node.ts'

export type ScheduleType = 'stream' | 'wall'

interface Entry {
  readonly interval: number
  readonly type: ScheduleType
  readonly fire: (time: number) => MaybePromise<void>
  next: number
  cancelled: boolean
}

/** The schedules of one task. A due one fires once however many points of its grid were passed. Owned by the pump. */
export class Schedules {
  /** Stream time at which the next one is due; Infinity = none. Read per record, so it is a plain field. */
  nextStream = Number.POSITIVE_INFINITY
  /** Wall-clock time at which the next one is due; Infinity = none. */
  nextWall = Number.POSITIVE_INFINITY
  readonly #entries = new Set<Entry>()

  /**
   * 'stream' is anchored at 0 and so first fires with the first record; 'wall' first fires one interval after `now`.
   * @throws RangeError when the interval is below 1 ms
   */
  add(intervalMs: number, type: ScheduleType, fire: (time: number) => MaybePromise<void>, now: number): Cancellable {
    if (!(intervalMs >= 1)) throw new RangeError(`A schedule needs an interval of at least 1 ms, not ${intervalMs}.`)
    const entry: Entry = {
      interval: intervalMs,
      type,
      fire,
      next: type === 'stream' ? 0 : now + intervalMs,
      cancelled: false
    }
    this.#entries.add(entry)
    this.#refresh()
    return {
      cancel: () => {
        entry.cancelled = true
        this.#entries.delete(entry)
        this.#refresh()
      }
    }
  }

  /** Fires what is due at `time`, in the order of registration; a callback may cancel or add schedules. */
  async fire(type: ScheduleType, time: number): Promise<number> {
    let fired = 0
    for (const entry of [...this.#entries]) {
      if (entry.cancelled || entry.type !== type || entry.next > time) continue
      // Before the call: a callback that throws must not be due again in the same instant.
      entry.next += (Math.floor((time - entry.next) / entry.interval) + 1) * entry.interval
      fired++
      await entry.fire(time)
    }
    this.#refresh()
    return fired
  }

  #refresh(): void {
    this.nextStream = Number.POSITIVE_INFINITY
    this.nextWall = Number.POSITIVE_INFINITY
    for (const { type, next } of this.#entries) {
      if (type === 'stream') this.nextStream = Math.min(this.nextStream, next)
      else this.nextWall = Math.min(this.nextWall, next)
    }
  }
}
