/** Bytes as they are. */
import { EncodeError } from '../errors.ts'
import type { Serde } from '../record.ts'

const BYTES: Serde<Buffer> = {
  name: 'bytes',
  encode(value) {
    if (Buffer.isBuffer(value)) return value
    if ((value as unknown) instanceof Uint8Array) {
      const view = value as Uint8Array
      return Buffer.from(view.buffer, view.byteOffset, view.byteLength)
    }
    throw new EncodeError(
      `bytes() encodes a Buffer or Uint8Array, not ${typeof value}: convert it, or use another serde.`
    )
  },
  // A copy: a kept view would hold the whole fetch response in memory.
  decode: (bytes, start, end) => Buffer.from(bytes.subarray(start, end))
}

/**
 * Raw bytes; what is decoded is the reader's own copy.
 * @throws EncodeError when the value is no Buffer or Uint8Array.
 */
export const bytes = (): Serde<Buffer> => BYTES
