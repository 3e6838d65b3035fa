/** Text as UTF-8, as Java's StringSerializer. */
import { EncodeError } from '../errors.ts'
import type { Serde } from '../record.ts'
import { utf8 } from './slices.ts'
import { writeText, written } from './write.ts'

const textOf = (value: string): string => {
  if (typeof value === 'string') return value
  throw new EncodeError(
    `string() cannot encode ${typeof value === 'object' ? 'an object' : `the ${typeof value} ${String(value)}`}: ` +
      `give text, or use json() or another serde for this topic.`
  )
}

const STRING: Serde<string> = {
  name: 'string',
  encode: written(
    (value) => Buffer.from(textOf(value), 'utf8'),
    (value, target, at) => writeText(textOf(value), target, at)
  ),
  decode: utf8
}

/**
 * UTF-8 text. Always the same object, so that keys of two topics compare as bytes.
 * @throws EncodeError when the value is no string.
 * @example string().encode('é').toString('hex') // → 'c3a9'
 * @example topic('flights', { key: string(), value: json<Flight>() })
 */
export const string = (): Serde<string> => STRING
