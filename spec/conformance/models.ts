/** Naive models of operators: they see all records at once and know nothing of stores, caches and arrival, but for what is late. */
import type { CaseInput } from './format.ts'

type Rows = Record<string, unknown>
const id = (key: unknown, ...window: number[]): string => JSON.stringify([key, window])

/** Values per key and window [start, start + size), in the order of arrival, but for what came after the window's end and grace. */
export function timeWindows(
  inputs: readonly CaseInput[],
  { size, advance, grace }: { size: number; advance: number; grace: number }
): Rows {
  const rows: Record<string, string> = {}
  let time = -1
  for (const { key, value, ts } of inputs) {
    time = Math.max(time, ts)
    for (let start = 0; start <= ts; start += advance) {
      if (ts >= start + size || start + size <= time - grace) continue
      const row = id(key, start, start + size)
      rows[row] = `${rows[row] ?? ''}${value}`
    }
  }
  return rows
}

/** How many records each window has: one ends with each record, one begins right behind each that has records in it. Nothing is late. */
export function slidingCounts(inputs: readonly CaseInput[], difference: number): Rows {
  const rows: Rows = {}
  for (const [key, records] of byKey(inputs)) {
    const starts = records.flatMap(({ ts }) => [Math.max(0, ts - difference), ts + 1])
    for (const start of starts) {
      const within = records.filter(({ ts }) => ts >= start && ts <= start + difference)
      if (within.length > 0) rows[id(key, start, start + difference)] = within.length
    }
  }
  return rows
}

/** How many records each session has: runs of records without a pause above `gap`. Nothing is late. */
export function sessionCounts(inputs: readonly CaseInput[], gap: number): Rows {
  const rows: Rows = {}
  for (const [key, records] of byKey(inputs)) {
    const times = records.map(({ ts }) => ts).sort((a, b) => a - b)
    let from = 0
    for (let i = 1; i <= times.length; i++) {
      if (i < times.length && times[i]! - times[i - 1]! <= gap) continue
      rows[id(key, times[from]!, times[i - 1]!)] = i - from
      from = i
    }
  }
  return rows
}

/** All pairs of equal key within the window, and what has no partner where its side asks for it; sorted. Nothing is late. */
export function streamJoin(
  left: readonly CaseInput[],
  right: readonly CaseInput[],
  { before, after, how }: { before: number; after: number; how: 'inner' | 'left' | 'outer' }
): string[] {
  const pairs: string[] = []
  const met = new Set<CaseInput>()
  for (const l of left) {
    for (const r of right) {
      if (l.key !== r.key || r.ts < l.ts - before || r.ts > l.ts + after) continue
      pairs.push(`${l.key} ${l.value}-${r.value} ${Math.max(l.ts, r.ts)}`)
      met.add(l).add(r)
    }
  }
  if (how !== 'inner') for (const l of left) if (!met.has(l)) pairs.push(`${l.key} ${l.value}-null ${l.ts}`)
  if (how === 'outer') for (const r of right) if (!met.has(r)) pairs.push(`${r.key} null-${r.value} ${r.ts}`)
  return pairs.sort()
}

/** The latest row of each key by arrival; null deletes. */
export function table(inputs: readonly CaseInput[]): Map<string, string> {
  const rows = new Map<string, string>()
  for (const { key, value } of inputs) {
    if (value === null) rows.delete(key)
    else rows.set(key, value)
  }
  return rows
}

/** The join of two tables as they are at the end. */
export function tableJoin(
  left: Map<string, string>,
  right: Map<string, string>,
  how: 'inner' | 'left' | 'outer'
): Rows {
  const rows: Rows = {}
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const l = left.get(key) ?? null
    const r = right.get(key) ?? null
    if ((l === null && how !== 'outer') || (r === null && how === 'inner')) continue
    rows[id(key)] = `${l}-${r}`
  }
  return rows
}

/** As `tableJoin`, by what is behind the bar of the left value. */
export function foreignJoin(left: Map<string, string>, right: Map<string, string>, how: 'inner' | 'left'): Rows {
  const rows: Rows = {}
  for (const [key, value] of left) {
    const r = right.get(value.split('|')[1]!) ?? null
    if (r !== null || how === 'left') rows[id(key)] = `${value}-${r}`
  }
  return rows
}

function byKey(inputs: readonly CaseInput[]): Map<string, CaseInput[]> {
  const groups = new Map<string, CaseInput[]>()
  for (const input of inputs) groups.set(input.key, [...(groups.get(input.key) ?? []), input])
  return groups
}

export { id }
