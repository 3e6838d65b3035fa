/** Compares what came out with what a case expects. */
import type { Any, Case, CaseRecord } from './format.ts'

/** One record that came out, with everything that a case may ask for. */
export interface Actual {
  key: Any
  value: Any
  ts: number
  window?: [start: number, end: number]
  topic: string
  headers: Record<string, string>
}

/** What a run of a case gave. */
export interface Outcome {
  /** Outputs after each input, [0] before any. Of a buffered run: one list. */
  readonly steps: Actual[][]
  /** Late records; undefined where the engine cannot count them. */
  readonly late?: number
  readonly error?: unknown
}

export interface Difference {
  readonly where: string
  readonly expected: string
  readonly actual: string
}

type Comparable = CaseRecord

/** @returns undefined when the outcome is what the case expects */
export function compare(c: Case, outcome: Outcome): Difference | undefined {
  const { expect } = c
  if (expect.error !== undefined) return compareError(expect.error, outcome)
  if (outcome.error !== undefined) {
    return { where: 'the run', expected: 'no error', actual: messageOf(outcome.error) }
  }
  return compareOutputs(c, outcome) ?? compareDrops(c, outcome)
}

function compareError(word: string, { steps, error }: Outcome): Difference | undefined {
  const expected = `an error with "${word}"`
  if (error === undefined) return { where: 'the run', expected, actual: `no error, but ${show(steps.flat())}` }
  const message = messageOf(error)
  if (message.toLowerCase().includes(word.toLowerCase())) return undefined
  return { where: 'the run', expected, actual: message }
}

function compareOutputs(c: Case, { steps }: Outcome): Difference | undefined {
  const { expect } = c
  const all = steps.flat()
  if (expect.all) return same('the run', expect.all, all, c.order)
  if (expect.last) return same('the last of each key', last(expect.last), last(all), 'perKey')
  const wanted = new Map(expect.steps!.map((s) => [s.after, s]))
  for (let i = 0; i <= c.inputs.length; i++) {
    const step = wanted.get(i)
    const got = steps[i] ?? []
    const where = `after input ${i}`
    const difference = step?.last
      ? same(`${where}, the last of each key`, last(step.last), last(got), 'perKey')
      : same(where, step?.out ?? [], got, c.order)
    if (difference) return difference
  }
}

function compareDrops(c: Case, { late }: Outcome): Difference | undefined {
  if (c.drops === undefined || late === undefined || late === c.drops) return undefined
  return { where: 'drops', expected: `${c.drops} late`, actual: `${late} late` }
}

const idOf = ({ key, window }: CaseRecord): string => JSON.stringify([key, window ?? null])

/** The last record of each key and window, in the order of their first. */
export const last = <R extends CaseRecord>(records: readonly R[]): R[] => [
  ...new Map(records.map((r) => [idOf(r), r])).values()
]

/** Stable: the order within a key stays. */
const byKey = <R extends CaseRecord>(records: readonly R[]): R[] =>
  [...records].sort((a, b) => (idOf(a) < idOf(b) ? -1 : idOf(a) > idOf(b) ? 1 : 0))

function same(
  where: string,
  expected: readonly CaseRecord[],
  actual: readonly Actual[],
  order: Case['order']
): Difference | undefined {
  const wanted = order === 'perKey' ? byKey(expected) : expected
  const got = order === 'perKey' ? byKey(actual) : actual
  const equal = wanted.length === got.length && wanted.every((w, i) => matches(w, got[i]!))
  return equal ? undefined : { where, expected: show(expected), actual: show(actual) }
}

function matches(wanted: CaseRecord, got: Actual): boolean {
  if (JSON.stringify(plain(wanted.key)) !== JSON.stringify(plain(got.key))) return false
  if (JSON.stringify(plain(wanted.value)) !== JSON.stringify(plain(got.value))) return false
  if (wanted.ts !== undefined && wanted.ts !== got.ts) return false
  if (JSON.stringify(wanted.window ?? null) !== JSON.stringify(got.window ?? null)) return false
  if (wanted.topic !== undefined && wanted.topic !== got.topic) return false
  return wanted.headers === undefined || JSON.stringify(plain(wanted.headers)) === JSON.stringify(plain(got.headers))
}

/** Objects with their fields in one order: JSON does not say one. */
function plain(value: Any): Any {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value ?? null
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, plain(value[key])])
  )
}

export const messageOf = (error: unknown): string => {
  const parts: string[] = []
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    if (!parts.includes(at.message)) parts.push(at.message)
  return parts.length > 0 ? parts.join(' ← ').replace(/\s*\n\s*/g, ' ') : String(error)
}

export function show(records: readonly Comparable[]): string {
  const one = ({ key, value, ts, window, headers }: Comparable): string => {
    const at = window ? `@[${window}]` : ''
    const extra = headers && Object.keys(headers).length > 0 ? ` ${JSON.stringify(headers)}` : ''
    return `${JSON.stringify(key)}${at}=${JSON.stringify(value)}${ts === undefined ? '' : ` ${ts}`}${extra}`
  }
  return records.length === 0 ? 'nothing' : `[${records.map(one).join(', ')}]`
}

/** A decoded record of an output topic. Windowed keys come apart. */
export function actual(
  record: { key: Any; value: Any; timestamp: number; headers: readonly (readonly [string, Buffer | null])[] },
  topic: string
): Actual {
  const { key, value, timestamp, headers } = record
  const base = { value: value ?? null, ts: timestamp, topic, headers: headersOf(headers) }
  if (typeof key === 'object' && key !== null && 'start' in key && 'end' in key) {
    return { key: key.key, ...base, window: [key.start, key.end] }
  }
  return { key: key ?? null, ...base }
}

const headersOf = (headers: readonly (readonly [string, Buffer | null])[]): Record<string, string> =>
  Object.fromEntries(headers.map(([name, value]) => [name, value?.toString() ?? '']))
