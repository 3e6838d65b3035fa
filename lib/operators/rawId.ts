/** Keys as row ids: the bytes as text, one character a byte, for stores and internal topics whose keys nobody needs decoded. */
import type { Serde } from '../record.ts'
import { latin1 } from '../serde/slices.ts'

export const rawId: Serde<string> = {
  name: 'raw',
  encode: (id) => Buffer.from(id, 'latin1'),
  decode: (bytes, start, end) => latin1(bytes, start, end)
}
