/** Decides what a failure leads to: a pure function of rules, failure, budget, time and dice. Doing it is the machine's part. */
import type { Random } from '../time.ts'
import { backoffMs } from './backoff.ts'
import { type Directive, matches, type Rule } from './rules.ts'

/** Restarts granted since the last progress: plain data, owned by the supervisor of the task. */
export interface Budget {
  /** Times (ms) at which restarts were granted, oldest first. */
  readonly granted: readonly number[]
}

export const FULL_BUDGET: Budget = Object.freeze({ granted: Object.freeze([]) })

export type Decision =
  | { readonly kind: 'restart'; readonly delayMs: number; readonly wipe: boolean; readonly attempt: number }
  | { readonly kind: 'release' }
  | { readonly kind: 'stop' }
  /** `exhausted`: a restart was declared, but its budget is spent. */
  | { readonly kind: 'escalate'; readonly exhausted: boolean }

/**
 * The first rule that matches decides; without one the failure escalates.
 * `budget` is not changed: hand the result to `spend`.
 */
export function decide(
  rules: readonly Rule[],
  failure: unknown,
  budget: Budget,
  now: number,
  random: Random
): Decision {
  const directive: Directive = rules.find((rule) => matches(rule, failure))?.directive ?? { kind: 'escalate' }
  if (directive.kind === 'escalate') return { kind: 'escalate', exhausted: false }
  if (directive.kind !== 'restart') return { kind: directive.kind }
  const since = now - directive.limit.withinMs
  const spent = budget.granted.reduce((n, at) => n + (at > since ? 1 : 0), 0)
  if (spent >= directive.limit.restarts) {
    return directive.otherwise === 'stop' ? { kind: 'stop' } : { kind: 'escalate', exhausted: true }
  }
  // The exponent counts restarts without progress, also those outside the window: quiet time does not make a poison record edible.
  const attempt = budget.granted.length
  return {
    kind: 'restart',
    delayMs: backoffMs(directive.backoff, attempt, random),
    wipe: directive.wipe,
    attempt: attempt + 1
  }
}

/** The budget after a decision: only granted restarts count, so `restarts: 0` means never. */
export function spend(budget: Budget, decision: Decision, now: number): Budget {
  return decision.kind === 'restart' ? { granted: [...budget.granted, now].slice(-100) } : budget
}
