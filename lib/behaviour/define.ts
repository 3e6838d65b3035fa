/** A keyed behaviour as a plain value: a state per key, handlers for records, timers and questions. */
import { positiveDuration, refuseUnknown } from '../check.ts'
import type { Target, Topic } from '../dsl/topic.ts'
import { nearest, TopologyError } from '../errors.ts'
import type { Serde } from '../record.ts'
import type { Rule } from '../supervise/rules.ts'
import type { Duration } from '../time.ts'
import type { AskContext, BehaviourContext } from './context.ts'
import { DefinedLogic, type Handlers } from './defineLogic.ts'
import { type Behaviour, keyedBehaviour } from './keyed.ts'
import type { KeyedLogic, Next } from './port.ts'
import type { AnyHandlers, InputOf } from './questions.ts'

// biome-ignore lint/suspicious/noExplicitAny: keys and values of any topic
type AnyTopic = Topic<any, any>
// biome-ignore lint/suspicious/noExplicitAny: as above
type AnyTarget = Target<any, any>

type KeyOf<I extends Readonly<Record<string, AnyTopic>>> = NonNullable<ReturnType<I[keyof I]['key']['decode']>>
/** Records without a value are left out before any handler sees them. */
type ValueOf<T extends AnyTopic> = NonNullable<ReturnType<T['value']['decode']>>
type ValuesTo<O extends Readonly<Record<string, AnyTarget>>> = {
  [N in keyof O]: O[N] extends Target<never, infer V> ? V : never
}

/** Each handler with its own types, and the state and context in it. */
type Queries<Q, S, K> = {
  readonly [N in keyof Q]: Q[N] & ((state: S, input: never, about: { readonly key: K }) => unknown)
}
type Asks<A, S, K, O, T extends string> = {
  readonly [N in keyof A]: A[N] & ((state: S, input: never, context: AskContext<K, O, NoInfer<T>>) => Next<S>)
}
/** The handlers' replies have no type: they come by the context. */
type Replying<A> = { readonly [N in keyof A]: (state: never, input: InputOf<A[N]>) => unknown }

/** Why a key's state is gone: a handler said so, or nothing touched it for the time to live. */
export type Ending = 'deleted' | 'expired'

export interface BehaviourParts<
  I extends Readonly<Record<string, AnyTopic>>,
  O extends Readonly<Record<string, AnyTarget>>,
  S,
  T extends string,
  Q extends AnyHandlers = AnyHandlers,
  A extends AnyHandlers = AnyHandlers
> {
  /** Topics by the names of their handlers. They share keys and partition counts. */
  readonly input: I
  /** Topics by the names that `emit` knows. */
  readonly output?: O
  /** Serde of keys. Default: that of the first input. */
  readonly key?: Serde<KeyOf<I>>
  readonly state: Serde<S>
  /** The state of a key that has none. It is kept only when a handler returns it, or another. */
  readonly initial: (key: KeyOf<I>) => S
  /**
   * One handler per input: the state now, the record's value → the state from now on. null deletes the key and its timers, undefined leaves the
   * state as it is, and so does the same reference: states are replaced, never changed.
   */
  readonly receive: {
    readonly [N in keyof I]: (
      state: S,
      value: ValueOf<I[N]>,
      context: BehaviourContext<KeyOf<I>, ValuesTo<O>, NoInfer<T>>
    ) => Next<S>
  }
  /** One handler per name of timer. A timer is gone when it fires. */
  readonly timer?: {
    readonly [N in T]: (state: S, context: BehaviourContext<KeyOf<I>, ValuesTo<O>, NoInfer<T>>) => Next<S>
  }
  /** Read-only questions by name, answered between batches; they see what is not committed yet. */
  readonly query?: Queries<Q, S, KeyOf<I>>
  /** Questions that change state, worked like a record of now; `reply` is heard after the commit that holds the change. */
  readonly ask?: Asks<A, S, KeyOf<I>, ValuesTo<O>, T>
  /** A key has its first state. */
  readonly created?: (state: S, context: BehaviourContext<KeyOf<I>, ValuesTo<O>, NoInfer<T>>) => void
  /** A key's state is gone; the state it had. Timers cannot be set any more. */
  readonly ended?: (state: S, why: Ending, context: BehaviourContext<KeyOf<I>, ValuesTo<O>, NoInfer<T>>) => void
  /** A key that nothing touched (record, timer, ask) for so long in event time leaves. Default: keys stay. */
  readonly ttl?: Duration
  /** Of the state's form, from 1. Rows carry it; rows from before one was declared are of version 0. */
  readonly version?: number
  /** Steps by the version they start from: `{ 1: (old) => … }` makes a state of version 2. Applied when a row is read. */
  // biome-ignore lint/suspicious/noExplicitAny: what was stored, in a form that is gone
  readonly migrate?: Readonly<Record<number, (old: any) => unknown>>
  /** What follows when a record or a timer fails; without a rule that matches the runtime's decide. */
  readonly supervise?: readonly Rule[]
}

