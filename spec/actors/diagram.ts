/** Reads the diagram above a machine, and the machine, as the same kind of text: one `state event→target` per edge. */
import { readFileSync } from 'node:fs'
import type { AnyStateMachine, AnyStateNode } from 'xstate'

/** The block comment that announces itself as compared, up to its first empty line after the first state. */
export function drawnEdges(path: string): string[] {
  const text = readFileSync(path, 'utf8')
  const block = /A spec compares this diagram[^\n]*\n \*\n([\s\S]*?)\n \*\n/.exec(text)?.[1]
  if (block === undefined) throw new Error(`${path} has no diagram`)
  const edges: string[] = []
  for (const line of block.split('\n')) {
    const match = /^ \*\s+(?:[├└] )?(\w+)\s*(.*)$/.exec(line)
    if (!match) throw new Error(`Not a line of a diagram: ${line}`)
    edges.push(match[1]!)
    for (const edge of match[2]!.split(' · ').filter(Boolean)) edges.push(`${match[1]} ${edge}`)
  }
  return edges.sort()
}

export function machineEdges(machine: AnyStateMachine): string[] {
  const edges = new Set<string>()
  const visit = (node: AnyStateNode): void => {
    if (node !== machine.root) {
      edges.add(node.key)
      const transitions = [...node.transitions.values()].flat()
      for (const transition of [...transitions, ...(node.always ?? [])]) {
        for (const target of transition.target ?? []) {
          edges.add(`${node.key} ${label(transition.eventType, transition.guard)}→${target.key}`)
        }
      }
    }
    for (const child of Object.values(node.states)) visit(child as AnyStateNode)
  }
  visit(machine.root)
  return [...edges].sort()
}

function label(eventType: string, guard: unknown): string {
  if (eventType === '') return typeof guard === 'string' ? guard : 'else'
  if (eventType.startsWith('xstate.done.actor')) return 'done'
  if (eventType.startsWith('xstate.error.actor')) return 'error'
  return /^xstate\.after\.(\w+)\./.exec(eventType)?.[1] ?? eventType
}

/** Event descriptors of all states. */
export function descriptors(machine: AnyStateMachine): string[] {
  const found: string[] = []
  const visit = (node: AnyStateNode): void => {
    found.push(...node.transitions.keys())
    for (const child of Object.values(node.states)) visit(child as AnyStateNode)
  }
  visit(machine.root)
  return found
}
