/** An XState machine per key: its snapshot is the key's durable state, its delays are durable timers, what it emits are records. */
import type { AnyStateMachine, EmittedFrom, EventFrom, InputFrom, OutputFrom, SnapshotFrom } from 'xstate'
import { refuseUnknown } from '../check.ts'
import type { Target, Topic } from '../dsl/topic.ts'
import { TopologyError } from '../errors.ts'
import type { Serde } from '../record.ts'
import type { Rule } from '../supervise/rules.ts'
import { type Behaviour, keyedBehaviour } from './keyed.ts'
import { checkMachine } from './machineCheck.ts'
import { type MachineDefinition, MachineLogic, type MachineView } from './machineLogic.ts'
import type { MachineRow } from './machineRow.ts'
import { type Migrations, machineSerde } from './machineSerde.ts'
import { MachineStates } from './machineStates.ts'
import type { KeyedLogic } from './port.ts'
import type { AnyHandlers, InputOf, Questions } from './questions.ts'

/** What `startWith` and `event` are told about the record in hand. */
export interface MachineRecord<K> {
  readonly key: K
  /** Event time, ms. */
  readonly timestamp: number
}

// biome-ignore lint/suspicious/noExplicitAny: a topic of any types
type AnyTopic = Topic<any, any>
/** Inputs by name. */
export type MachineInputs = Readonly<Record<string, AnyTopic>>
type KeyOf<I extends MachineInputs> = ReturnType<I[keyof I]['key']['decode']>
type ValueOf<T extends AnyTopic> = ReturnType<T['value']['decode']>

/** A machine without a type for its output may give anything. */
// biome-ignore lint/suspicious/noExplicitAny: so it is
type DoneOf<M extends AnyStateMachine> = unknown extends OutputFrom<M> ? any : OutputFrom<M>

/** Outputs by the type of what the machine emits; `done` takes its output at the end, `'*'` all that is not named. null drops. */
export type MachineOutputs<M extends AnyStateMachine, K> = {
  readonly [T in EmittedFrom<M>['type']]?: Target<K, Extract<EmittedFrom<M>, { type: T }>> | null
} & { readonly done?: Target<K, DoneOf<M>>; readonly '*'?: Target<K, EmittedFrom<M>> | null }

/** By input: the type of the events that its values (objects) become, or what makes an event of a value. */
export type MachineEvents<I extends MachineInputs, E extends { type: string }> = {
  readonly [N in keyof I]?: E['type'] | ((value: ValueOf<I[N]>, record: MachineRecord<KeyOf<I>>) => E | undefined)
}

/** Own questions, and `snapshot`; undefined for a key without a machine. `send` gives it an event, and says what it then is. */
export interface MachineQuestions<M extends AnyStateMachine, Q extends AnyHandlers> extends Questions {
  readonly query: {
    readonly [N in keyof Q | 'snapshot']: N extends keyof Q
      ? (state: never, input: InputOf<Q[N]>) => ReturnType<Q[N]> | undefined
      : () => MachineView | undefined
  }
  readonly ask: { readonly send: (state: never, event: EventFrom<M>) => MachineView | undefined }
}

export interface MachineParts<M extends AnyStateMachine, I extends MachineInputs, Q extends AnyHandlers = AnyHandlers> {
  /** Name of the behaviour, its node and stores. Default: the machine's id. */
  readonly name?: string
  /** Topics whose records are events for the key's machine. They share keys and partition counts. */
  readonly input: I
  /**
   * By input: the event that a record's value stands for: `'paid'` makes `{ type: 'paid', ...value }` of it; a function makes anything (write
   * `type: 'paid' as const`), and undefined leaves the record out. Default: the value is the event.
   */
  readonly event?: MachineEvents<I, EventFrom<M>>
  readonly output?: MachineOutputs<M, KeyOf<I>>
  /** Serde of keys. Default: that of the first input. */
  readonly key?: Serde<KeyOf<I>>
  /** Types of events that start a machine for a key that has none; others are left out. Default: any event starts one. */
  readonly startOn?: readonly EventFrom<M>['type'][]
  /** The machine's input. Default `{ key }`. */
  readonly startWith?: (start: MachineRecord<KeyOf<I>> & { readonly event: EventFrom<M> }) => InputFrom<M>
  /** The time that delays count in: of the records (default), or of the wall clock. */
  readonly clock?: 'event' | 'wall'
  /** Former versions of the machine: from what was stored to what this version wants. */
  readonly migrate?: Migrations
  /** What follows when a record or a timer fails; without a rule that matches the runtime's decide. */
  readonly supervise?: readonly Rule[]
  /** Read-only questions by name; `snapshot` is there always. Keys without a machine are answered with undefined. */
  readonly query?: {
    readonly [N in keyof Q]: Q[N] & ((snapshot: SnapshotFrom<M>, input: never, key: KeyOf<I>) => unknown)
  }
}

