/** Serdes of the user's own, and the marks that serdes carry for types only. */
import { ConfigError, DecodeError, EncodeError, MillraceError } from '../errors.ts'
import type { Serde } from '../record.ts'

/**
 * A serde from two functions. Null never reaches it. `decode` gets a range of a large buffer and must not keep a view into it.
 * What it throws arrives as EncodeError or DecodeError with the thrown value as cause.
 * @throws ConfigError when a part is missing.
 * @example
 * const date = serde<Date>({
 *   name: 'date',
 *   encode: (value) => Buffer.from(value.toISOString()),
 *   decode: (bytes, start, end) => new Date(bytes.toString('latin1', start, end))
 * })
 * date.encode(new Date(0)).toString() // → '1970-01-01T00:00:00.000Z'
 */
export function serde<T>(parts: Serde<T>): Serde<T> {
  if (typeof parts?.encode !== 'function' || typeof parts.decode !== 'function' || !parts.name) {
    throw new ConfigError('serde() needs { name, encode, decode }: a name for messages and two functions.')
  }
  const { name } = parts
  return {
    name,
    encode(value) {
      try {
        const out = parts.encode(value)
        if (Buffer.isBuffer(out)) return out
      } catch (cause) {
        if (cause instanceof MillraceError) throw cause
        throw new EncodeError(`Serde "${name}" cannot encode the value: ${reason(cause)}`, { cause })
      }
      throw new EncodeError(`Serde "${name}" gave no Buffer from encode().`)
    },
    decode(bytes, start, end) {
      try {
        return parts.decode(bytes, start, end)
      } catch (cause) {
        if (cause instanceof MillraceError) throw cause
        throw new DecodeError(`Serde "${name}" cannot decode the bytes: ${reason(cause)}`, { cause })
      }
    }
  }
}

const reason = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/**
 * Says that a topic's keys or values may be null (records without a key, tombstones on a stream). Types only: null never reaches a serde.
 * @example topic('clicks', { key: nullable(string()), value: json<Click>() })
 */
export const nullable = <T>(inner: Serde<T>): Serde<T | null> => inner as Serde<T | null>
