/** Where we differ from Kafka Streams on purpose. Whatever is not listed here is a bug. */
import type { Any, Case, CaseRecord } from '../conformance/format.ts'

export interface Deliberate {
  readonly name: string
  readonly reason: string
  /** Whether this explains that ours and theirs are not the same. Outputs by step. */
  covers(c: Pick<Case, 'topology' | 'inputs'>, ours: readonly CaseRecord[][], theirs: readonly CaseRecord[][]): boolean
}

export const DIFFERENCES: readonly Deliberate[] = [
  {
    name: 'closed windows after a jump of stream time',
    reason:
      'Kafka Streams emits on close only windows that are still within the retention of its store: a jump of stream time loses them. We emit every closed window.',
    covers: ({ topology }, ours, theirs) =>
      has(topology, (e) => e.emit === 'close') && within(theirs.flat(), ours.flat())
  }
]

/** @returns the difference that explains it, if there is one */
export function deliberate(
  c: Pick<Case, 'topology' | 'inputs'>,
  ours: readonly CaseRecord[][],
  theirs: readonly CaseRecord[][]
): Deliberate | undefined {
  return DIFFERENCES.find((difference) => difference.covers(c, ours, theirs))
}

/** Whether any node of the expression satisfies the predicate. */
export function has(node: Any, wanted: (e: Any) => boolean): boolean {
  if (typeof node !== 'object' || node === null) return false
  return wanted(node) || [node.in, node.left, node.right].flat().some((child) => has(child, wanted))
}

const idOf = ({ key, value, ts, window }: CaseRecord): string => JSON.stringify([key, value, ts, window])

/** Whether `part` has nothing that `whole` has not. */
function within(part: readonly CaseRecord[], whole: readonly CaseRecord[]): boolean {
  const left = new Map<string, number>()
  for (const record of whole) left.set(idOf(record), (left.get(idOf(record)) ?? 0) + 1)
  return part.every((record) => {
    const count = left.get(idOf(record)) ?? 0
    left.set(idOf(record), count - 1)
    return count > 0
  })
}
