/** Runs the handlers of a defined behaviour: one for each task. */
import { nearest, TopologyError } from '../errors.ts'
import { DefinedContext } from './context.ts'
import type { Asked, KeyContext, KeyedLogic, Next } from './port.ts'

// biome-ignore lint/suspicious/noExplicitAny: typed where they are defined
type Handler = (...given: any[]) => any

/** The parts of a behaviour as they are run. */
export interface Handlers {
  readonly name: string
  readonly outputs: readonly string[]
  readonly initial: (key: unknown) => unknown
  readonly receive: Readonly<Record<string, Handler>>
  readonly timer: Readonly<Record<string, Handler>>
  readonly query: Readonly<Record<string, Handler>>
  readonly ask: Readonly<Record<string, Handler>>
  readonly created?: Handler
  readonly ended?: Handler
  readonly ttlMs: number | undefined
}

/** No handler can have this name: it is no identifier, and refused as a name of a timer. */
const TTL = '$ttl'

const developing = process.env.NODE_ENV !== 'production'

/** States are `unknown` here, and undefined where a key has none. */
export class DefinedLogic implements KeyedLogic<unknown, unknown> {
  readonly #of: Handlers
  #context: DefinedContext | undefined

  constructor(of: Handlers) {
    this.#of = of
  }

  receive(input: string, state: unknown, value: unknown, context: KeyContext<unknown>): Next<unknown> {
    const own = this.#own(context)
    const next = this.#of.receive[input]!(this.#given(state, context.key), value, own)
    return this.#done('receive', input, state, next, context, own)
  }

  timer(name: string, state: unknown, _due: number, context: KeyContext<unknown>): Next<unknown> {
    const own = this.#own(context)
    if (name === TTL) {
      if (state !== undefined) this.#of.ended?.(state, 'expired', own)
      return null
    }
    const handler = this.#of.timer[name]
    if (!handler) {
      throw new TopologyError(
        `A timer "${name}" of behaviour "${this.#of.name}" is due, and it has no handler any more. Keep "timer.${name}" until no key has one set.`,
        { code: 'ERR_BEHAVIOUR', details: { behaviour: this.#of.name, timer: name } }
      )
    }
    return this.#done('timer', name, state, handler(this.#given(state, context.key), own), context, own)
  }

  query(name: string, state: unknown, input: unknown, key: unknown): unknown {
    const answer = this.#handler('query', name)(this.#given(state, key), input, { key })
    this.#refusePromise('query', name, answer)
    return answer
  }

  ask(name: string, state: unknown, input: unknown, context: KeyContext<unknown>): Asked<unknown> {
    const own = this.#own(context)
    own.replied = undefined
    const next = this.#handler('ask', name)(this.#given(state, context.key), input, own)
    const left = this.#done('ask', name, state, next, context, own)
    return { state: left, reply: own.replied }
  }

  #own(context: KeyContext<unknown>): DefinedContext {
    this.#context ??= new DefinedContext(context, this.#of.outputs, (timer) => this.#knownTimer(timer))
    return this.#context
  }

  #given(state: unknown, key: unknown): unknown {
    const given = state === undefined ? this.#of.initial(key) : state
    // A state changed in place looks unchanged, and would not be kept: found while developing.
    return developing ? frozen(given) : given
  }

  /** Hooks and time to live, after a handler has returned. */
  #done(
    kind: string,
    name: string,
    state: unknown,
    next: unknown,
    context: KeyContext<unknown>,
    own: DefinedContext
  ): Next<unknown> {
    if (typeof next === 'object' && next !== null) this.#refusePromise(kind, name, next)
    const { ttlMs, created, ended } = this.#of
    if (next === null) {
      if (state !== undefined) ended?.(state, 'deleted', own)
      return null
    }
    if (state === undefined) {
      if (next === undefined) return undefined
      created?.(next, own)
    }
    if (ttlMs !== undefined) {
      context.timers.set(TTL, { at: Math.max(context.timestamp, context.streamTime) + ttlMs })
    }
    return next
  }

  #handler(kind: 'query' | 'ask', name: string): Handler {
    const handlers = this.#of[kind]
    if (Object.hasOwn(handlers, name)) return handlers[name]!
    throw new TopologyError(`Behaviour "${this.#of.name}" has no ${kind} "${name}".${like(name, handlers)}`, {
      code: 'ERR_BEHAVIOUR'
    })
  }

  #knownTimer(name: string): void {
    if (Object.hasOwn(this.#of.timer, name)) return
    throw new TopologyError(
      `Behaviour "${this.#of.name}" sets the timer "${name}", and has no handler for it.${like(name, this.#of.timer)}`,
      { code: 'ERR_BEHAVIOUR' }
    )
  }

  #refusePromise(kind: string, name: string, result: unknown): void {
    if (!(result instanceof Promise)) return
    result.catch(() => {}) // its failure is not the news
    throw new TopologyError(
      `"${kind}.${name}" of behaviour "${this.#of.name}" returned a promise: handlers are synchronous, so that a key's messages are worked in order. ` +
        'Do what takes time in a mapAsync() in front of the behaviour, and give it the result as a record.',
      { code: 'ERR_BEHAVIOUR' }
    )
  }
}

function like(name: string, handlers: object): string {
  const known = Object.keys(handlers)
  const near = nearest(name, known)
  return near ? ` Did you mean "${near}"?` : ` It has: ${known.join(', ') || 'none'}.`
}

/** Plain objects and arrays, one level: bytes cannot be frozen, and instances may have a life of their own. */
function frozen(state: unknown): unknown {
  if (typeof state !== 'object' || state === null || Object.isFrozen(state)) return state
  const proto = Object.getPrototypeOf(state)
  return proto === Object.prototype || Array.isArray(state) ? Object.freeze(state) : state
}
