/** The sets of states a machine can be in, and the plans between them: worked out as they come up, shared by all tasks of a process. */
import type { AnyMachineSnapshot, AnyStateMachine, AnyStateNode, EventObject } from 'xstate'
import { type Choice, choicesOf } from './machineChoice.ts'
import { initialPlan, type Plan, planOf, type Transition } from './machinePlan.ts'
import { type Configuration, type MachineRow, type Made, NO_HISTORY, rowOf } from './machineRow.ts'

/** The durable part of a row. What stays away has its default, so that a plain machine's row is small. */
export interface StoredRow {
  readonly value: unknown
  readonly context: unknown
  /** Ids of the nodes that history states recall. */
  readonly history?: Readonly<Record<string, readonly string[]>> | undefined
  readonly pending?: Readonly<Record<string, EventObject>>
  readonly named?: number
}

/** Parallel states multiply. */
const MOST_CONFIGURATIONS = 10_000
/** Event types come from records: nobody bounds them. */
const MOST_TYPES = 1_000

// biome-ignore lint/suspicious/noExplicitAny: parts of any machine
type Any = any

export class MachineStates {
  readonly machine: AnyStateMachine
  /** null: the start is XState's own. */
  readonly initial: Made | null
  readonly #byNodes = new WeakMap<object, Configuration>()
  readonly #byKey = new Map<string, Configuration>()

  constructor(machine: AnyStateMachine) {
    this.machine = machine
    const plan = initialPlan(machine)
    this.initial = plan && this.#made(plan)
  }

  /** What an event of that type may lead to; null: only XState can tell. */
  choices(from: Configuration, type: string): readonly Choice[] | null {
    const known = from.choices.get(type)
    if (known !== undefined) return known
    const choices = choicesOf(this.machine, from.nodes, type) ?? this.#only(from, type)
    if (from.choices.size < MOST_TYPES) from.choices.set(type, choices)
    return choices
  }

  /** Without guards XState always takes the same. */
  #only({ nodes, template }: Configuration, type: string): readonly Choice[] | null {
    const all = [...nodes].flatMap((node) => [...node.transitions.values()].flat())
    if (all.some(({ guard }) => guard !== undefined)) return null
    const taken = this.machine.getTransitionData(template as Any, { type }) as unknown as Transition[]
    return taken.length > 1 ? null : taken.map((transition) => ({ transition, guard: undefined, params: undefined }))
  }

  plan(from: Configuration, transition: Transition): Made | null {
    const known = from.plans.get(transition)
    if (known !== undefined) return known
    const planned = planOf(this.machine, from.nodes, transition)
    const made = planned && this.#made(planned)
    from.plans.set(transition, made)
    return made
  }

  /** A row from its durable part. @throws Error of XState when the machine has no such states */
  restore({ value, context, history, pending, named }: StoredRow): MachineRow {
    return rowOf(this.#of(value), context, history ? this.#recalled(history) : NO_HISTORY, pending, named)
  }

  /** What a snapshot shares with all others in its states. */
  of(snapshot: AnyMachineSnapshot): Configuration {
    return this.#byNodes.get(snapshot._nodes) ?? this.#of(snapshot.value)
  }

  #recalled(history: NonNullable<StoredRow['history']>): Any {
    const byId = (id: string): AnyStateNode => this.machine.getStateNodeById(`#${id}`)
    return Object.fromEntries(Object.entries(history).map(([state, ids]) => [state, ids.map(byId)]))
  }

  #made(plan: Plan): Made | null {
    if (plan.final) {
      // The configuration of an ended machine leads nowhere: only its value is of use.
      return { ...plan, to: this.#of(plan.final.key) }
    }
    const to = this.#of(activeValue(this.machine.root, plan.nodes))
    const same = to.nodes.size === plan.nodes.size && [...plan.nodes].every((node) => to.nodes.has(node))
    return same && this.#byNodes.has(to.template._nodes) ? { ...plan, to } : null
  }

  #of(value: unknown): Configuration {
    const key = typeof value === 'string' ? value : JSON.stringify(value)
    return this.#byKey.get(key) ?? this.#configuration(key, value)
  }

  #configuration(key: string, value: unknown): Configuration {
    const stored = { value, status: 'active', context: {}, children: {}, historyValue: {} }
    const template = this.machine.restoreSnapshot(stored as Any, undefined as Any) as AnyMachineSnapshot
    // As in a running machine: their order says which of two conflicting eventless transitions is taken.
    ;(template._nodes as AnyStateNode[]).sort((a, b) => a.order - b.order)
    const nodes = new Set(template._nodes as AnyStateNode[])
    const made: Configuration = {
      text: JSON.stringify(value),
      template,
      nodes,
      plans: new Map(),
      choices: new Map(),
      eventless: [...nodes].some((node) => node.always)
    }
    if (this.#byKey.size < MOST_CONFIGURATIONS) {
      this.#byKey.set(key, made)
      this.#byNodes.set(template._nodes, made)
    }
    return made
  }
}

/** The state value of a set of active nodes. */
function activeValue(node: AnyStateNode, nodes: ReadonlySet<AnyStateNode>): unknown {
  const children = (Object.values(node.states) as AnyStateNode[]).filter((child) => nodes.has(child))
  const [first] = children
  if (node.type === 'compound' && first && (first.type === 'atomic' || first.type === 'final')) return first.key
  return Object.fromEntries(children.map((child) => [child.key, activeValue(child, nodes)]))
}
