/** Median, least and largest of some figures. */
import type { Spread } from './types.ts'

export function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

export const spread = (values: readonly number[]): Spread => ({
  median: middle(values),
  min: Math.min(...values),
  max: Math.max(...values)
})
