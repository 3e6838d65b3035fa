/** What a handler of a behaviour is given besides state and value. */
import type { Headers } from '../record.ts'
import type { Clock } from '../time.ts'
import type { RecordContext } from '../topology/node.ts'
import type { EmitOptions, KeyContext, KeyTimers, TimerOptions } from './port.ts'

/** Emits to an output by its name, under the behaviour's own key unless told otherwise. Nothing goes out when the handler throws. */
export type Emit<O> = { readonly [N in keyof O]: (value: O[N], options?: EmitOptions) => void }

/** One object per task, for the call in hand only: do not keep it. `O`: values by output; `T`: names of timers. */
export interface BehaviourContext<K, O, T extends string> extends Omit<KeyContext<K>, 'emit' | 'timers'> {
  readonly emit: Emit<O>
  readonly timers: KeyTimers<T>
}

export interface AskContext<K, O, T extends string> extends BehaviourContext<K, O, T> {
  /** What the asker is told, after the commit. Default undefined. */
  reply(value: unknown): void
}

/** @internal Wraps the host's context once per task. */
export class DefinedContext implements AskContext<unknown, Record<string, unknown>, string> {
  readonly emit: Emit<Record<string, unknown>>
  readonly timers: KeyTimers
  /** What the ask in hand has replied. */
  replied: unknown
  readonly #of: KeyContext<unknown>

  /** @param known refuses names of timers that have no handler */
  constructor(of: KeyContext<unknown>, outputs: readonly string[], known: (timer: string) => void) {
    this.#of = of
    this.emit = Object.freeze(
      Object.fromEntries(
        outputs.map((name) => [name, (value: unknown, options?: EmitOptions) => of.emit(name, value, options)])
      )
    )
    this.timers = Object.freeze({
      set(name: string, options: TimerOptions) {
        known(name)
        of.timers.set(name, options)
      },
      cancel(name: string) {
        known(name)
        of.timers.cancel(name)
      }
    })
  }

  get key(): unknown {
    return this.#of.key
  }
  get timestamp(): number {
    return this.#of.timestamp
  }
  get streamTime(): number {
    return this.#of.streamTime
  }
  get headers(): Headers {
    return this.#of.headers
  }
  get source(): RecordContext | undefined {
    return this.#of.source
  }
  get clock(): Clock {
    return this.#of.clock
  }

  // Bound, as they are taken apart: (state, value, { reply, log }) => …
  readonly reply = (value: unknown): void => {
    this.replied = value
  }

  readonly log = (...facts: unknown[]): void => this.#of.log(...facts)
}
