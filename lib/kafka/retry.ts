/** Repeats what may succeed later: exponential back-off with jitter, bounded in time. */
import { MillraceError } from '../errors.ts'
import { type Clock, delay, type Random } from '../time.ts'

export interface RetryOptions {
  /** For the message when time is up: "end the transaction". */
  what: string
  /** First pause in ms. Default 5. */
  baseMs?: number
  /** Longest pause in ms. Default 500. */
  maxMs?: number
  /** No new try after this, in ms. Default 30 000. */
  timeoutMs?: number
  /** Default: the error's own `retriable`. */
  retriable?: (error: unknown) => boolean
  signal?: AbortSignal | undefined
}

/**
 * Calls `fn` until it resolves. The first error that is not retriable, or the last one when time is up, is thrown as it is
 * (with `details.attempts`), so that its fault still says what to do.
 */
export async function retry<T>(
  env: { clock: Clock; random: Random },
  options: RetryOptions,
  fn: (attempt: number) => T | Promise<T>
): Promise<T> {
  const { baseMs = 5, maxMs = 500, timeoutMs = 30_000, retriable = isRetriable, signal } = options
  const deadline = env.clock.now() + timeoutMs
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await fn(attempt)
    } catch (error) {
      // Half to full pause: two clients that collided do not collide again in step.
      const pause = Math.min(maxMs, baseMs * 1.6 ** (attempt - 1)) * (0.5 + env.random() / 2)
      if (!retriable(error)) throw error
      if (env.clock.now() + pause > deadline) {
        if (error instanceof MillraceError) Object.assign(error.details, { attempts: attempt, what: options.what })
        throw error
      }
      await delay(env.clock, pause, signal)
    }
  }
}

const isRetriable = (error: unknown): boolean => error instanceof MillraceError && error.retriable
