/** The sets of states a machine can be in, and the plans between them: worked out as they come up, shared by all tasks of a process. */
import type { AnyMachineSnapshot, AnyStateMachine, AnyStateNode } from 'xstate'
import { initialPlan, type Plan, planOf, type Transition } from './machinePlan.ts'

/** The durable part of a snapshot. */
export interface StoredSnapshot {
  readonly value: unknown
  readonly context: unknown
  /** Ids of the nodes that history states recall. */
  readonly history?: Readonly<Record<string, readonly string[]>> | undefined
}

/** States that are active together: everything about a snapshot that does not depend on its context. */
export interface Configuration {
  /** `value` as JSON, or itself when it is a word. */
  readonly key: string
  readonly template: AnyMachineSnapshot
  readonly nodes: ReadonlySet<AnyStateNode>
  readonly plans: Map<Transition, Made | null>
  /** Transitions by event type, where no guard decides; undefined: guards do. null: the event has none. */
  readonly byType: Map<string, Transition | null> | undefined
  /** Eventless transitions may follow any event. */
  readonly eventless: boolean
}

/** A plan with the configuration it leads to. */
export interface Made extends Plan {
  readonly to: Configuration
}

/** Parallel states multiply. */
const MOST_CONFIGURATIONS = 10_000
const NO_CHILDREN = Object.freeze({})
export const NO_HISTORY = Object.freeze({})

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

  /** Of a snapshot that came from here; undefined for others. */
  of(snapshot: AnyMachineSnapshot): Configuration | undefined {
    return this.#byNodes.get(snapshot._nodes)
  }

  plan(from: Configuration, transition: Transition): Made | null {
    const known = from.plans.get(transition)
    if (known !== undefined) return known
    const planned = planOf(this.machine, from.nodes, transition)
    const made = planned && this.#made(planned)
    from.plans.set(transition, made)
    return made
  }

  /** A snapshot from its durable part. @throws Error of XState when the machine has no such states */
  restore({ value, context, history }: StoredSnapshot): AnyMachineSnapshot {
    const key = keyOf(value)
    const { template } = this.#byKey.get(key) ?? this.#configuration(key, value)
    return snapshotOf(template, context, history ? this.#recalled(history) : NO_HISTORY)
  }

  /** The state value as JSON, from a table. */
  valueText(snapshot: AnyMachineSnapshot): string {
    const key = this.#byNodes.get(snapshot._nodes)?.key ?? keyOf(snapshot.value)
    return typeof snapshot.value === 'string' ? JSON.stringify(key) : key
  }

  #recalled(history: NonNullable<StoredSnapshot['history']>): Any {
    const byId = (id: string): AnyStateNode => this.machine.getStateNodeById(`#${id}`)
    return Object.fromEntries(Object.entries(history).map(([state, ids]) => [state, ids.map(byId)]))
  }

  /** The snapshot with its states shared with all others that have the same. */
  shared(snapshot: AnyMachineSnapshot): AnyMachineSnapshot {
    if (this.#byNodes.has(snapshot._nodes)) return snapshot
    const key = keyOf(snapshot.value)
    const { template } = this.#byKey.get(key) ?? this.#configuration(key, snapshot.value)
    return snapshotOf(template, snapshot.context, snapshot.historyValue)
  }

  #made(plan: Plan): Made | null {
    if (plan.final) {
      // The configuration of an ended machine leads nowhere: only its value is of use.
      const value = plan.final.key
      return { ...plan, to: this.#byKey.get(value) ?? this.#configuration(value, value) }
    }
    const value = activeValue(this.machine.root, plan.nodes)
    const key = keyOf(value)
    const to = this.#byKey.get(key) ?? this.#configuration(key, value)
    const same = to.nodes.size === plan.nodes.size && [...plan.nodes].every((node) => to.nodes.has(node))
    return same && this.#byKey.has(key) ? { ...plan, to } : null
  }

  #configuration(key: string, value: unknown): Configuration {
    const stored = { value, status: 'active', context: {}, children: {}, historyValue: {} }
    const template = this.machine.restoreSnapshot(stored as Any, undefined as Any) as AnyMachineSnapshot
    const nodes = new Set(template._nodes as AnyStateNode[])
    const transitions = [...nodes].flatMap((node) => [...node.transitions.values()].flat())
    const made: Configuration = {
      key,
      template,
      nodes,
      plans: new Map(),
      byType: transitions.some(({ guard }) => guard !== undefined) ? undefined : new Map(),
      eventless: [...nodes].some((node) => node.always)
    }
    if (this.#byKey.size < MOST_CONFIGURATIONS) {
      this.#byKey.set(key, made)
      this.#byNodes.set(template._nodes, made)
    }
    return made
  }
}

/** As XState makes one, without working out again what follows from the states. */
export function snapshotOf(
  template: AnyMachineSnapshot,
  context: Any,
  historyValue: Any,
  status = 'active',
  output: unknown = undefined
): AnyMachineSnapshot {
  // One literal, field by field: built by spreading it was 40 times slower.
  return {
    status,
    output,
    error: undefined,
    machine: template.machine,
    context,
    _nodes: template._nodes,
    value: template.value,
    tags: template.tags,
    children: NO_CHILDREN,
    historyValue,
    matches: template.matches,
    hasTag: template.hasTag,
    can: template.can,
    getMeta: template.getMeta,
    toJSON: template.toJSON
  } as unknown as AnyMachineSnapshot
}

const keyOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** The state value of a set of active nodes. */
function activeValue(node: AnyStateNode, nodes: ReadonlySet<AnyStateNode>): unknown {
  const children = (Object.values(node.states) as AnyStateNode[]).filter((child) => nodes.has(child))
  const [first] = children
  if (node.type === 'compound' && first && (first.type === 'atomic' || first.type === 'final')) return first.key
  return Object.fromEntries(children.map((child) => [child.key, activeValue(child, nodes)]))
}
