/** What suppress keeps of a change that waits: enough to send it on as it came. */
import type { Headers, Serde } from '../record.ts'
import { readInt64, writeInt64 } from '../store/bytes.ts'

export interface Entry<V> {
  /** The time it waits by: the end of its window, or the event time of the key's first change. */
  readonly time: number
  readonly value: V | null
  /** What was given downstream before. */
  readonly old: V | null
  readonly headers: Headers
  /** Serialised bytes of value and old. 0 where nobody counts. */
  readonly bytes: number
}

/** The row that says when a key's entry is due, where the entry lies elsewhere. */
export const mark = <V>(): Entry<V> => ({ time: -1, value: null, old: null, headers: [], bytes: 0 })

/** Row: empty for a mark; else time(8) ‖ value ‖ old ‖ headers(name, value)*, each as length(4, -1 = null) ‖ bytes. */
export const entrySerde = <V>(inner: Serde<V>): Serde<Entry<V>> => ({
  name: `waiting ${inner.name}`,
  encode({ time, value, old, headers }) {
    if (time < 0) return Buffer.alloc(0)
    const head = Buffer.allocUnsafe(8)
    writeInt64(head, time, 0)
    const parts: Buffer[] = [head]
    write(parts, value === null ? null : inner.encode(value))
    write(parts, old === null ? null : inner.encode(old))
    for (const [name, bytes] of headers) {
      write(parts, Buffer.from(name))
      write(parts, bytes)
    }
    return Buffer.concat(parts)
  },
  decode(bytes, from, to) {
    if (from === to) return mark()
    const lengths = [bytes.readInt32BE(from + 8)]
    const oldAt = from + 12 + Math.max(0, lengths[0]!)
    lengths.push(bytes.readInt32BE(oldAt))
    const part = (at: number, length: number): V | null => (length < 0 ? null : inner.decode(bytes, at, at + length))
    const headers: [string, Buffer | null][] = []
    let at = oldAt + 4 + Math.max(0, lengths[1]!)
    const read = (): Buffer | null => {
      const length = bytes.readInt32BE(at)
      const start = at + 4
      at = start + Math.max(0, length)
      return length < 0 ? null : Buffer.from(bytes.subarray(start, at)) // a copy: what is kept must not pin the row it came in
    }
    while (at < to) headers.push([String(read()), read()])
    return {
      time: readInt64(bytes, from),
      value: part(from + 12, lengths[0]!),
      old: part(oldAt + 4, lengths[1]!),
      headers,
      bytes: Math.max(0, lengths[0]!) + Math.max(0, lengths[1]!)
    }
  }
})

function write(parts: Buffer[], bytes: Buffer | null): void {
  const length = Buffer.allocUnsafe(4)
  length.writeInt32BE(bytes === null ? -1 : bytes.length, 0)
  parts.push(length)
  if (bytes !== null) parts.push(bytes)
}
