/** Small checks of option values: each gives the value in its final unit or a ConfigError that says what to write instead. */
import { ConfigError, nearest } from './errors.ts'
import { type Duration, ms } from './time.ts'

/** Reads one option. `name` is its full path, as in `shutdown.drainWithin`. */
export type Check<T> = (value: unknown, name: string) => T

/** @throws ConfigError ERR_OPTION */
export function wrong(name: string, value: unknown, expected: string): never {
  throw new ConfigError(`Option "${name}" is ${show(value)}. Give ${expected}.`, { details: { option: name } })
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}

/** @throws ConfigError ERR_UNKNOWN_OPTION that names the nearest known option. */
export function refuseUnknown(options: object, known: readonly string[], path: string): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const near = nearest(key, known)
    const hint = near ? `Did you mean "${path}${near}"?` : `Known options here: ${[...known].sort().join(', ')}.`
    throw new ConfigError(`There is no option "${path}${key}". ${hint}`, {
      code: 'ERR_UNKNOWN_OPTION',
      details: { option: `${path}${key}`, nearest: near }
    })
  }
}

export const duration: Check<number> = (value, name) => {
  try {
    if (typeof value === 'number' || typeof value === 'string') return ms(value as Duration)
  } catch {
    // answered below, with the option's name
  }
  return wrong(name, value, `a duration: milliseconds as a number, or '250ms', '30s', '5m', '24h'`)
}

export const positiveDuration: Check<number> = (value, name) => {
  const n = duration(value, name)
  return n > 0 ? n : wrong(name, value, 'a duration above 0')
}

/** A duration, or -1 for "without end". */
export const durationOrForever: Check<number> = (value, name) => (value === -1 ? -1 : duration(value, name))

export const bytes: Check<number> = (value, name) =>
  Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : wrong(name, value, 'a number of bytes, 0 or more')

export const text: Check<string> = (value, name) =>
  typeof value === 'string' && value.length > 0 ? value : wrong(name, value, 'a text that is not empty')

/** Becomes part of topic names, transactional ids and a directory: no separators, and nothing that climbs out of it. */
export const identifier: Check<string> = (value, name) =>
  typeof value === 'string' && /^[A-Za-z0-9._-]{1,150}$/.test(value) && !/^\.+$/.test(value)
    ? value
    : wrong(name, value, 'a name of 1 to 150 letters, digits, ".", "_" and "-"')

export const oneOf =
  <T extends string>(...values: readonly T[]): Check<T> =>
  (value, name) => {
    if (values.includes(value as T)) return value as T
    const near = typeof value === 'string' ? nearest(value, values) : undefined
    return wrong(
      name,
      value,
      `one of ${values.map((v) => `'${v}'`).join(', ')}${near ? ` (did you mean '${near}'?)` : ''}`
    )
  }

export const whole =
  (min: number, expected: string): Check<number> =>
  (value, name) =>
    Number.isSafeInteger(value) && (value as number) >= min ? (value as number) : wrong(name, value, expected)

/** Timers count with 31 bits: a longer one fires at once. */
export const LONGEST_TIMER_MS = 2_147_483_647

export const longestTimer =
  (check: Check<number>): Check<number> =>
  (value, name) => {
    const n = check(value, name)
    return n <= LONGEST_TIMER_MS ? n : wrong(name, value, `at most ${LONGEST_TIMER_MS} ms (24 days)`)
  }

/** An object that has these methods (a port: clock, logger, transport, topology). */
export const having =
  <T>(expected: string, ...methods: readonly string[]): Check<T> =>
  (value, name) =>
    typeof value === 'object' &&
    value !== null &&
    methods.every((m) => typeof (value as Record<string, unknown>)[m] === 'function')
      ? (value as T)
      : wrong(name, value, expected)

export const callable =
  <T>(expected: string): Check<T> =>
  (value, name) =>
    typeof value === 'function' ? (value as T) : wrong(name, value, expected)
