/** Which transition an event takes, worked out as far as it goes before the event comes: the candidates in XState's order, innermost state first. */
import type { AnyStateMachine, AnyStateNode, EventObject } from 'xstate'
import type { Transition } from './machinePlan.ts'

// biome-ignore lint/suspicious/noExplicitAny: a guard of any machine
type Any = any
type Guard = (args: Any, params: Any) => unknown

/** The first whose guard holds is taken. */
export interface Choice {
  readonly transition: Transition
  /** undefined: always. */
  readonly guard: Guard | undefined
  /** Parameters of a guard by name: plain, or from context and event. */
  readonly params: unknown
}

/** null where XState's own algorithm must walk the tree: parallel states, wildcards, guards made of guards. */
export function choicesOf(
  machine: AnyStateMachine,
  nodes: ReadonlySet<AnyStateNode>,
  type: string
): readonly Choice[] | null {
  const choices: Choice[] = []
  for (const node of [...nodes].sort((a, b) => b.path.length - a.path.length)) {
    if (node.type === 'parallel') return null
    for (const descriptor of node.transitions.keys()) if (descriptor.endsWith('*')) return null
    for (const transition of (node.transitions.get(type) ?? []) as unknown as Transition[]) {
      const choice = choiceOf(machine, transition)
      if (choice === null) return null
      choices.push(choice)
    }
  }
  return choices
}

function choiceOf(machine: AnyStateMachine, transition: Transition): Choice | null {
  const named = transition.guard as undefined | string | Guard | { type: string; params?: unknown }
  if (!named) return { transition, guard: undefined, params: undefined }
  const guard =
    typeof named === 'function' ? named : machine.implementations.guards[typeof named === 'string' ? named : named.type]
  if (typeof guard !== 'function' || 'check' in guard) return null
  return { transition, guard: guard as Guard, params: typeof named === 'object' ? named.params : undefined }
}

/** null: the event has none. @throws what a guard throws */
export function chosen(choices: readonly Choice[], context: unknown, event: EventObject): Transition | null {
  for (let i = 0; i < choices.length; i++) {
    const { transition, guard, params } = choices[i]!
    if (guard === undefined) return transition
    const given = typeof params === 'function' ? params({ context, event }) : params
    if (guard({ context, event }, given)) return transition
  }
  return null
}
