/** Decides what a failure leads to: pure functions of rules, failure, budget, time and dice. Doing it is the task's and the machine's part. */
import {
  DecodeError,
  EncodeError,
  type MillraceError,
  ProcessingError,
  TopicError,
  TopologyError,
  TransportError
} from '../errors.ts'
import type { Random } from '../time.ts'
import { backoffMs } from './backoff.ts'
import { isForRecords, matches, type Rule, type SkipDirective, type TaskDirective } from './rules.ts'

/** What a task's restarts have cost since it last got on: plain data, owned by the supervisor of the task. */
export interface Budget {
  /** Restarts granted since the committed offset advanced, or since the task had run for the rule's time without a failure. */
  readonly granted: number
}

export const FULL_BUDGET: Budget = Object.freeze({ granted: 0 })

export type Decision =
  | { readonly kind: 'restart'; readonly delayMs: number; readonly wipe: boolean; readonly attempt: number }
  | { readonly kind: 'release' }
  | { readonly kind: 'stop' }
  /** `exhausted`: a restart was declared, but its budget is spent. */
  | { readonly kind: 'escalate'; readonly exhausted: boolean }

/**
 * For the failure of a task: what a node's rule has said of it, else the first rule that matches, those about records passed over; without one the failure escalates.
 * `budget` is not changed: hand the result to `spend`.
 * @param liveMs how long the task had run when it failed; 0 when it did not come to run
 */
export function decide(
  rules: readonly Rule[],
  failure: unknown,
  budget: Budget,
  liveMs: number,
  random: Random
): Decision {
  const rule = rules.find((r) => !isForRecords(r) && matches(r, failure))
  const directive = ruledBy(failure) ?? ((rule?.directive ?? { kind: 'escalate' }) as TaskDirective)
  if (directive.kind === 'escalate') return { kind: 'escalate', exhausted: false }
  if (directive.kind !== 'restart') return { kind: directive.kind }
  // An idle task makes no progress, and its connection may break once a month. No time makes a poison record edible.
  const quiet = liveMs >= directive.limit.withinMs && !isRecordFailure(failure)
  const granted = quiet ? 0 : budget.granted
  if (granted >= directive.limit.restarts) {
    return directive.otherwise === 'stop' ? { kind: 'stop' } : { kind: 'escalate', exhausted: true }
  }
  return {
    kind: 'restart',
    delayMs: backoffMs(directive.backoff, granted, random),
    wipe: directive.wipe,
    attempt: granted + 1
  }
}

/** The budget after a decision: only granted restarts count, so `restarts: 0` means never. */
export function spend(budget: Budget, decision: Decision): Budget {
  return decision.kind === 'restart' ? { granted: decision.attempt } : budget
}

export type RecordDecision =
  | SkipDirective
  | { readonly kind: 'retry'; readonly delayMs: number; readonly order: 'partition' | 'key' }
  /** Not a matter of the record: the task fails, and this directive decides on it. */
  | { readonly kind: 'fail'; readonly directive: TaskDirective }

/**
 * For a record that failed at a node: scopes from the inner to the outer, in each the first rule that matches. `escalate`, also that of a retry
 * without repeats left, hands on to the next scope; behind the outermost the failure escalates.
 * @param attempt which run of the record at the node has failed, from 1
 */
export function decideRecord(
  scopes: readonly (readonly Rule[])[],
  failure: unknown,
  attempt: number,
  random: Random
): RecordDecision {
  for (const rules of scopes) {
    let directive = rules.find((rule) => matches(rule, failure))?.directive
    if (directive?.kind === 'retry') {
      const { times, backoff, order, otherwise } = directive
      if (attempt <= times) return { kind: 'retry', delayMs: backoffMs(backoff, attempt - 1, random), order }
      directive = otherwise
    }
    if (directive === undefined || directive.kind === 'escalate') continue
    return directive.kind === 'skip' ? directive : { kind: 'fail', directive: directive as TaskDirective }
  }
  return { kind: 'fail', directive: { kind: 'escalate' } }
}

/** The record, or user code on it, is at fault; not the task, its stores or its connections: going past a record would not mend those. */
export function isRecordFailure(error: unknown): error is MillraceError {
  return (
    error instanceof ProcessingError ||
    error instanceof DecodeError ||
    error instanceof EncodeError ||
    error instanceof TopicError ||
    error instanceof TopologyError ||
    (error instanceof TransportError && error.fault === 'too-large')
  )
}

const ruled = new WeakMap<object, TaskDirective>()

/** Remembers what a rule of a node has decided on the failure of its task, for whoever judges the task. */
export function rule(error: MillraceError, directive: TaskDirective): void {
  ruled.set(error, directive)
}

const ruledBy = (error: unknown): TaskDirective | undefined =>
  typeof error === 'object' && error !== null ? ruled.get(error) : undefined
