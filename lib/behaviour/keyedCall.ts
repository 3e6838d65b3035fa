/** The call in hand: what a handler asks for is noted, and happens when it has returned. */
import { TopologyError } from '../errors.ts'
import { type Headers, NO_HEADERS, StreamRecord } from '../record.ts'
import { type Clock, ms } from '../time.ts'
import type { OperatorContext, RecordContext } from '../topology/node.ts'
import { EVENT, type TimerClock, WALL } from './keyedRow.ts'
import type { EmitOptions, KeyContext, KeyTimers, TimerOptions } from './port.ts'

// biome-ignore lint/suspicious/noExplicitAny: keys and values of any behaviour
type AnyRecord = StreamRecord<any, any>

/** A timer that is to be set; `due` -1: taken back. */
export interface TimerChange {
  readonly name: string
  readonly due: number
  readonly clock: TimerClock
}

/** One object per task, used again for each call. */
export class KeyedCall<K> implements KeyContext<K>, KeyTimers {
  readonly timers: KeyTimers = this
  /** Owned by the operator between the calls: what the last one asked for. */
  readonly changes: TimerChange[] = []
  readonly emitted: { readonly output: string; readonly record: AnyRecord }[] = []
  timestamp = -1
  readonly #behaviour: string
  readonly #outputs: ReadonlyMap<string, string>
  readonly #context: OperatorContext
  #record: AnyRecord | undefined
  #key: K | undefined

  /** @param outputs names of the sink nodes by output */
  constructor(behaviour: string, outputs: ReadonlyMap<string, string>, context: OperatorContext) {
    this.#behaviour = behaviour
    this.#outputs = outputs
    this.#context = context
  }

  ofRecord(record: AnyRecord): void {
    this.#record = record
    this.timestamp = record.timestamp
    this.#reset()
  }

  ofTimer(key: K, due: number): void {
    this.#record = undefined
    this.#key = key
    this.timestamp = due
    this.#reset()
  }

  /** An ask happens now, by the wall clock, as a record produced now would. */
  ofAsk(key: K): void {
    this.ofTimer(key, this.#context.clock.now())
  }

  /** What a call that threw has left must not go out with the next one. */
  #reset(): void {
    if (this.changes.length > 0) this.changes.length = 0
    if (this.emitted.length > 0) this.emitted.length = 0
  }

  get key(): K {
    return this.#record === undefined ? this.#key! : this.#record.key
  }

  get headers(): Headers {
    return this.#record === undefined ? NO_HEADERS : this.#record.headers
  }

  get source(): RecordContext | undefined {
    return this.#record === undefined ? undefined : this.#context.source
  }

  get streamTime(): number {
    return this.#context.streamTime
  }

  get clock(): Clock {
    return this.#context.clock
  }

  emit(output: string, value: unknown, options?: EmitOptions): void {
    const node = this.#outputs.get(output)
    if (node === undefined) {
      throw new TopologyError(
        `Behaviour "${this.#behaviour}" emits to "${output}", which is none of its outputs: ${[...this.#outputs.keys()].join(', ') || 'it has none'}.`,
        { code: 'ERR_TOPOLOGY_PARENT' }
      )
    }
    this.emitted.push({ output: node, record: this.#made(value, options) })
  }

  #made(value: unknown, options: EmitOptions | undefined): AnyRecord {
    // Under the record's own key its bytes are passed on as they lie.
    if (options === undefined && this.#record !== undefined) return this.#record.withValue(value)
    const { key = this.key, timestamp = this.timestamp, headers = this.headers } = options ?? {}
    return new StreamRecord(key, value, timestamp, headers)
  }

  set(name: string, { after, at, clock = 'event' }: TimerOptions): void {
    const from = clock === 'event' ? this.timestamp : this.#context.clock.now()
    const due = at ?? from + (typeof after === 'number' ? after : ms(after ?? 0))
    if (!(due >= 0) || !Number.isFinite(due)) {
      throw new TopologyError(
        `Behaviour "${this.#behaviour}" sets the timer "${name}" to ${due}: a time is milliseconds, 0 or more.`
      )
    }
    this.changes.push({ name, due: Math.ceil(due), clock: clock === 'event' ? EVENT : WALL })
  }

  cancel(name: string): void {
    this.changes.push({ name, due: -1, clock: EVENT })
  }

  log(...facts: unknown[]): void {
    this.#context.log({ key: this.key, facts }, `Behaviour "${this.#behaviour}" says`)
  }
}
