/** A machine's transitions without an actor: one scope for all keys, plans where they are known, XState's own algorithm elsewhere. */
import {
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type AnyStateNode,
  createActor,
  createMachine,
  type EventObject
} from 'xstate'
import { ProcessingError } from '../errors.ts'
import { REFUSED, refuse } from './machineCheck.ts'
import { type Act, ASSIGN, CANCEL, CUSTOM, EMIT, LOG, RAISE, type Transition } from './machinePlan.ts'
import { type MachineStates, type Made, NO_HISTORY, snapshotOf } from './machineStates.ts'

/** What a step asks for besides the next snapshot, in the order of the machine's actions. */
export interface MachineEffects {
  emit(event: EventObject): void
  /** An event for the machine itself, `delay` ms later. `id` is what `cancel` names; undefined when the machine gave none. */
  raise(event: EventObject, delay: number, id: string | undefined): void
  cancel(id: string): void
  log(label: string | undefined, value: unknown): void
}

/** Event types come from records: nobody bounds them. */
const MOST_TYPES = 1_000

// biome-ignore lint/suspicious/noExplicitAny: actions and guards of any machine
type Any = any

/**
 * Steps of one machine, for any number of keys. Not for two threads of control: one per task.
 * @example
 * const step = new MachineStep(new MachineStates(machine), effects)
 * let snapshot = step.start({ key: 'o-1' })
 * snapshot = step.receive(snapshot, { type: 'paid' })
 */
export class MachineStep {
  readonly #machine: AnyStateMachine
  readonly #effects: MachineEffects
  readonly #self: Any
  readonly #scope: Any
  readonly #states: MachineStates

