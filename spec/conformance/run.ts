/** Runs case files on an engine and tells how it went: a line for each case that fails, then the counts. */
import { compare, messageOf } from './compare.ts'
import type { Engine } from './engines/engine.ts'
import type { Case, CaseFile } from './format.ts'

export interface Tally {
  passed: number
  failed: number
  /** Failed cases whose operators do not exist yet, by reason. */
  notBuilt: Map<string, number>
  /** Cases whose source is wrong: reported apart. */
  artefacts: { same: number; different: number }
}

/** @returns the counts; every line goes to `print` */
export async function runFiles(
  files: readonly CaseFile[],
  engine: Engine,
  wanted: (name: string) => boolean,
  print: (line: string) => void
): Promise<Tally> {
  const tally: Tally = { passed: 0, failed: 0, notBuilt: new Map(), artefacts: { same: 0, different: 0 } }
  for (const { error } of files) {
    if (error === undefined) continue
    tally.failed++
    print(`✗ ${error}`)
  }
  const cases = files.flatMap((file) => file.cases).filter((c) => wanted(c.name))
  const results = await engine.run(cases)
  for (const [i, c] of cases.entries()) judge(c, results[i]!, tally, print)
  return tally
}

function judge(
  c: Case,
  result: Awaited<ReturnType<Engine['run']>>[number],
  tally: Tally,
  print: (line: string) => void
): void {
  if ('notBuilt' in result) {
    if (c.artefact) return
    tally.failed++
    tally.notBuilt.set(result.notBuilt, (tally.notBuilt.get(result.notBuilt) ?? 0) + 1)
    print(`✗ ${c.name}: ${result.notBuilt}`)
    return
  }
  let difference: ReturnType<typeof compare>
  try {
    difference = compare(c, result.outcome)
  } catch (error) {
    difference = { where: 'the comparison', expected: 'no error', actual: messageOf(error) }
  }
  if (c.artefact) {
    tally.artefacts[difference ? 'different' : 'same']++
    print(`· artefact, not a target: ${c.name}: ${difference ? 'different' : 'the same'}`)
    return
  }
  if (!difference) {
    tally.passed++
    return
  }
  tally.failed++
  const { where, expected, actual } = difference
  print(`✗ ${c.name}: ${where}: expected ${expected}, actual ${actual}`)
}
