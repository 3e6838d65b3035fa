/** The state diagrams of the guide, drawn from the machines: `node --import tsx scripts/diagrams.ts` writes them anew; a spec compares. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { coordinatorMachine } from '../actors/coordinator.ts'
import { taskMachine } from '../actors/task.ts'

export const GUIDE = fileURLToPath(new URL('../docs/supervision.md', import.meta.url))
const MACHINES: Readonly<Record<string, AnyStateMachine>> = { task: taskMachine, coordinator: coordinatorMachine }

/** A machine in Mermaid's words. Transitions that lead nowhere are left out. */
export function mermaid(machine: AnyStateMachine): string {
  const lines = ['stateDiagram-v2']
  const edges: string[] = []
  const visit = (node: AnyStateNode, indent: string): void => {
    const start = node.initial?.target[0]
    if (start) lines.push(`${indent}[*] --> ${start.key}`)
    for (const child of Object.values(node.states) as AnyStateNode[]) {
      if (child.type === 'compound') {
        lines.push(`${indent}state ${child.key} {`)
        visit(child, `${indent}  `)
        lines.push(`${indent}}`)
      } else lines.push(`${indent}${child.key}`)
      const transitions = [...child.transitions.values()].flat()
      const labels = new Map<string, string[]>()
      for (const { target, eventType, guard } of [...transitions, ...(child.always ?? [])]) {
        for (const { key } of target ?? []) labels.set(key, [...(labels.get(key) ?? []), label(eventType, guard)])
      }
      for (const [key, names] of labels) edges.push(`  ${child.key} --> ${key}: ${[...new Set(names)].join(', ')}`)
      if (child.type === 'final') edges.push(`  ${child.key} --> [*]`)
    }
  }
  visit(machine.root, '  ')
  return [...lines, ...edges].join('\n')
}

function label(eventType: string, guard: unknown): string {
  const event = eventType.startsWith('xstate.done.actor')
    ? 'done'
    : eventType.startsWith('xstate.error.actor')
      ? 'error'
      : (/^xstate\.after\.(\w+)\./.exec(eventType)?.[1] ?? eventType)
  const condition = typeof guard === 'string' ? `[${guard}]` : ''
  return [event, condition].filter(Boolean).join(' ') || 'else'
}

/** The guide with its diagrams as they are now. */
export function drawn(guide: string): string {
  let text = guide
  for (const [name, machine] of Object.entries(MACHINES)) {
    const place = new RegExp(`(<!-- diagram: ${name} -->\\n)[\\s\\S]*?(\\n<!-- end -->)`)
    if (!place.test(text)) throw new Error(`The guide has no place for the diagram "${name}".`)
    text = text.replace(
      place,
      (_, begin: string, end: string) => `${begin}\`\`\`mermaid\n${mermaid(machine)}\n\`\`\`${end}`
    )
  }
  return text
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(GUIDE, drawn(readFileSync(GUIDE, 'utf8')))
