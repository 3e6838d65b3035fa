/** Supervision rules as frozen data: which failure leads to which directive. First hit in list order wins. */
import { oneOf, refuseUnknown, text, whole, wrong } from '../check.ts'
import { ConfigError, DecodeError, EncodeError, nearest, ProcessingError } from '../errors.ts'
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
  /** At most `restarts` in a row. All are given back when the committed offset advances, or when the task has run for `withinMs`. */
  readonly limit: { readonly restarts: number; readonly withinMs: number }
  /** Removes the local state first; it is rebuilt from the changelog. */
  readonly wipe: boolean
  readonly otherwise: Exhausted
}

/** Where records go that are gone past. The topic is yours to create; the start checks that it exists. */
export interface DeadLetter {
  readonly topic: string
}

export interface SkipDirective {
  readonly kind: 'skip'
  readonly to?: DeadLetter
}

export interface RetryDirective {
  readonly kind: 'retry'
  /** Repeats, beside the first run. */
  readonly times: number
  readonly backoff: Backoff
  /** What waits meanwhile: the partition, or only the records of the same key. */
  readonly order: 'partition' | 'key'
  readonly otherwise: SkipDirective | { readonly kind: 'escalate' } | { readonly kind: 'stop' }
}

export type RecordDirective = SkipDirective | RetryDirective

/** What may follow the failure of a task. */
export type TaskDirective =
  | RestartDirective
  | { readonly kind: 'release' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'escalate' }

export type Directive = RecordDirective | TaskDirective

export interface Rule {
  readonly when: Matcher
  /** For `describe()` and messages: the class's name, or the predicate's. */
  readonly name: string
  readonly directive: Directive
}

export interface RestartOptions {
  /** Default 1 s doubling to 1 min, 20 % jitter. */
  backoff?: Backoff
  /** Default 8 restarts, given back after 10 minutes without a failure. Progress of the committed offset gives them back at once. */
  limit?: { restarts: number; within: Duration }
  /** Default false. */
  wipe?: boolean
  /** Default 'escalate'. */
  otherwise?: Exhausted
}

export interface SkipOptions {
  /** Where the record is written before it is gone past. Default: nowhere. */
  to?: DeadLetter
}

export interface RetryOptions {
  /** Repeats, beside the first run: at least 1. */
  times: number
  /** Default 1 s doubling to 1 min, 20 % jitter. */
  backoff?: Backoff
  /**
   * 'partition' (default): what comes behind the record in its partition waits. 'key': only later records of its key wait; the record is kept in
   * a store of the node, so that offsets are committed past it. At a node only.
   */
  order?: 'partition' | 'key'
  /** After the last repeat. Default 'escalate': the next outer scope decides. */
  otherwise?: 'escalate' | 'stop' | 'skip' | SkipDirective
}

export interface RuleBuilder {
  /**
   * Goes past the record, with or without a dead letter. What was forwarded, and what was changed in stores, before the failure stays. For
   * failures without a record (a commit, a punctuator) the next rule that matches decides.
   */
  skip(options?: SkipOptions): Rule
  /** Runs the record again after a pause. For failures without a record the next rule that matches decides. */
  retry(options: RetryOptions): Rule
  /** Abort the transaction, close, reopen, resume at the committed offset. */
  restart(options?: RestartOptions): Rule
  /** No longer ours: close without a commit. Not a failure; reopened, with back-off, while the group still assigns it. */
  release(): Rule
  /** The task stays closed and its partitions assigned; the runtime is degraded. */
  stop(): Rule
  /** The next outer scope decides: node → topology → runtime. Outermost: the runtime fails with this error, and its host decides. */
  escalate(): Rule
}

export const DEFAULT_BACKOFF: Backoff = Object.freeze({ min: 1_000, max: 60_000, jitter: 0.2 })
export const DEFAULT_LIMIT = Object.freeze({ restarts: 8, withinMs: 600_000 })
const WORDS = ['skip', 'retry', 'restart', 'release', 'stop', 'escalate'] as const

