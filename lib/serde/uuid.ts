/** UUIDs as Java's UUIDSerializer writes them: 36 characters of text. */
import { DecodeError, EncodeError } from '../errors.ts'
import type { Serde } from '../record.ts'
import { latin1 } from './slices.ts'

const SHAPE = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const UUID: Serde<string> = {
  name: 'uuid',
  encode(value) {
    // Lower case, as Java prints it: the same UUID must be the same bytes, or one key becomes two.
    const text = String(value).toLowerCase()
    if (!SHAPE.test(text))
      throw new EncodeError(`uuid() cannot encode "${value}": it is not of the form 8-4-4-4-12 hex digits.`)
    return Buffer.from(text, 'latin1')
  },
  decode(bytes, start, end) {
    const text = latin1(bytes, start, end).toLowerCase()
    if (!SHAPE.test(text))
      throw new DecodeError(`uuid() cannot read "${text.slice(0, 40)}": it is not of the form 8-4-4-4-12 hex digits.`)
    return text
  }
}

/** A UUID in lower-case text. @throws EncodeError, DecodeError when the text is no UUID. */
export const uuid = (): Serde<string> => UUID
