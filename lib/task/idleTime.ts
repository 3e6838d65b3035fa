/** Time that goes on while no record comes: operators that asked for it are given stream time as the wall clock has moved it on. */
import type { MaybePromise } from '../store/port.ts'

interface Listener {
  readonly after: number
  readonly advance: (time: number) => MaybePromise<void>
  /** Wall clock, ms. */
  due: number
}

export interface IdleTimeOptions {
  /** Wall clock at the start of the task. */
  readonly now: number
  /** When the last record was taken, kept over restarts and moves: the wait goes on, but is not over before `after` from the start. */
  readonly at: number | undefined
  readonly keep: (at: number) => void
}

/**
 * The time of an idle task is its stream time plus what the wall clock has moved on since its last record: so windows close when they
 * would if the records had gone on, and a replay of old data closes none too early. All operators of a task get the same time in one pass,
 * parents first. Owned by the pump, which makes sure that nothing is unread in the log, and nothing unflushed in the stores above an
 * operator when it gets the time.
 */
export class IdleTime {
  /** Wall-clock time at which somebody is due; Infinity = nobody asked. */
  next = Number.POSITIVE_INFINITY
  readonly #options: IdleTimeOptions
  readonly #listeners: Listener[] = []
  #since: number // nothing came for us from here on
  #from: number // what has moved on counts from here
  #pass: Listener[] = []
  #time = -1 // that the pass gives

  constructor(options: IdleTimeOptions) {
    this.#options = options
    this.#since = options.now
    this.#from = Math.min(options.at ?? options.now, options.now)
  }

  /** Operators are given in the order of the topology. */
  add(after: number, advance: (time: number) => MaybePromise<void>): void {
    this.#listeners.push({ after, advance, due: this.#since + after })
    this.#refresh()
  }

  /** Records were taken at this wall-clock time. */
  taken(now: number): void {
    if (this.#listeners.length === 0) return
    this.#since = now
    this.#from = now
    this.#options.keep(now)
    for (const listener of this.#listeners) listener.due = now + listener.after
    this.#refresh()
  }

  /** Not now: the log may hold more, or nobody knows. */
  later(now: number): void {
    for (const listener of this.#listeners) if (listener.due <= now) listener.due = now + listener.after
    this.#refresh()
  }

  /** Begins a pass over those that are due. */
  begin(now: number, streamTime: number): void {
    this.#pass = streamTime < 0 ? [] : this.#listeners.filter(({ due }) => due <= now)
    this.#time = streamTime + now - this.#from
    this.later(now)
  }

  get passing(): boolean {
    return this.#pass.length > 0
  }

  /** The next one of the pass. */
  step(): MaybePromise<void> {
    return this.#pass.shift()?.advance(this.#time)
  }

  #refresh(): void {
    this.next = Math.min(...this.#listeners.map(({ due }) => due))
  }
}
