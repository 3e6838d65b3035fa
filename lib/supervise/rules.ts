/** Supervision rules as frozen data: which failure of a task leads to which directive. First hit in list order wins. */
import { ConfigError } from '../errors.ts'
import { type Duration, ms } from '../time.ts'
import type { Backoff } from './backoff.ts'

// biome-ignore lint/suspicious/noExplicitAny: any constructor of errors fits
export type ErrorClass = abstract new (...args: any[]) => Error
export type Matcher = ErrorClass | ((error: unknown) => boolean)

/** When the budget of restarts is spent: hand the failure up, or keep the partition assigned and the task closed. */
export type Exhausted = 'escalate' | 'stop'

export interface RestartDirective {
  readonly kind: 'restart'
  readonly backoff: Backoff
  /** At most `restarts` within `withinMs`; progress of the committed offset gives all of them back. */
  readonly limit: { readonly restarts: number; readonly withinMs: number }
  /** Removes the local state first; it is rebuilt from the changelog. */
  readonly wipe: boolean
  readonly otherwise: Exhausted
}

export type Directive =
  | RestartDirective
  | { readonly kind: 'release' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'escalate' }

export interface Rule {
  readonly when: Matcher
  /** For `describe()` and messages: the class's name, or the predicate's. */
  readonly name: string
  readonly directive: Directive
}

export interface RestartOptions {
  /** Default 1 s doubling to 1 min, 20 % jitter. */
  backoff?: Backoff
  /** Default 8 restarts within 10 minutes. */
  limit?: { restarts: number; within: Duration }
  /** Default false. */
  wipe?: boolean
  /** Default 'escalate'. */
  otherwise?: Exhausted
}

export interface RuleBuilder {
  /** Abort the transaction, close, reopen, resume at the committed offset. */
  restart(options?: RestartOptions): Rule
  /** No longer ours: close without a commit. Not a failure; reopened, with back-off, while the group still assigns it. */
  release(): Rule
  /** The task stays closed and its partitions assigned; the runtime is degraded. */
  stop(): Rule
  /** The runtime fails with this error: the host decides. */
  escalate(): Rule
}

export const DEFAULT_BACKOFF: Backoff = Object.freeze({ min: 1_000, max: 60_000, jitter: 0.2 })
export const DEFAULT_LIMIT = Object.freeze({ restarts: 8, withinMs: 600_000 })

/**
 * Starts a rule for errors of a class, or those a predicate accepts.
 * @throws ConfigError ERR_OPTION when the limit or the back-off is out of range.
 * @example on(TransportError).restart({ backoff: exponential('1s', '1m'), limit: { restarts: 8, within: '10m' } })
 */
export function on(when: Matcher): RuleBuilder {
  const rule = (directive: Directive): Rule =>
    Object.freeze({ when, name: when.name || 'predicate', directive: Object.freeze(directive) })
  return {
    restart: (options = {}) => rule(restartDirective(options)),
    release: () => rule({ kind: 'release' }),
    stop: () => rule({ kind: 'stop' }),
    escalate: () => rule({ kind: 'escalate' })
  }
}

function restartDirective(options: RestartOptions): RestartDirective {
  const backoff = options.backoff ?? DEFAULT_BACKOFF
  const limit = options.limit
    ? { restarts: options.limit.restarts, withinMs: ms(options.limit.within) }
    : { ...DEFAULT_LIMIT }
  if (!Number.isInteger(limit.restarts) || limit.restarts < 0) {
    throw new ConfigError(`limit.restarts is ${limit.restarts}. Give a whole number, 0 for "never restart".`)
  }
  if (!(backoff.min >= 0 && backoff.max >= backoff.min && backoff.jitter >= 0)) {
    throw new ConfigError(
      `The back-off ${JSON.stringify(backoff)} cannot work: it needs 0 <= min <= max (milliseconds) and jitter >= 0.`
    )
  }
  return {
    kind: 'restart',
    backoff,
    limit: Object.freeze(limit),
    wipe: options.wipe ?? false,
    otherwise: options.otherwise ?? 'escalate'
  }
}

/** True when the rule is for this error. A predicate that throws does not match: supervision itself must not fail. */
export function matches(rule: Rule, error: unknown): boolean {
  if (isErrorClass(rule.when)) return error instanceof rule.when
  try {
    return rule.when(error)
  } catch {
    return false
  }
}

function isErrorClass(when: Matcher): when is ErrorClass {
  return (when as unknown) === Error || when.prototype instanceof Error
}

/** One line per rule, for logs and `describe()`. */
export function describeRules(rules: readonly Rule[]): string {
  return rules.map((r) => `${r.name} → ${describeDirective(r.directive)}`).join('\n')
}

function describeDirective(d: Directive): string {
  if (d.kind !== 'restart') return d.kind
  const { backoff: b, limit: l } = d
  return `restart${d.wipe ? ' with wipe' : ''}, ${b.min}–${b.max} ms apart, ${l.restarts} within ${l.withinMs} ms, then ${d.otherwise}`
}