  constructor(states: MachineStates, effects: MachineEffects) {
    const { machine } = states
    this.#states = states
    this.#machine = machine
    this.#effects = effects
    // An actor of an empty machine: one of this machine would run its guards and assigns on being made.
    const self = createActor(createMachine({}), { id: machine.id }) as Any
    self.send = () => {
      throw new ProcessingError(
        `An action of machine "${machine.id}" calls self.send(): nothing would keep that event. Use raise(), with a delay for later.`,
        { code: 'ERR_MACHINE' }
      )
    }
    this.#self = self
    this.#scope = {
      self,
      id: machine.id,
      sessionId: self.sessionId,
      system: self.system,
      logger: () => {},
      defer: () => {},
      stopChild: () => {},
      emit: () => {},
      actionExecutor: (action: Any) => this.#interpret(action)
    }
  }

  /** @throws what the machine's own functions throw */
  start(input: unknown): AnyMachineSnapshot {
    const plan = this.#states.initial
    if (plan === null) return this.#kept(this.#machine.getInitialSnapshot(this.#scope, input as Any))
    const given: unknown = this.#machine.config.context
    const context =
      typeof given === 'function' ? { ...given({ spawn: this.#spawn, input, self: this.#self }) } : (given ?? {})
    return this.#run(plan, context, { type: 'xstate.init', input } as EventObject, NO_HISTORY)
  }

  /** The same snapshot when the event changes nothing. Snapshots must come from here, or from the same states. @throws as `start` */
  receive(snapshot: AnyMachineSnapshot, event: EventObject): AnyMachineSnapshot {
    this.#self._snapshot = snapshot
    const from = this.#states.of(snapshot)
    if (from === undefined || from.eventless) return this.#slow(snapshot, event)
    let transition = from.byType?.get(event.type)
    if (transition === undefined) {
      const selected = this.#machine.getTransitionData(snapshot as Any, event) as unknown as Transition[]
      if (selected.length > 1) return this.#slow(snapshot, event)
      transition = selected[0] ?? null
      if (from.byType && from.byType.size < MOST_TYPES) from.byType.set(event.type, transition)
    }
    if (transition === null) return snapshot
    const plan = this.#states.plan(from, transition)
    if (plan === null) return this.#slow(snapshot, event)
    const { acts } = plan
    if (acts.length === 0 && plan.to === from) return snapshot
    const next = this.#run(plan, snapshot.context, event, snapshot.historyValue)
    return plan.to === from && next.context === snapshot.context ? snapshot : next
  }

  #slow(snapshot: AnyMachineSnapshot, event: EventObject): AnyMachineSnapshot {
    return this.#kept(this.#machine.transition(snapshot as Any, event, this.#scope))
  }

  /** A snapshot that XState made: checked, and with shared states. */
  #kept(snapshot: AnyMachineSnapshot): AnyMachineSnapshot {
    if (snapshot.status === 'error') throw snapshot.error
    for (const id in snapshot.children) throw refuse(this.#machine.id, `spawns the actor "${id}"`, 'spawn')
    return snapshot.status === 'active' ? this.#states.shared(snapshot) : snapshot
  }

  #run(plan: Made, before: Any, event: EventObject, history: Any): AnyMachineSnapshot {
    const { acts, final, untilEnd } = plan
    let context = this.#perform(acts, 0, untilEnd, before, event)
    if (final === undefined) return snapshotOf(plan.to.template, context, history)
    const output = this.#outputOf(final, context, event)
    context = this.#perform(acts, untilEnd, acts.length, context, event)
    return snapshotOf(plan.to.template, context, history, 'done', output)
  }

  #perform(acts: readonly Act[], from: number, to: number, before: Any, event: EventObject): Any {
    let context = before
    for (let i = from; i < to; i++) {
      const act = acts[i]!
      if (act.kind === ASSIGN) context = this.#assign(act, context, event)
      else this.#act(act, context, event)
    }
    return context
  }

  #outputOf(final: AnyStateNode, context: unknown, event: EventObject): unknown {
    const { output } = this.#machine.root
    if (output === undefined) return undefined
    const own = final.output === undefined ? undefined : this.#output(final.output, context, event)
    return this.#output(output, context, { type: `xstate.done.state.${final.id}`, output: own } as EventObject)
  }

  #output(mapper: unknown, context: unknown, event: EventObject): unknown {
    return typeof mapper === 'function' ? mapper({ context, event, self: this.#self }) : mapper
  }

  #assign({ action, params }: Act, context: Any, event: EventObject): Any {
    const args = { context, event, spawn: this.#spawn, self: this.#self, system: this.#scope.system }
    const given = typeof params === 'function' ? params({ context, event }) : params
    const { assignment } = action
    if (typeof assignment === 'function') return Object.assign({}, context, assignment(args, given))
    const next = Object.assign({}, context)
    for (const [key, value] of Object.entries(assignment as object)) {
      next[key] = typeof value === 'function' ? value(args, given) : value
    }
    return next
  }

  #act({ kind, action, params }: Act, context: Any, event: EventObject): void {
    const args = { context, event, self: this.#self, system: this.#scope.system }
    const given = typeof params === 'function' ? params({ context, event }) : params
    if (kind === CUSTOM) action(args, given)
    else if (kind === EMIT) this.#effects.emit(resolved(action.event, args, given) as EventObject)
    else if (kind === RAISE) {
      const raised = resolved(action.event, args, given) as EventObject
      const named = typeof action.delay === 'string' ? this.#machine.implementations.delays[action.delay] : action.delay
      this.#raise(raised, resolved(named, args, given), action.id)
    } else if (kind === CANCEL) this.#effects.cancel(resolved(action.sendId, args, given) as string)
    else if (kind === LOG) this.#effects.log(action.label, resolved(action.value, args, given))
  }

  #raise(event: EventObject, delay: unknown, id: string | undefined): void {
    if (typeof delay === 'number' && delay >= 0) {
      this.#effects.raise(event, delay, id)
      return
    }
    throw new ProcessingError(
      `Machine "${this.#machine.id}" raises "${event.type}" with the delay ${String(delay)}: delays are milliseconds, 0 or more.`,
      { code: 'ERR_MACHINE' }
    )
  }

  /** An action that XState's algorithm wants done. */
  #interpret({ type, info, params, exec }: Any): void {
    if (type in REFUSED) throw refuse(this.#machine.id, `runs ${type.slice('xstate.'.length)}`, type)
    if (type === 'xstate.emit') this.#effects.emit(params.event)
    else if (type === 'xstate.cancel') this.#effects.cancel(params.sendId)
    else if (type === 'xstate.log') this.#effects.log(params.label, params.value)
    else if (type !== 'xstate.raise') exec?.(info, params)
    else if (params.delay !== undefined) this.#raise(params.event, params.delay, params.id)
  }

  readonly #spawn = (): never => {
    throw refuse(this.#machine.id, 'spawns an actor', 'spawn')
  }
}

const resolved = (of: unknown, args: unknown, params: unknown): unknown =>
  typeof of === 'function' ? of(args, params) : of
