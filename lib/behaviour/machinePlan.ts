/** What a transition of a machine does, worked out once: the actions in order and the states after it. */
import type { AnyStateMachine, AnyStateNode, EventObject } from 'xstate'

/** Numbers, not words: compared on every action. */
export const CUSTOM = 0
export const ASSIGN = 1
export const EMIT = 2
export const RAISE = 3
export const CANCEL = 4
export const LOG = 5

/** An action of XState as it stands in a machine; builtin ones carry their parts as properties of a function. */
export interface ActionParts {
  readonly type?: string
  readonly event?: unknown
  readonly id?: string
  readonly delay?: unknown
  readonly sendId?: unknown
  readonly value?: unknown
  readonly label?: string
  readonly assignment?: unknown
}

export interface Act {
  readonly kind: number
  // biome-ignore lint/suspicious/noExplicitAny: an action of any machine
  readonly action: ((args: any, params: any) => unknown) & ActionParts
  /** Parameters of an action by name: plain, or from context and event. */
  readonly params: unknown
  /** Of an assign by field: each with its value, or what makes one. */
  readonly fields: readonly (readonly [string, unknown])[] | undefined
}

/** As XState keeps a transition inside; objects live as long as the machine. */
export interface Transition {
  readonly target: readonly AnyStateNode[] | undefined
  readonly source: AnyStateNode
  readonly actions: readonly unknown[]
  readonly guard?: unknown
  readonly reenter: boolean
}

export interface Plan {
  readonly acts: readonly Act[]
  /** All active nodes afterwards. */
  readonly nodes: ReadonlySet<AnyStateNode>
  /** The final node of the machine that is entered. */
  readonly final: AnyStateNode | undefined
  /** Acts before the machine's output is worked out; behind it stand the exit actions of the end. */
  readonly untilEnd: number
}

const KINDS: Readonly<Record<string, number>> = {
  'xstate.assign': ASSIGN,
  'xstate.emit': EMIT,
  'xstate.cancel': CANCEL,
  'xstate.log': LOG
}

/**
 * The plan of one transition out of one set of states, or null where only XState's own algorithm will do: history, parallel states
 * entered, several targets, nested final states, and actions whose effect on the queue is known when they run.
 */
export function planOf(machine: AnyStateMachine, active: ReadonlySet<AnyStateNode>, t: Transition): Plan | null {
  if (!t.target?.length) return build(machine, [], t.actions, [], new Set(), active)
  const [target] = t.target
  if (t.target.length > 1 || !target || target.type === 'history') return null
  const domain = domainOf(t, target)
  if (domain === undefined || domain.type === 'parallel' || (t.reenter && domain === t.source)) return null
  const exits = [...active].filter((node) => isBelow(node, domain)).sort((a, b) => b.order - a.order)
  if (exits.some((node) => Object.values(node.states).some((child) => child.type === 'history'))) return null
  const entries = chain(target, domain)
  if (entries === null) return null
  const byDefault = new Set(entries.filter((node) => node === target || isBelow(node, target)))
  const stay = new Set([...active].filter((node) => !exits.includes(node)))
  return build(machine, exits, t.actions, entries, byDefault, stay)
}

/** The plan of the start, from the root down. */
export function initialPlan(machine: AnyStateMachine): Plan | null {
  const root: AnyStateNode = machine.root
  const entries = chain(root, undefined)
  return entries === null ? null : build(machine, [], [], entries, new Set(entries), new Set())
}

function build(
  machine: AnyStateMachine,
  exits: readonly AnyStateNode[],
  between: readonly unknown[],
  entries: readonly AnyStateNode[],
  byDefault: ReadonlySet<AnyStateNode>,
  stay: ReadonlySet<AnyStateNode>
): Plan | null {
  const nodes = new Set([...stay, ...entries])
  const last = entries.at(-1)
  const final = last?.type === 'final' ? last : undefined
  if (final && final.parent !== machine.root) return null
  // Eventless transitions depend on the context, and may be anywhere.
  if (!final && [...nodes].some((node) => node.always)) return null
  const actions = [
    ...exits.flatMap((node) => node.exit),
    ...between,
    ...entries.flatMap((node) => (byDefault.has(node) ? [...node.entry, ...node.initial.actions] : node.entry))
  ]
  const untilEnd = actions.length
  if (final) actions.push(...[...nodes].sort((a, b) => b.order - a.order).flatMap((node) => node.exit))
  const acts: Act[] = []
  for (const action of actions) {
    const act = actOf(machine, action)
    if (act === null) return null
    acts.push(act)
  }
  return { acts, nodes, final, untilEnd }
}

function actOf(machine: AnyStateMachine, action: unknown): Act | null {
  const inline = typeof action === 'function'
  const { type, params } = (typeof action === 'string' ? { type: action } : action) as {
    type: string
    params?: unknown
  }
  const resolved = (inline ? action : machine.implementations.actions[type]) as
    | (Act['action'] & { resolve?: unknown })
    | undefined
  if (resolved === undefined) return null
  const kind = !('resolve' in resolved)
    ? CUSTOM
    : resolved.type === 'xstate.raise' && resolved.delay !== undefined
      ? RAISE
      : KINDS[resolved.type!]
  if (kind === undefined) return null
  const { assignment } = resolved
  const fields = kind === ASSIGN && typeof assignment !== 'function' ? Object.entries(assignment as object) : undefined
  return { kind, action: resolved, params: inline ? undefined : params, fields }
}

/** The innermost node that stays active around the transition. */
function domainOf(t: Transition, target: AnyStateNode): AnyStateNode | undefined {
  if (!t.reenter && (target === t.source || isBelow(target, t.source))) return t.source
  for (let node = target.parent; node; node = node.parent) if (isBelow(t.source, node)) return node
  return t.reenter ? undefined : t.source.machine.root
}

function isBelow(node: AnyStateNode, ancestor: AnyStateNode): boolean {
  for (let up = node.parent; up; up = up.parent) if (up === ancestor) return true
  return false
}

/** What is entered for a target: its ancestors below the domain, itself, its initial states down to a leaf. */
function chain(target: AnyStateNode, domain: AnyStateNode | undefined): AnyStateNode[] | null {
  const path: AnyStateNode[] = []
  for (let node: AnyStateNode | undefined = target; node && node !== domain; node = node.parent) path.unshift(node)
  for (let node = target; node.type === 'compound'; ) {
    node = node.initial.target[0]!
    path.push(node)
  }
  return path.some((node) => node.type === 'parallel' || node.type === 'history') ? null : path
}

/** The event of an `after`: its name says all. */
export const isAfter = (id: string): boolean => id.startsWith('xstate.after.')
export const afterEvent = (id: string): EventObject => ({ type: id })
