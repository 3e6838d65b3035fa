/** What a key's machine does with a record, a timer or a question: one for each task. */
import type { AnyMachineSnapshot, EventObject } from 'xstate'
import { ProcessingError } from '../errors.ts'
import { afterEvent, isAfter } from './machinePlan.ts'
import { type MachineRow, rowOf, snapshotOf } from './machineRow.ts'
import type { MachineStates } from './machineStates.ts'
import { type MachineEffects, MachineStep } from './machineStep.ts'
import type { KeyContext, KeyedLogic } from './port.ts'

/** What was said of the behaviour, with all defaults in place. */
export interface MachineDefinition {
  readonly states: MachineStates
  /** By input: how a record's value becomes an event. Absent: it is one. */
  readonly event: Readonly<Record<string, ((value: unknown, context: KeyContext<unknown>) => unknown) | undefined>>
  /** Names of outputs; false: events of that type go nowhere. */
  readonly outputs: ReadonlyMap<string, boolean>
  readonly startOn: ReadonlySet<string> | undefined
  readonly startWith: (start: {
    readonly key: unknown
    readonly event: EventObject
    readonly timestamp: number
  }) => unknown
  readonly clock: 'event' | 'wall'
  readonly query: Readonly<Record<string, (snapshot: AnyMachineSnapshot, input: unknown, key: unknown) => unknown>>
}

/** What a question about a machine is answered with. */
export interface MachineView {
  readonly value: unknown
  readonly context: unknown
  readonly status: string
  readonly tags: readonly string[]
  /** Of a machine that has just ended. */
  readonly output: unknown
}

const DONE = 'done'
const ANY = '*'

/** The hot path: no object but the next snapshot and row is made for a record. */
export class MachineLogic implements KeyedLogic<unknown, MachineRow>, MachineEffects {
  readonly #definition: MachineDefinition
  readonly #step: MachineStep
  // Of the call in hand
  #context!: KeyContext<unknown>
  #pending: MachineRow['pending']
  #named = 0
  #last: MachineRow | undefined

  constructor(definition: MachineDefinition) {
    this.#definition = definition
    this.#step = new MachineStep(definition.states, this)
  }

  receive(
    input: string,
    row: MachineRow | undefined,
    value: unknown,
    context: KeyContext<unknown>
  ): MachineRow | null | undefined {
    const toEvent = this.#definition.event[input]
    const event = toEvent ? toEvent(value, context) : value
    if (toEvent && event == null) return undefined
    return this.#work(row, this.#checked(event, input), context)
  }

  timer(
    name: string,
    row: MachineRow | undefined,
    _due: number,
    context: KeyContext<unknown>
  ): MachineRow | null | undefined {
    if (row === undefined) return undefined
    if (isAfter(name)) return this.#work(row, afterEvent(name), context)
    const event = row.pending?.[name]
    if (event === undefined) return undefined
    const { at, context: kept, history, pending, named } = row
    return this.#work(rowOf(at, kept, history, without(pending, name), named), event, context)
  }

  query(name: string, row: MachineRow | undefined, input: unknown, key: unknown): unknown {
    if (row === undefined) return undefined
    const own = this.#definition.query[name]
    return own ? own(snapshotOf(row), input, key) : viewOf(row)
  }

  /** 'send': the event changes the machine, and what it then is is the answer; undefined when there is none. */
  ask(
    _name: string,
    row: MachineRow | undefined,
    input: unknown,
    context: KeyContext<unknown>
  ): { state: MachineRow | null | undefined; reply: MachineView | undefined } {
    const state = this.#work(row, this.#checked(input, 'send'), context)
    return { state, reply: this.#last && viewOf(this.#last) }
  }

  // What the machine asks for

  emit(event: EventObject): void {
    const { outputs } = this.#definition
    const name = outputs.has(event.type) ? event.type : ANY
    const goes = outputs.get(name)
    if (goes) this.#context.emit(name, event)
    else if (goes === undefined) {
      throw new ProcessingError(
        `Machine "${this.#machine}" emits "${event.type}", and no output has that name (outputs: ${[...outputs.keys()].join(', ') || 'none'}). ` +
          `Declare output: { '${event.type}': topic(…) }, null there to drop it, or '*' for all others.`,
        { code: 'ERR_MACHINE_EMIT', details: { machine: this.#machine, type: event.type } }
      )
    }
  }

  raise(event: EventObject, delay: number, id: string | undefined): void {
    const name = id ?? `raise#${++this.#named}`
    this.#context.timers.set(name, { after: delay, clock: this.#definition.clock })
    if (!isAfter(name)) this.#pending = { ...this.#pending, [name]: event }
  }

  cancel(id: string): void {
    this.#context.timers.cancel(id)
    if (this.#pending && id in this.#pending) this.#pending = without(this.#pending, id)
  }

  log(label: string | undefined, value: unknown): void {
    if (label === undefined) this.#context.log(value)
    else this.#context.log(label, value)
  }

  #work(row: MachineRow | undefined, event: EventObject, context: KeyContext<unknown>): MachineRow | null | undefined {
    this.#context = context
    this.#pending = row?.pending
    this.#named = row?.named ?? 0
    const before = row === undefined ? this.#started(event, context) : row
    if (before === undefined) {
      this.#last = undefined
      return undefined
    }
    const next = before.ended ? before : this.#step.receive(before, event)
    this.#last = next
    if (next.ended) {
      if (this.#definition.outputs.get(DONE)) context.emit(DONE, next.ended.output)
      return null
    }
    const [pending, named] = [this.#pending, this.#named]
    if (pending === next.pending && named === next.named) return next
    return rowOf(next.at, next.context, next.history, pending, named)
  }

  #started(event: EventObject, { key, timestamp }: KeyContext<unknown>): MachineRow | undefined {
    const { startOn, startWith } = this.#definition
    if (startOn && !startOn.has(event.type)) return undefined
    return this.#step.start(startWith({ key, event, timestamp }))
  }

  get #machine(): string {
    return this.#definition.states.machine.id
  }

  /** Events named `xstate.…` are the machine's own: a record must not forge the end of a delay. */
  #checked(event: unknown, input: string): EventObject {
    const type = typeof event === 'object' && event !== null ? (event as { type?: unknown }).type : undefined
    if (typeof type === 'string' && !(type.startsWith('xstate.') && type !== 'xstate.route'))
      return event as EventObject
    const got = typeof type === 'string' ? `the reserved type "${type}"` : 'no text called "type"'
    throw new ProcessingError(
      `A value of input "${input}" is no event for machine "${this.#machine}": it has ${got}. Make one of it: event: { ${input}: (value) => ({ type: '…', … }) }.`,
      { code: 'ERR_MACHINE_EVENT', details: { machine: this.#machine, input } }
    )
  }
}

function viewOf(row: MachineRow): MachineView {
  const { value, context, status, tags, output } = snapshotOf(row)
  return { value, context, status, tags: [...tags], output }
}

function without(pending: MachineRow['pending'], name: string): MachineRow['pending'] {
  const { [name]: _, ...rest } = pending!
  return Object.keys(rest).length > 0 ? rest : undefined
}