const KNOWN = [
  ...['name', 'input', 'event', 'output', 'key', 'startOn', 'startWith', 'clock', 'migrate', 'query', 'supervise']
]
/** XState's own default is none: a loop of eventless transitions would stop the task for ever. */
const MOST_MICROSTEPS = 1_000

/**
 * A machine of XState (v5) for each key. A record's value is the event; delays (`after`, `raise` with a delay) are timers that survive crashes and
 * moves; emitted events are records; a final state ends the key.
 * @throws TopologyError ERR_MACHINE for what a machine per key cannot do (invoke, spawn, sendTo), naming the state and the alternative
 * @example
 * const orders = machineBehaviour(order, {
 *   input: { events: topic('order-events', json<Placed | Paid>()) },
 *   output: { overdue: topic('overdue-orders', json()) }
 * })
 */
export function machineBehaviour<
  M extends AnyStateMachine,
  const I extends MachineInputs,
  Q extends AnyHandlers = Record<never, never>
>(
  machine: M,
  parts: MachineParts<M, NoInfer<I>, Q> & { readonly input: I }
): Behaviour<KeyOf<I>, MachineQuestions<M, Q>> {
  refuseUnknown(parts, KNOWN, '')
  const own = bounded(machine)
  checkMachine(own)
  const outputs = Object.entries(
    (parts.output ?? {}) as Readonly<Record<string, Target<unknown, unknown> | null | undefined>>
  )
  if (outputs.some(([name, target]) => name === 'done' && target) && own.root.output === undefined) {
    throw new TopologyError(
      `Machine "${machine.id}" has no output, so there is nothing for the output "done". Give the machine "output: ({ context }) => …", or leave the output out.`,
      { code: 'ERR_MACHINE', details: { machine: machine.id } }
    )
  }
  const states = new MachineStates(own)
  const definition: MachineDefinition = {
    states,
    event: Object.fromEntries(Object.entries(parts.event ?? {}).map(([input, of]) => [input, eventMaker(of)])),
    outputs: new Map(outputs.map(([name, target]) => [name, target != null])),
    startOn: parts.startOn && new Set(parts.startOn),
    startWith: (parts.startWith ?? defaultInput) as MachineDefinition['startWith'],
    clock: parts.clock ?? 'event',
    query: (parts.query ?? {}) as MachineDefinition['query']
  }
  const named = Object.fromEntries(outputs.filter(([, target]) => target != null)) as Record<
    string,
    Target<unknown, unknown>
  >
  return keyedBehaviour<KeyOf<I>, MachineRow, MachineQuestions<M, Q>>(parts.name ?? machine.id, {
    inputs: parts.input,
    outputs: named,
    key: (parts.key ?? Object.values<AnyTopic>(parts.input)[0]?.key) as Serde<KeyOf<I>>,
    state: machineSerde(states, parts.migrate ?? {}),
    logic: () => new MachineLogic(definition) as KeyedLogic<KeyOf<I>, MachineRow>,
    supervise: parts.supervise
  })
}

const defaultInput = ({ key }: { key: unknown }): unknown => ({ key })

type EventMaker = NonNullable<MachineDefinition['event'][string]>

const eventMaker = (of: unknown): EventMaker =>
  typeof of === 'string' ? (value) => ({ ...(value as object), type: of }) : (of as EventMaker)

/** A copy, so that the user's own machine stays as it is. */
function bounded(machine: AnyStateMachine): AnyStateMachine {
  const own = machine.provide({}) as AnyStateMachine
  if (own.options.maxIterations === Number.POSITIVE_INFINITY) own.options.maxIterations = MOST_MICROSTEPS
  return own
}