const KNOWN = [
  ...['input', 'output', 'key', 'state', 'initial', 'receive', 'timer', 'query', 'ask', 'created', 'ended'],
  ...['ttl', 'version', 'migrate', 'supervise']
]

/**
 * A behaviour: one actor per key. Handlers are synchronous; what they return and emit, and the timers they set, are committed with the record.
 * @throws TopologyError ERR_BEHAVIOUR for a missing or unknown handler, ERR_TOPOLOGY_EMPTY without inputs; ConfigError ERR_UNKNOWN_OPTION
 * @example
 * const cart = defineBehaviour('cart', {
 *   input: { orders: topic('orders', json<Order>()), payments: topic('payments', json<Payment>()) },
 *   output: { invoices: topic('invoices', json<Invoice>()) },
 *   state: json<Cart>(),
 *   initial: () => ({ lines: [], total: 0 }),
 *   receive: {
 *     orders(cart, order, { timers }) {
 *       timers.set('abandon', { after: '30m' })
 *       return { lines: [...cart.lines, order.line], total: cart.total + order.price }
 *     },
 *     payments(cart, payment, { key, emit }) {
 *       emit.invoices({ key, lines: cart.lines, paid: payment.amount })
 *       return null
 *     }
 *   },
 *   timer: { abandon: () => null },
 *   query: { total: (cart) => cart.total }
 * })
 */
export function defineBehaviour<
  const I extends Readonly<Record<string, AnyTopic>>,
  S,
  const O extends Readonly<Record<string, AnyTarget>> = Record<never, never>,
  T extends string = never,
  Q extends AnyHandlers = Record<never, never>,
  A extends AnyHandlers = Record<never, never>
>(
  name: string,
  parts: BehaviourParts<I, O, S, T, Q, A>
): Behaviour<KeyOf<I>, { readonly query: Q; readonly ask: Replying<A> }> {
  refuseUnknown(parts, KNOWN, '')
  const inputs = Object.keys(parts.input)
  checkHandlers(name, 'receive', inputs, parts.receive)
  const handlers = {
    ...{ query: {}, ask: {}, timer: {} },
    ...parts,
    name,
    outputs: Object.keys(parts.output ?? {}),
    ttlMs: parts.ttl === undefined ? undefined : positiveDuration(parts.ttl, 'ttl')
  } as unknown as Handlers
  for (const kind of ['timer', 'query', 'ask'] as const) checkFunctions(name, kind, handlers[kind])
  return keyedBehaviour<KeyOf<I>, S, { readonly query: Q; readonly ask: Replying<A> }>(name, {
    inputs: parts.input,
    outputs: parts.output ?? {},
    key: (parts.key ?? Object.values<AnyTopic>(parts.input)[0]?.key) as Serde<KeyOf<I>>,
    state: parts.state,
    version: checkVersion(name, parts.version, parts.migrate),
    logic: () => new DefinedLogic(handlers) as KeyedLogic<KeyOf<I>, S>,
    supervise: parts.supervise
  })
}

function checkHandlers(name: string, kind: string, wanted: readonly string[], given: object = {}): void {
  for (const handler of Object.keys(given)) {
    if (wanted.includes(handler)) continue
    const near = nearest(handler, wanted)
    refuse(
      `Behaviour "${name}" has the handler "${kind}.${handler}", and no input of that name.${near ? ` Did you mean "${near}"?` : ` Its inputs: ${wanted.join(', ')}.`}`
    )
  }
  for (const input of wanted) {
    if (Object.hasOwn(given, input)) continue
    refuse(
      `Behaviour "${name}" has the input "${input}", and no handler for it: write "${kind}: { ${input}(…) { … } }".`
    )
  }
  checkFunctions(name, kind, given)
}

function checkFunctions(name: string, kind: string, given: object): void {
  for (const [handler, it] of Object.entries(given)) {
    if (typeof it !== 'function') refuse(`"${kind}.${handler}" of behaviour "${name}" is no function.`)
  }
}

function checkVersion(
  name: string,
  version: number | undefined,
  steps: Readonly<Record<number, (old: unknown) => unknown>> = {}
): { readonly now: number; readonly steps: typeof steps } | undefined {
  const froms = Object.keys(steps)
  if (version === undefined) {
    if (froms.length > 0) refuse(`Behaviour "${name}" has "migrate" and no "version": say which version it is of now.`)
    return undefined
  }
  if (!(Number.isInteger(version) && version >= 1 && version <= 65_535))
    refuse(`Behaviour "${name}" is of version ${version}: give a whole number from 1 to 65535.`)
  for (const from of froms) {
    if (!(Number(from) >= 0 && Number(from) < version))
      refuse(
        `Behaviour "${name}" is of version ${version}, and migrates from version ${from}: steps start from earlier versions.`
      )
  }
  return { now: version, steps }
}

function refuse(sentence: string): never {
  throw new TopologyError(sentence, { code: 'ERR_BEHAVIOUR' })
}
