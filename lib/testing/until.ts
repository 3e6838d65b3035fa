/** Polls a condition instead of sleeping: the specs' way to wait for what has no event. */
import { MillraceError } from '../errors.ts'
import { type Clock, delay, systemClock } from '../time.ts'

export interface UntilOptions {
  /** Names what is awaited, for the message of the time-out; a function is asked at that moment. */
  what?: string | (() => string)
  /** Milliseconds until it gives up. Default 10,000. */
  timeoutMs?: number
  /** Milliseconds between two tries. Default 20. */
  everyMs?: number
  /** Ends the wait early with the signal's reason. */
  signal?: AbortSignal | undefined
  clock?: Clock
}

const PENDING = Symbol('pending')

/**
 * Tries `condition` until it gives something truthy, and resolves with that. A try that throws counts as "not yet";
 * its error becomes the cause of the time-out. A try that hangs ends with the time-out too.
 * @throws MillraceError ERR_TIMEOUT with `what` in its message.
 * @example const lag = await until(async () => (await lagOf('orders')) === 0, { what: 'orders is read to its end' })
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: UntilOptions = {}
): Promise<Exclude<T, undefined | null | false>> {
  const { timeoutMs = 10_000, everyMs = 20, signal, clock = systemClock } = options
  const deadline = clock.now() + timeoutMs
  let failure: unknown
  for (;;) {
    signal?.throwIfAborted()
    const value = await attempt(condition, Math.max(0, deadline - clock.now()), clock, (error) => {
      failure = error
    })
    if (value !== PENDING && value) return value as Exclude<T, undefined | null | false>
    const left = deadline - clock.now()
    if (value === PENDING || left <= 0) throw timedOut(options, timeoutMs, failure)
    await delay(clock, Math.min(everyMs, left), signal)
  }
}

async function attempt<T>(
  condition: () => T | Promise<T>,
  left: number,
  clock: Clock,
  failed: (error: unknown) => void
): Promise<T | typeof PENDING | undefined> {
  let timer: unknown
  const timeout = new Promise<typeof PENDING>((resolve) => {
    timer = clock.setTimeout(() => resolve(PENDING), left)
  })
  try {
    return await Promise.race([condition(), timeout])
  } catch (error) {
    failed(error)
    return undefined
  } finally {
    clock.clearTimeout(timer)
  }
}

function timedOut(options: UntilOptions, timeoutMs: number, cause: unknown): MillraceError {
  const what = typeof options.what === 'function' ? options.what() : (options.what ?? 'the condition')
  const why = cause instanceof Error ? `; the last try failed with: ${cause.message}` : ''
  return new MillraceError(`Waited ${timeoutMs} ms for this and it did not come: ${what}${why}`, 'ERR_TIMEOUT', {
    cause,
    details: { timeoutMs }
  })
}