/**
 * Starts a rule for errors of a class, or those a predicate accepts. What user code threw is matched as it was thrown.
 * @throws ConfigError ERR_OPTION for what cannot work, ERR_UNKNOWN_OPTION for an unknown word or option, with the nearest one
 * @example on(TypeError).skip({ to: deadLetter('orders.dlq') })
 * @example on(TransportError).restart({ backoff: exponential('1s', '1m'), limit: { restarts: 8, within: '10m' } })
 */
export function on(when: Matcher): RuleBuilder {
  if (typeof when !== 'function')
    wrong('on(…)', when, 'a class of errors, or a function that says whether an error fits')
  const rule = (directive: Directive): Rule =>
    Object.freeze({ when, name: when.name || 'predicate', directive: Object.freeze(directive) })
  const builder: RuleBuilder = {
    skip: (options) => rule(skip(options)),
    retry: (options) => rule(retryDirective(options)),
    restart: (options = {}) => rule(restartDirective(options)),
    release: () => rule({ kind: 'release' }),
    stop: () => rule({ kind: 'stop' }),
    escalate: () => rule({ kind: 'escalate' })
  }
  return new Proxy(builder, {
    get(target, word) {
      if (typeof word === 'symbol' || word in target || word === 'then' || word === 'toJSON') {
        return Reflect.get(target, word) as unknown
      }
      throw unknownWord(word)
    }
  })
}

function unknownWord(word: string): ConfigError {
  const near = nearest(word, WORDS)
  return new ConfigError(
    `There is no directive "${word}". ${near ? `Did you mean "${near}"?` : `There are ${WORDS.join(', ')}.`}`,
    { code: 'ERR_UNKNOWN_OPTION', details: { option: word, nearest: near } }
  )
}

/** @example on(DecodeError).skip({ to: deadLetter('orders.dlq') }) */
export function deadLetter(topic: string): DeadLetter {
  return Object.freeze({ topic: text(topic, 'deadLetter(topic)') })
}

/** What follows the last repeat: `retry({ times: 3, otherwise: skip({ to: deadLetter('orders.dlq') }) })`. */
export function skip(options: SkipOptions = {}): SkipDirective {
  refuseUnknown(options, ['to'], 'skip.')
  if (options.to === undefined) return Object.freeze({ kind: 'skip' })
  if (typeof options.to?.topic !== 'string') wrong('skip.to', options.to, "a topic, as in deadLetter('orders.dlq')")
  return Object.freeze({ kind: 'skip', to: Object.freeze({ topic: options.to.topic }) })
}

function retryDirective(options: RetryOptions): RetryDirective {
  if (typeof options !== 'object' || options === null) wrong('retry', options, 'how often, as in { times: 5 }')
  refuseUnknown(options, ['times', 'backoff', 'order', 'otherwise'], 'retry.')
  const { otherwise = 'escalate', order = 'partition' } = options
  return {
    kind: 'retry',
    times: whole(1, 'a whole number of repeats, at least 1')(options.times, 'retry.times'),
    backoff: checkBackoff(options.backoff),
    order: oneOf('partition', 'key')(order, 'retry.order'),
    otherwise: typeof otherwise === 'object' ? skip(restOf(otherwise)) : after(otherwise)
  }
}

const restOf = ({ kind, ...rest }: SkipDirective): SkipOptions => {
  if (kind !== 'skip') wrong('retry.otherwise', kind, "'escalate', 'stop', 'skip' or skip({ to })")
  return rest
}

function after(word: string): RetryDirective['otherwise'] {
  const kind = oneOf('escalate', 'stop', 'skip')(word, 'retry.otherwise')
  return Object.freeze({ kind }) as RetryDirective['otherwise']
}

