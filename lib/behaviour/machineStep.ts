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
import { type Choice, chosen } from './machineChoice.ts'
import { type Act, ASSIGN, CANCEL, CUSTOM, EMIT, LOG, RAISE, type Transition } from './machinePlan.ts'
import { endedSnapshot, type MachineRow, type Made, NO_HISTORY, rowOf, snapshotOf } from './machineRow.ts'
import type { MachineStates } from './machineStates.ts'

/** What a step asks for besides the next row, in the order of the machine's actions. */
export interface MachineEffects {
  emit(event: EventObject): void
  /** An event for the machine itself, `delay` ms later. `id` is what `cancel` names; undefined when the machine gave none. */
  raise(event: EventObject, delay: number, id: string | undefined): void
  cancel(id: string): void
  log(label: string | undefined, value: unknown): void
}

// biome-ignore lint/suspicious/noExplicitAny: actions and guards of any machine
type Any = any

/**
 * Steps of one machine, for any number of keys. Not for two threads of control: one per task.
 * @example
 * const step = new MachineStep(new MachineStates(machine), effects)
 * let row = step.start({ key: 'o-1' })
 * row = step.receive(row, { type: 'paid' })
 */
export class MachineStep {
  readonly #machine: AnyStateMachine
  readonly #effects: MachineEffects
  readonly #self: Any
  readonly #scope: Any
  readonly #states: MachineStates
  #row: MachineRow | undefined // of the call in hand; undefined: it starts

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
    const none = self._snapshot
    // For actions that call self.getSnapshot(): few do, so it is made when they do.
    Object.defineProperty(self, '_snapshot', { get: () => (this.#row ? snapshotOf(this.#row) : none) })
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
  start(input: unknown): MachineRow {
    this.#row = undefined
    const plan = this.#states.initial
    if (plan === null) return this.#kept(this.#machine.getInitialSnapshot(this.#scope, input as Any), undefined)
    const given: unknown = this.#machine.config.context
    const context =
      typeof given === 'function' ? { ...given({ spawn: this.#spawn, input, self: this.#self }) } : (given ?? {})
    const event = { type: 'xstate.init', input } as EventObject
    const after = this.#perform(plan.acts, 0, plan.untilEnd, context, event)
    return plan.final ? this.#ended(plan, plan.final, after, event, NO_HISTORY) : rowOf(plan.to, after, NO_HISTORY)
  }

  /** The same row when the event changes nothing. Rows must be of the same states. @throws as `start` */
  receive(row: MachineRow, event: EventObject): MachineRow {
    this.#row = row
    const { at, history } = row
    if (at.eventless) return this.#slow(row, event)
    const choices = this.#states.choices(at, event.type)
    const transition = choices === null ? this.#selected(row, event) : this.#chosen(choices, row, event)
    if (transition === null) return row
    const plan = transition && this.#states.plan(at, transition)
    if (!plan) return this.#slow(row, event)
    const { acts, to, final, untilEnd } = plan
    const context = this.#perform(acts, 0, untilEnd, row.context, event)
    if (final !== undefined) return this.#ended(plan, final, context, event, history)
    return to === at && context === row.context ? row : rowOf(to, context, history, row.pending, row.named)
  }

  #chosen(choices: readonly Choice[], row: MachineRow, event: EventObject): Transition | null | undefined {
    try {
      return chosen(choices, row.context, event)
    } catch {
      return this.#selected(row, event) // says it in XState's words
    }
  }

  /** undefined: several. */
  #selected(row: MachineRow, event: EventObject): Transition | null | undefined {
    const selected = this.#machine.getTransitionData(snapshotOf(row) as Any, event) as unknown as Transition[]
    return selected.length > 1 ? undefined : (selected[0] ?? null)
  }

  #slow(row: MachineRow, event: EventObject): MachineRow {
    return this.#kept(this.#machine.transition(snapshotOf(row) as Any, event, this.#scope), row)
  }

  /** What XState made of a row, checked. */
  #kept(snapshot: AnyMachineSnapshot, before: MachineRow | undefined): MachineRow {
    if (snapshot.status === 'error') throw snapshot.error
    for (const id in snapshot.children) throw refuse(this.#machine.id, `spawns the actor "${id}"`, 'spawn')
    const { context, historyValue } = snapshot
    const at = this.#states.of(snapshot)
    if (snapshot.status !== 'active') return rowOf(at, context, historyValue, undefined, 0, snapshot)
    if (before && before.at === at && before.context === context && before.history === historyValue) return before
    return rowOf(at, context, historyValue, before?.pending, before?.named)
  }

  /** With the exit actions of the end, which come behind the output. */
  #ended({ acts, to, untilEnd }: Made, final: AnyStateNode, before: Any, event: EventObject, history: Any): MachineRow {
    const output = this.#outputOf(final, before, event)
    const context = this.#perform(acts, untilEnd, acts.length, before, event)
    return rowOf(to, context, history, undefined, 0, endedSnapshot(to, context, history, output))
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

  #assign({ action, params, fields }: Act, context: Any, event: EventObject): Any {
    const args = { context, event, spawn: this.#spawn, self: this.#self, system: this.#scope.system }
    const given = typeof params === 'function' ? params({ context, event }) : params
    if (fields === undefined)
      return { ...context, ...(action.assignment as (args: Any, params: Any) => object)(args, given) }
    const next = { ...context }
    for (let i = 0; i < fields.length; i++) {
      const [key, value] = fields[i]!
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
