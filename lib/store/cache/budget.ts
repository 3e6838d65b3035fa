/** The bytes that all write-back caches of a process share, and who gives some back when they run out. */
import type { CacheBudget } from '../port.ts'

/** A cache that can drop clean rows. */
export interface Evictor {
  readonly bytes: number
  /** Frees up to `bytes`, looking at no more than `steps` rows; gives what it freed. */
  evict(bytes: number, steps: number): number
}

/** Below the limit by this part after a shrink, so that it does not run for every batch. */
const HEADROOM = 0.1

const members = new WeakMap<CacheBudget, Set<Evictor>>()

/** @example const cache = cacheBudget(64 * 1024 * 1024) */
export const cacheBudget = (limit: number): CacheBudget => ({ limit, used: 0 })

export function enrol(budget: CacheBudget, evictor: Evictor): void {
  const set = members.get(budget)
  if (set) set.add(evictor)
  else members.set(budget, new Set([evictor]))
}

export function resign(budget: CacheBudget, evictor: Evictor): void {
  members.get(budget)?.delete(evictor)
}

/**
 * Brings the budget below its limit by dropping clean rows, the largest cache first: a store that is busy now takes over
 * the room of one that has gone quiet. Rows that wait for a commit stay, so `used` may remain above the limit: commit early then.
 */
export function shrink(budget: CacheBudget, steps: number): void {
  let over = budget.used - budget.limit * (1 - HEADROOM)
  if (budget.used <= budget.limit) return
  const largest = [...(members.get(budget) ?? [])].sort((a, b) => b.bytes - a.bytes)
  for (const evictor of largest) {
    if (over <= 0) return
    over -= evictor.evict(over, steps)
  }
}

/**
 * Bytes that this cache is to let go of for good: the caches hold so much more than they may, and it more than an equal part of what all
 * may. 0 = nothing.
 */
export function excess(budget: CacheBudget, evictor: Evictor): number {
  if (budget.used <= budget.limit) return 0
  const part = budget.limit / (members.get(budget)?.size ?? 1)
  return Math.max(0, Math.min(budget.used - budget.limit * (1 - HEADROOM), evictor.bytes - part))
}
