/** What runs cases, and what all ways of running them share. */
import type { Outcome } from '../compare.ts'
import type { Any, Case } from '../format.ts'

export interface Engine {
  readonly name: string
  /** Runs cases, in the given order. The outcome of a case never depends on the others. */
  run(cases: readonly Case[]): Promise<Result[]>
  close(): Promise<void>
}

/** How the run of one case ended; `notBuilt` when the DSL has no such operator. */
export type Result = { readonly outcome: Outcome } | { readonly notBuilt: string }

/**
 * A cache changes which updates come out, never the last one. It may be on where the case says so, or where only last outputs are
 * compared; but not where those are deletions: of a row that came and went within one commit, nothing comes out.
 */
export function allowsCache(c: Case): boolean {
  if (c.cache === 'on') return true
  const { steps, last } = c.expect
  if (last) return last.every((r) => r.value !== null)
  return steps?.every((step) => step.last?.every((r) => r.value !== null) ?? false) ?? false
}

export interface QueuedInput {
  readonly index: number
  readonly topic: string
  readonly time: number
}

/** The event time of an input, as its source's extractor gives it. */
export function timeOf(c: Case, index: number): number {
  const { topic, value, ts } = c.inputs[index]!
  const field = fieldOf(c.topology, topic)
  return field === undefined ? ts : (value?.[field] ?? ts)
}

function fieldOf(node: Any, topic: string): string | undefined {
  if (typeof node !== 'object' || node === null) return undefined
  if (node.topic === topic) return node.timestamp?.field
  for (const child of [node.in, node.left, node.right].flat()) {
    const field = fieldOf(child, topic)
    if (field !== undefined) return field
  }
  return undefined
}

/** The order in which a runtime takes inputs that all lie in their topics: lowest head first, of equal ones the earlier. */
export function bufferedOrder(c: Case): number[] {
  const queues = new Map<string, number[]>()
  for (const [i, { topic, partition = 0 }] of c.inputs.entries()) {
    const id = `${topic} ${partition}`
    queues.set(id, [...(queues.get(id) ?? []), i])
  }
  const order: number[] = []
  while (order.length < c.inputs.length) {
    const heads = [...queues.values()].flatMap((queue) => queue.slice(0, 1))
    const next = heads.reduce((a, b) => {
      const difference = timeOf(c, a) - timeOf(c, b)
      return difference < 0 || (difference === 0 && a < b) ? a : b
    })
    for (const queue of queues.values()) if (queue[0] === next) queue.shift()
    order.push(next)
  }
  return order
}
