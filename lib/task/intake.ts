/** Which record comes next: the lowest event time over the heads of a task's queues, once every queue had its say. */
import type { SourceQueue } from './queue.ts'

/** Chooses among the queues of one task. Owned by the pump. */
export class Intake {
  readonly queues: readonly SourceQueue[]
  /** Of the last `pick`: the picked queue's records may be taken while their event time is below this … */
  limit = Number.POSITIVE_INFINITY
  /** … or equal to it, when this is true (its batch arrived before the other's). */
  limitIncluded = true
  /** Of the last `pick` that gave nothing: when to look again although nothing arrives, on the clock; undefined = only on arrival. */
  retryAt: number | undefined
  readonly #maxIdleMs: number

  /** @param maxIdleMs see `TaskEnv.maxTaskIdleMs` */
  constructor(queues: readonly SourceQueue[], maxIdleMs: number) {
    this.queues = queues
    this.#maxIdleMs = maxIdleMs
  }

  /** The queue to take from, or undefined when there is nothing to take now. */
  pick(now: number): SourceQueue | undefined {
    let best: SourceQueue | undefined
    let bestTime = 0
    let second: SourceQueue | undefined
    let secondTime = Number.POSITIVE_INFINITY
    let wait = false
    let parked: number | undefined
    this.retryAt = undefined
    for (const queue of this.queues) {
      // A record that failed and waits: its partition stands, the others go on without it.
      const time = queue.parkedUntil > now ? -1 : queue.headTime()
      if (queue.parkedUntil > now) parked = Math.min(parked ?? queue.parkedUntil, queue.parkedUntil)
      else if (time < 0) {
        if (this.#mustWait(queue, now)) wait = true
      } else if (best === undefined || time < bestTime || (time === bestTime && queue.arrival < best.arrival)) {
        second = best
        secondTime = best === undefined ? Number.POSITIVE_INFINITY : bestTime
        best = queue
        bestTime = time
      } else if (time < secondTime || (time === secondTime && queue.arrival < second!.arrival)) {
        second = queue
        secondTime = time
      }
    }
    if (best === undefined || wait) {
      if (best === undefined) this.retryAt = undefined
      if (parked !== undefined) this.retryAt = Math.min(parked, this.retryAt ?? parked)
      return undefined
    }
    this.limit = secondTime
    this.limitIncluded = second === undefined || best.arrival < second.arrival
    return best
  }

  /** True when an empty queue holds the others back. */
  #mustWait(queue: SourceQueue, now: number): boolean {
    if (this.#maxIdleMs < 0) return false
    if (!queue.caughtUp) return true
    if (this.#maxIdleMs === 0) return false
    queue.idleSince ??= now
    const until = queue.idleSince + this.#maxIdleMs
    if (now >= until) return false
    this.retryAt = Math.min(this.retryAt ?? until, until)
    return true
  }
}
