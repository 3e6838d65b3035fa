/** Values written straight into a buffer that is there already: without a Buffer of their own, which costs more than the copy it saves. */
import type { Serde } from '../record.ts'

/**
 * As `encode`, into `target` from `at` on.
 * @returns the end of what was written, or -1 when there may be no room for it: then nothing that counts was written
 */
export type Write<T> = (value: T, target: Buffer, at: number) => number

// By the function, not a property of the serde: `{ ...json(), encode: mine }` must not be written as json() would.
const writes = new WeakMap<Serde<never>['encode'], Write<never>>()

/** @returns `encode`, known to be equal to `write` */
export function written<T>(encode: (value: T) => Buffer, write: Write<T>): (value: T) => Buffer {
  writes.set(encode as Serde<never>['encode'], write as Write<never>)
  return encode
}

/** Look it up once, not for each value. */
export const writeOf = <T>(serde: Serde<T>): Write<T> | undefined =>
  writes.get(serde.encode as Serde<never>['encode']) as Write<T> | undefined

type Utf8 = Buffer & { utf8Write(text: string, at: number): number }

/** UTF-8 needs three bytes for a character at most. */
export const writeText = (text: string, target: Buffer, at: number): number =>
  at + text.length * 3 > target.length ? -1 : at + (target as Utf8).utf8Write(text, at)
