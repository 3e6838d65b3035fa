/** The functions and joiners that topology expressions name. */
import type { Any } from './format.ts'

type Fn = (value: Any, key: Any) => Any

const FUNCTIONS: Record<string, Fn> = {
  identity: (v) => v,
  value: (v) => v,
  upper: (v) => (v == null ? null : String(v).toUpperCase()),
  firstLetter: (v) => (v == null || v === '' ? null : String(v)[0]),
  parity: (v) => (v == null ? null : v % 2 === 0 ? 'even' : 'odd'),
  afterBar: (v) => {
    const bar = typeof v === 'string' ? v.indexOf('|') : -1
    return bar < 0 ? null : v.slice(bar + 1)
  },
  positive: (v) => v > 0,
  key: (_, k) => k
}

export function functionOf(name: Any): Fn {
  if (typeof name === 'string') return FUNCTIONS[name]!
  if ('const' in name) return () => name.const
  return (v) => v?.[name.field] ?? null
}

export const JOINERS: Record<string, (left: Any, right: Any) => Any> = {
  dash: (l, r) => `${l}-${r}`,
  plus: (l, r) => `${l}+${r}`,
  pair: (l, r) => `(${l},${r})`,
  glue: (l, r) => `${l}${r}`,
  right: (_, r) => r
}

interface Aggregation {
  initial(): Any
  add(aggregate: Any, value: Any): Any
  /** Takes a value out again; grouped tables only. */
  subtract?(aggregate: Any, value: Any): Any
  /** Two sessions into one. */
  merge(a: Any, b: Any): Any
}

export const AGGREGATIONS: Record<string, Aggregation> = {
  sum: { initial: () => 0, add: (a, v) => a + v, subtract: (a, v) => a - v, merge: (a, b) => a + b },
  concat: {
    initial: () => '0',
    add: (a, v) => `${a}+${v}`,
    subtract: (a, v) => `${a}-${v}`,
    merge: (a, b) => `${a}+${b}`
  },
  list: { initial: () => '', add: (a, v) => `${a}${v}`, merge: (a, b) => `${a}${b}` }
}

interface Reduction {
  add(reduced: Any, value: Any): Any
  subtract?(reduced: Any, value: Any): Any
}

export const REDUCTIONS: Record<string, Reduction> = {
  last: { add: (_, v) => v },
  plus: { add: (a, v) => a + v, subtract: (a, v) => a - v },
  concat: { add: (a, v) => `${a}${v}` },
  max: { add: (a, v) => Math.max(a, v) },
  min: { add: (a, v) => Math.min(a, v) }
}
