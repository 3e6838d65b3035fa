/** What a machine per key cannot do, found before the first record: each refusal names the state and what to do instead. */
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { nearest, TopologyError } from '../errors.ts'
import type { ActionParts } from './machinePlan.ts'

const COMMAND = 'emit a command to an output, let a worker read it, and take its result as a record under the same key'
/** @internal What is refused, and what to do instead. */
export const REFUSED: Readonly<Record<string, string>> = {
  invoke: `Work outside the machine would be lost by a crash: ${COMMAND}.`,
  spawn: `A child lives in memory only: ${COMMAND}, or give the child keys of its own and a machine behaviour for them.`,
  'xstate.spawnChild': `A child lives in memory only: ${COMMAND}, or give the child keys of its own and a machine behaviour for them.`,
  'xstate.stopChild': 'There are no children to stop: emit a command to whatever does the work.',
  'xstate.sendTo':
    'There is no other actor in a machine per key: emit() the event and declare an output for its type; to itself a machine sends with raise().'
}

/** @internal The refusal of one thing that a machine does. */
export const refuse = (machine: string, does: string, what: string): TopologyError =>
  new TopologyError(`Machine "${machine}" ${does}, which cannot be durable in a machine per key. ${REFUSED[what]}`, {
    code: 'ERR_MACHINE',
    details: { machine }
  })

/**
 * Checks a machine for what cannot be kept in a snapshot, and for names without an implementation.
 * @throws TopologyError ERR_MACHINE
 */
export function checkMachine(machine: AnyStateMachine): void {
  checkNode(machine, machine.root)
}

function checkNode(machine: AnyStateMachine, node: AnyStateNode): void {
  const place = node.parent ? `state "${node.path.join('.')}"` : 'its root state'
  for (const { src } of node.invoke) {
    throw refuse(machine.id, `invokes "${shown(src)}" in ${place}`, 'invoke')
  }
  const transitions = [...[...node.transitions.values()].flat(), ...(node.always ?? [])]
  const actions = [...node.entry, ...node.exit, ...node.initial.actions, ...transitions.flatMap((t) => t.actions)]
  for (const action of actions) checkAction(machine, action, place)
  for (const { guard } of transitions) checkGuard(machine, guard, place)
  for (const child of Object.values(node.states) as AnyStateNode[]) checkNode(machine, child)
}

/** XState names an inline source after its place, which the message says anyway. */
const shown = (src: unknown): string => (String(src).startsWith('xstate.invoke.') ? 'an inline actor' : String(src))

function checkAction(machine: AnyStateMachine, action: unknown, place: string): void {
  const inline = typeof action === 'function'
  const name = inline ? '' : nameOf(action)
  const found = (inline ? action : machine.implementations.actions[name]) as ActionParts | undefined
  if (found === undefined) throw missing(machine, 'action', name, machine.implementations.actions, place)
  const type = 'resolve' in found ? found.type! : ''
  if (type in REFUSED) throw refuse(machine.id, `runs ${type.slice('xstate.'.length)} in ${place}`, type)
  if (type === 'xstate.raise' && typeof found.delay === 'string' && !(found.delay in machine.implementations.delays)) {
    throw missing(machine, 'delay', found.delay, machine.implementations.delays, place)
  }
}

function checkGuard(machine: AnyStateMachine, guard: unknown, place: string): void {
  if (guard === undefined) return
  if (typeof guard !== 'function') {
    const name = nameOf(guard)
    const found = machine.implementations.guards[name]
    if (found === undefined) throw missing(machine, 'guard', name, machine.implementations.guards, place)
    return
  }
  for (const inner of (guard as { guards?: readonly unknown[] }).guards ?? []) checkGuard(machine, inner, place)
}

const nameOf = (of: unknown): string => (typeof of === 'string' ? of : (of as { type: string }).type)

function missing(machine: AnyStateMachine, what: string, name: string, known: object, place: string): TopologyError {
  const near = nearest(name, Object.keys(known))
  return new TopologyError(
    `Machine "${machine.id}" names the ${what} "${name}" in ${place}, and there is none of that name.` +
      `${near ? ` Did you mean "${near}"?` : ''} Give it in setup({ ${what}s: { … } }), or with machine.provide().`,
    { code: 'ERR_MACHINE', details: { machine: machine.id } }
  )
}
