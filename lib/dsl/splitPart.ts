/** Builds the nodes of a split: one that decides, and one for each branch. */
import { TopologyError } from '../errors.ts'
import { MergeOperator } from '../operators/merge.ts'
import { type Branch, SplitOperator } from '../operators/split.ts'
import type { StreamRecord } from '../record.ts'
import { callSite } from '../topology/names.ts'
import { type Part, type StepOptions, step } from './part.ts'

/** @internal @returns the node of each branch by its name */
export function splitPart<K, V>(
  part: Part<K, V>,
  branches: Readonly<Record<string, (record: StreamRecord<K, V>) => boolean>>,
  { otherwise, ...options }: StepOptions & { readonly otherwise?: string | undefined }
): [branch: string, node: string][] {
  const wanted = new Map(Object.entries(branches))
  if (otherwise !== undefined) {
    if (wanted.has(otherwise)) {
      throw new TopologyError(
        `split (${callSite()}) has the branch "${otherwise}" twice: name the default branch otherwise.`,
        { code: 'ERR_TOPOLOGY_DUPLICATE' }
      )
    }
    wanted.set(otherwise, () => true)
  }
  const numeric = [...wanted.keys()].find((branch) => /^\d+$/.test(branch))
  if (numeric !== undefined) {
    throw new TopologyError(
      `split (${callSite()}) has a branch named ${numeric}: JavaScript moves such names to the front, so that another branch could match first. Use a name with a letter.`,
      { code: 'ERR_TOPOLOGY_NAME' }
    )
  }
  const list: Branch<K, V>[] = []
  const node = step(part, 'split', { ...options, keepsKey: true }, () => new SplitOperator(list))
  return [...wanted].map(([branch, predicate]) => {
    const child = `${node}-${branch}`
    part.graph.addProcessor({
      name: child,
      parents: [node],
      what: 'branch',
      create: () => new MergeOperator(),
      keepsKey: true
    })
    list.push({ child, wanted: predicate })
    return [branch, child]
  })
}
