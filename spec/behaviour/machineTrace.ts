/** One machine run two ways: by Millrace's steps and by XState's public functions. Everything that can be seen is compared. */
import { expect } from 'chai'
import {
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type AnyStateNode,
  type EventObject,
  initialTransition,
  transition
} from 'xstate'
import { type MachineRow, snapshotOf } from '../../lib/behaviour/machineRow.ts'
import { MachineStates } from '../../lib/behaviour/machineStates.ts'
import { MachineStep } from '../../lib/behaviour/machineStep.ts'

/** What was seen of one step: the snapshot, and everything asked for, in order. */
export interface Seen {
  readonly snapshot?: unknown
  readonly effects: readonly unknown[]
  readonly threw?: string
}

/** Custom actions of the machines under test write here. */
export let effects: unknown[] = []

// biome-ignore lint/suspicious/noExplicitAny: any machine
type Any = any

const facts = (s: AnyMachineSnapshot): unknown => ({
  value: s.value,
  context: s.context,
  status: s.status,
  output: s.output,
  tags: [...s.tags].sort(),
  history: ids(s.historyValue)
})

/** The order of nodes in a parallel history says nothing. */
const ids = (history: Any): Record<string, string[]> =>
  Object.fromEntries(Object.entries(history).map(([key, nodes]) => [key, (nodes as Any[]).map(({ id }) => id).sort()]))

/** A run by our steps. */
export class Ours {
  readonly #states: MachineStates
  readonly #step: MachineStep
  #row: MachineRow | undefined

  constructor(machine: AnyStateMachine) {
    this.#states = new MachineStates(machine)
    this.#step = new MachineStep(this.#states, {
      emit: (event) => void effects.push(['emit', event]),
      raise: (event, delay, id) => void effects.push(['raise', event, delay, id]),
      cancel: (id) => void effects.push(['cancel', id]),
      log: (label, value) => void effects.push(['log', label, value])
    })
  }

  start(input: unknown): Seen {
    return this.#seen(() => this.#step.start(input))
  }

  receive(event: EventObject): Seen {
    return this.#seen(() => this.#step.receive(this.#row!, event))
  }

  #seen(step: () => MachineRow): Seen {
    return seen(() => {
      this.#row = step()
      return snapshotOf(this.#row)
    })
  }

  /** As after a restart: only what is stored survives. */
  restore(): void {
    const { value, context, historyValue } = snapshotOf(this.#row!)
    const stored = JSON.parse(JSON.stringify({ value, context, history: ids(historyValue) }))
    this.#row = this.#states.restore(stored)
  }
}

/** The same by XState's own functions. */
export class Theirs {
  readonly #machine: AnyStateMachine
  #snapshot: AnyMachineSnapshot | undefined

  constructor(machine: AnyStateMachine) {
    this.#machine = machine
  }

  start(input: unknown): Seen {
    return this.#run(() => initialTransition(this.#machine, input as Any) as Any)
  }

  receive(event: EventObject): Seen {
    return this.#run(() => transition(this.#machine, this.#snapshot as Any, event) as Any)
  }

  /**
   * XState 5.33.3 drops a parallel state from the active nodes, with its children still active, when a transition inside goes to its history;
   * a restore brings it back. Until then its tags, exit actions and `stateIn` are missing. Ours never lose it: a restart would change what the
   * machine does. So there is nothing to compare.
   */
  get lostState(): boolean {
    const nodes = (this.#snapshot?._nodes ?? []) as AnyStateNode[]
    return nodes.some(({ parent }) => parent && !nodes.includes(parent))
  }

  restore(): void {
    const stored = JSON.parse(JSON.stringify(this.#machine.getPersistedSnapshot(this.#snapshot as Any)))
    this.#snapshot = this.#machine.restoreSnapshot(stored, undefined as Any) as AnyMachineSnapshot
  }

  #run(work: () => [AnyMachineSnapshot, { type: string; params: Any; info: Any; exec: Any }[]]): Seen {
    return seen(() => {
      const [snapshot, actions] = work()
      if (snapshot.status === 'error') throw snapshot.error
      for (const { type, params, info, exec } of actions) {
        if (type === 'xstate.emit') effects.push(['emit', params.event])
        else if (type === 'xstate.cancel') effects.push(['cancel', params.sendId])
        else if (type === 'xstate.log') effects.push(['log', params.label, params.value])
        else if (type !== 'xstate.raise') exec(info, params)
        else if (params.delay !== undefined) effects.push(['raise', params.event, params.delay, params.id])
      }
      this.#snapshot = snapshot
      return snapshot
    })
  }
}

function seen(work: () => AnyMachineSnapshot): Seen {
  effects = []
  try {
    const snapshot = facts(work())
    return { snapshot, effects }
  } catch (error) {
    // What a failed step did before does not count: the engine drops it.
    return { effects: [], threw: (error as Error).message }
  }
}

export interface Compared {
  /** Events that were set for later, the ids of `cancel` not taken off. */
  readonly delayed: EventObject[]
  readonly ended: boolean
  /** Kinds of effects that were seen. */
  readonly kinds: Set<string>
  /** Stopped where XState lost an active state. */
  readonly lostState: boolean
}

/** Runs both over the same events, restoring both from storage before the events at `restarts`, and compares each step. */
export function compare(
  machine: AnyStateMachine,
  input: unknown,
  events: readonly (EventObject | ((delayed: readonly EventObject[]) => EventObject))[],
  restarts: ReadonlySet<number> = new Set()
): Compared {
  const ours = new Ours(machine)
  const theirs = new Theirs(machine)
  const delayed: EventObject[] = []
  const kinds = new Set<string>()
  let ended = false
  const both = (what: string, a: Seen, b: Seen): void => {
    expect(a, what).to.deep.equal(b)
    for (const [kind, event] of a.effects as [string, EventObject][]) {
      kinds.add(kind)
      if (kind === 'raise') delayed.push(event)
    }
    ended = a.threw !== undefined || (a.snapshot as { status: string }).status !== 'active'
  }
  const lost = { delayed, ended, kinds, lostState: true }
  const first = [ours.start(input), theirs.start(input)] as const
  if (theirs.lostState) return lost
  both('start', ...first)
  for (const [i, given] of events.entries()) {
    if (ended) break
    if (restarts.has(i)) {
      ours.restore()
      theirs.restore()
    }
    const event = typeof given === 'function' ? given(delayed) : given
    const [a, b] = [ours.receive(event), theirs.receive(event)]
    if (theirs.lostState) return lost
    both(`event ${i}, ${event.type}`, a, b)
  }
  return { delayed, ended, kinds, lostState: false }
}