function restartDirective(options: RestartOptions): RestartDirective {
  refuseUnknown(options, ['backoff', 'limit', 'wipe', 'otherwise'], 'restart.')
  const limit = options.limit
    ? { restarts: options.limit.restarts, withinMs: ms(options.limit.within) }
    : { ...DEFAULT_LIMIT }
  if (!Number.isInteger(limit.restarts) || limit.restarts < 0) {
    throw new ConfigError(`limit.restarts is ${limit.restarts}. Give a whole number, 0 for "never restart".`)
  }
  return {
    kind: 'restart',
    backoff: checkBackoff(options.backoff),
    limit: Object.freeze(limit),
    wipe: options.wipe ?? false,
    otherwise: oneOf<Exhausted>('escalate', 'stop')(options.otherwise ?? 'escalate', 'restart.otherwise')
  }
}

function checkBackoff(backoff: Backoff = DEFAULT_BACKOFF): Backoff {
  if (backoff.min >= 0 && backoff.max >= backoff.min && backoff.jitter >= 0) return backoff
  throw new ConfigError(
    `The back-off ${JSON.stringify(backoff)} cannot work: it needs 0 <= min <= max (milliseconds) and jitter >= 0.`
  )
}

/**
 * A list of rules, frozen.
 * @param where 'node' allows `order: 'key'`, which needs a store of the node
 * @throws ConfigError ERR_OPTION
 */
export function checkRules(value: unknown, name: string, where: 'node' | 'outer'): readonly Rule[] {
  if (value === undefined) return NO_RULES
  if (!Array.isArray(value)) wrong(name, value, 'a list of rules, as in [on(TimeoutError).restart()]')
  for (const rule of value as Partial<Rule>[]) {
    const kind = rule?.directive?.kind as string | undefined
    if (typeof rule?.when !== 'function' || kind === undefined) {
      wrong(name, rule, 'a list of rules, as in [on(TimeoutError).restart()]')
    }
    if (!(WORDS as readonly string[]).includes(kind)) throw unknownWord(kind)
    if (where === 'outer' && isByKey(rule as Rule)) {
      throw new ConfigError(
        `Option "${name}" has a retry with order: 'key' for ${rule.name}. The records that wait are kept in a store of the node that failed, ` +
          "so the rule belongs to that node: { supervise: [on(…).retry({ order: 'key', … })] }. Elsewhere use order: 'partition'.",
        { details: { option: name } }
      )
    }
  }
  return Object.freeze([...(value as Rule[])])
}

export const NO_RULES: readonly Rule[] = Object.freeze([])

/** It asks for a store of what waits. */
export const isByKey = ({ directive }: Rule): boolean => directive.kind === 'retry' && directive.order === 'key'

export const isForRecords = ({ directive }: Rule): boolean => directive.kind === 'skip' || directive.kind === 'retry'

/** Topics that rules write dead letters to. */
export function deadLetterTopics(rules: readonly Rule[]): string[] {
  return rules.flatMap(({ directive: d }) => {
    const last = d.kind === 'retry' ? d.otherwise : d
    return last.kind === 'skip' && last.to ? [last.to.topic] : []
  })
}

/**
 * True when the rule is for this error, or for what user code threw to cause it. A predicate that throws does not match: supervision itself must
 * not fail.
 */
export function matches(rule: Rule, error: unknown): boolean {
  if (fits(rule.when, error)) return true
  const wrapped = error instanceof ProcessingError || error instanceof DecodeError || error instanceof EncodeError
  return wrapped && error.cause !== undefined && fits(rule.when, error.cause)
}

function fits(when: Matcher, error: unknown): boolean {
  if (isErrorClass(when)) return error instanceof when
  try {
    return when(error)
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
  if (d.kind === 'skip') return d.to ? `skip to ${d.to.topic}` : 'skip'
  if (d.kind !== 'restart' && d.kind !== 'retry') return d.kind
  const { backoff: b } = d
  const pause = `${b.min}–${b.max} ms apart`
  if (d.kind === 'retry') {
    return `retry ${d.times} times, ${pause}, its ${d.order} waits, then ${describeDirective(d.otherwise)}`
  }
  const { restarts, withinMs } = d.limit
  return `restart${d.wipe ? ' with wipe' : ''}, ${pause}, ${restarts} within ${withinMs} ms, then ${d.otherwise}`
}
