/** Random cases, here and on Kafka Streams' own test driver. Every difference that is not listed is shrunk and printed. */
import { deliberate, NOT_DRAWN, THEIR_FAULTS } from '../interop/differences.ts'
import { type Jvm, startJvm } from '../interop/jvm.ts'
import { compare, messageOf, show } from './compare.ts'
import { runCase } from './engines/driver.ts'
import type { Case, CaseRecord, Expression } from './format.ts'
import { draw, type Generated } from './generate.ts'
import { shrink } from './shrink.ts'

/** How one case went on both sides. */
export type Verdict =
  | { readonly kind: 'same' | 'refused' }
  | { readonly kind: 'deliberate'; readonly name: string }
  | { readonly kind: 'notBuilt'; readonly reason: string }
  | { readonly kind: 'different'; readonly text: string }

export async function judge(jvm: Jvm, { topology, inputs }: Generated): Promise<Verdict> {
  const c: Case = { name: 'generated', topology, inputs, expect: { all: [] } }
  const theirs = await jvm.run(c)
  const result = await runCase(c)
  if ('notBuilt' in result) return { kind: 'notBuilt', reason: result.notBuilt }
  const ours = result.outcome
  if (theirs.error !== undefined && ours.error !== undefined) return { kind: 'refused' }
  const fault = THEIR_FAULTS.find(({ word }) => theirs.error?.includes(word))
  if (fault) return { kind: 'deliberate', name: fault.name }
  if (theirs.error !== undefined) return { kind: 'different', text: `theirs fails: ${theirs.error.slice(0, 300)}` }
  if (ours.error !== undefined) return { kind: 'different', text: `ours fails: ${messageOf(ours.error)}` }
  const steps = theirs.steps.map((out, after) => ({
    after,
    out: out.map(({ headers: _, ...record }): CaseRecord => record)
  }))
  const difference = compare({ ...c, expect: { steps } }, ours)
  if (!difference) return { kind: 'same' }
  const listed = deliberate(
    c,
    ours.steps,
    steps.map((step) => step.out)
  )
  if (listed) return { kind: 'deliberate', name: listed.name }
  const { where, expected, actual } = difference
  const perKey = compare({ ...c, expect: { steps }, order: 'perKey' }, ours) ? '' : ' (in the order between keys only)'
  return { kind: 'different', text: `${where}${perKey}: theirs ${expected}, ours ${actual}` }
}

/** @returns the exit status */
export async function differential(count: number, seed: number, print: (line: string) => void): Promise<number> {
  print(`${count} cases of seed ${seed}`)
  const jvm = await startJvm((line) => console.error(line))
  const tally = { same: 0, refused: 0, different: 0, notBuilt: 0 }
  const deliberates = new Map<string, number>()
  const missing = new Map<string, number>()
  const drawnOps = new Map<string, number>()
  const seen = new Map<string, number>() // differences of one kind are shrunk a few times only
  try {
    for (let i = 0; i < count; i++) {
      const drawn = draw(seed, i)
      for (const op of partsOf(drawn.topology)) drawnOps.set(op, (drawnOps.get(op) ?? 0) + 1)
      const verdict = await judge(jvm, drawn)
      if (verdict.kind === 'deliberate') deliberates.set(verdict.name, (deliberates.get(verdict.name) ?? 0) + 1)
      else tally[verdict.kind]++
      if (verdict.kind === 'notBuilt') missing.set(verdict.reason, (missing.get(verdict.reason) ?? 0) + 1)
      if (verdict.kind !== 'different') continue
      const kind = opsOf(drawn.topology)
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
      if (seen.size > 12 || seen.get(kind)! > 1) continue
      await tell(jvm, drawn, i, print)
    }
  } finally {
    await jvm.close()
  }
  for (const [reason, n] of missing) print(`  ${reason}: ${n} cases left out`)
  const ops = [...drawnOps].sort(([a], [b]) => (a < b ? -1 : 1)).map(([op, n]) => `${op} ${n}`)
  print(`  drawn, in so many cases: ${ops.join(', ')}`)
  for (const { what, reason } of NOT_DRAWN) print(`  not drawn: ${what} (${reason})`)
  for (const [name, n] of deliberates) print(`  explained: ${n} × ${name}`)
  if (tally.refused > 0) print(`  refused on both sides: ${tally.refused}`)
  const passed = tally.same + tally.refused + [...deliberates.values()].reduce((a, b) => a + b, 0)
  print(`${passed} passed, ${tally.different} failed`)
  return tally.different > 0 ? 1 : 0
}

async function tell(jvm: Jvm, drawn: Generated, index: number, print: (line: string) => void): Promise<void> {
  const small = await shrink(drawn, async (c) => (await judge(jvm, c)).kind === 'different')
  const verdict = await judge(jvm, small)
  print(`✗ case ${index}: ${verdict.kind === 'different' ? verdict.text : 'it does not differ any more'}`)
  print(`  ${JSON.stringify(small.topology)}`)
  print(`  ${small.inputs.map(({ topic, ...record }) => `${topic} ${show([record])}`).join(' ')}`)
}

/** Its operators, each once, with what makes them different ones. */
function partsOf(e: Expression, found = new Set<string>()): Set<string> {
  found.add(
    [
      e.op,
      e.how,
      e.window?.kind,
      e.emit,
      e.until === 'close' ? 'until close' : undefined,
      e.graceMs === undefined ? undefined : 'grace',
      e.right && `with ${sortOf(e.right)}`
    ]
      .filter((part) => part !== undefined)
      .join(' ')
  )
  for (const child of childrenOf(e)) partsOf(child, found)
  return found
}

const sortOf = (e: Expression): string => {
  if (e.op === 'globalTable') return 'global table'
  if (e.versionedMs !== undefined) return 'versioned table'
  return isStream(e) ? 'stream' : 'table'
}

const isStream = (e: Expression): boolean => {
  if (['stream', 'toStream', 'repartition', 'merge'].includes(e.op)) return true
  if (['filter', 'filterNot', 'map', 'mapValues', 'flatMapValues', 'selectKey'].includes(e.op)) return isStream(e.in)
  return e.op === 'join' && isStream(e.left)
}

const childrenOf = (e: Expression): Expression[] =>
  [e.in, e.left, e.right].flat().filter((child) => child !== undefined)

/** What kind of topology it is, for telling differences apart. */
function opsOf(e: Generated['topology']): string {
  const kind = [
    e.op,
    e.how,
    e.window?.kind,
    e.window?.beforeMs === undefined ? undefined : 'window',
    e.emit,
    e.graceMs === undefined ? undefined : 'grace'
  ]
  return `${kind.filter((part) => part !== undefined).join('.')}(${childrenOf(e).map(opsOf).join(',')})`
}
