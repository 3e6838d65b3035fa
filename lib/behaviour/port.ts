/** What a keyed behaviour does, however it is written: handlers as plain functions, or a state machine. Synchronous; one per task. */
import type { Headers } from '../record.ts'
import type { Clock, Duration } from '../time.ts'
import type { RecordContext } from '../topology/node.ts'

/** The state that a call leaves: null deletes the key and its timers; undefined, or the same reference, leaves it as it is. */
export type Next<S> = S | null | undefined

/** What an ask leaves and says. */
export interface Asked<S> {
  readonly state: Next<S>
  readonly reply: unknown
}

export interface KeyedLogic<K, S> {
  /** A record of that input. `state` is undefined when the key has none. */
  receive(input: string, state: S | undefined, value: unknown, context: KeyContext<K>): Next<S>
  /** A timer of the key is due; it is gone already, so setting it again sets it anew. */
  timer(name: string, state: S | undefined, due: number, context: KeyContext<K>): Next<S>
  query(name: string, state: S | undefined, input: unknown, key: K): unknown
  /** What it throws is the asker's to hear; the key stays as it was. */
  ask(name: string, state: S | undefined, input: unknown, context: KeyContext<K>): Asked<S>
}

export interface EmitOptions {
  /** Default: the behaviour's own key. */
  readonly key?: unknown
  /** ms. Default: that of the record or timer in hand. */
  readonly timestamp?: number
  /** Default: those of the record in hand; none in timers. */
  readonly headers?: Headers
}

export interface TimerOptions {
  /** From the time in hand: the record's, the timer's own, or the wall clock's. Give this or `at`. */
  readonly after?: Duration
  /** ms since the epoch. */
  readonly at?: number
  /** Default 'event': due when the task's stream time gets there. */
  readonly clock?: 'event' | 'wall'
}

/** One object per task, for the call in hand only. What a call that throws has asked for does not happen. */
export interface KeyContext<K> {
  readonly key: K
  /** Event time of the record, ms; the due time of a timer; the wall clock in asks. */
  readonly timestamp: number
  /** Highest event time of the task so far, ms; -1 before the first record. */
  readonly streamTime: number
  /** Of the record; none in timers and asks. */
  readonly headers: Headers
  /** Where the record stands; undefined in timers and asks. */
  readonly source: RecordContext | undefined
  readonly clock: Clock
  emit(output: string, value: unknown, options?: EmitOptions): void
  readonly timers: KeyTimers
  /** To the runtime's logger, with the key. */
  log(...facts: unknown[]): void
}

/** Durable timers, one per key and name. */
export interface KeyTimers<T extends string = string> {
  /** Setting again replaces. */
  set(name: T, options: TimerOptions): void
  cancel(name: T): void
}
