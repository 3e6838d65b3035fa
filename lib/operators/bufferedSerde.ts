/** A record that waits in a store: value and headers; key and time are in the row's id. */
import type { Headers, Serde } from '../record.ts'

export interface Buffered<V> {
  readonly value: V
  readonly headers: Headers
}

/** headers(4) ‖ (name length(4) ‖ name ‖ length(4; −1 = null) ‖ value)* ‖ value. */
export const bufferedSerde = <V>(value: Serde<V>): Serde<Buffered<V>> => ({
  name: `buffered(${value.name})`,
  encode: (buffered) => {
    const parts: Buffer[] = [int32(buffered.headers.length)]
    for (const [name, header] of buffered.headers) {
      const bytes = Buffer.from(name)
      parts.push(int32(bytes.length), bytes, int32(header === null ? -1 : header.length))
      if (header !== null) parts.push(header)
    }
    parts.push(value.encode(buffered.value))
    return Buffer.concat(parts)
  },
  decode: (bytes, start, end) => {
    const headers: [string, Buffer | null][] = []
    let at = start + 4
    for (let left = bytes.readInt32BE(start); left > 0; left--) {
      const named = at + 4 + bytes.readInt32BE(at)
      const name = bytes.toString('utf8', at + 4, named)
      const length = bytes.readInt32BE(named)
      at = named + 4 + Math.max(0, length)
      headers.push([name, length < 0 ? null : Buffer.from(bytes.subarray(named + 4, at))])
    }
    return { value: value.decode(bytes, at, end), headers }
  }
})

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeInt32BE(value)
  return bytes
}
