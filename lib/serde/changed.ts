/** Changes of a table on a repartition topic, in the JVM's binary form (its ChangedSerializer). */
import { DecodeError, EncodeError } from '../errors.ts'
import type { Serde } from '../record.ts'

const OLD = 0
const NEW = 1
const BOTH = 2

/** What changed in a row: null = absent on that side. */
export interface Change<V> {
  readonly value: V | null
  readonly old: V | null
}

const cache = new WeakMap<Serde<never>, Serde<Change<never>>>()

/**
 * A row's value before and after a change: `old ‖ 00`, `new ‖ 01`, or `length of new (varint) ‖ new ‖ old ‖ 02`. The same inner serde
 * gives the same object.
 * @throws EncodeError for a change from nothing to nothing; DecodeError for bytes that end otherwise
 * @example changed(string()).encode({ value: 'new', old: 'older' }).toString('hex') // → '066e65776f6c64657202'
 */
export function changed<V>(inner: Serde<V>): Serde<Change<V>> {
  const known = cache.get(inner as unknown as Serde<never>)
  if (known) return known as unknown as Serde<Change<V>>
  const made = make(inner)
  cache.set(inner as unknown as Serde<never>, made as unknown as Serde<Change<never>>)
  return made
}

function make<V>(inner: Serde<V>): Serde<Change<V>> {
  const name = `changed(${inner.name})`
  return {
    name,
    encode({ value, old }) {
      if (value === null && old === null) {
        throw new EncodeError(`${name} cannot encode a change without an old and a new value.`)
      }
      if (value === null) return tailed(inner.encode(old!), OLD)
      if (old === null) return tailed(inner.encode(value), NEW)
      const after = inner.encode(value)
      const before = inner.encode(old)
      const bytes = Buffer.allocUnsafe(5 + after.length + before.length + 1)
      let at = 0
      let length = after.length * 2 // zig-zag
      for (; length > 0x7f; length = Math.floor(length / 128)) bytes[at++] = (length & 0x7f) | 0x80
      bytes[at++] = length
      bytes.set(after, at)
      bytes.set(before, at + after.length)
      at += after.length + before.length
      bytes[at++] = BOTH
      return bytes.subarray(0, at)
    },
    decode(bytes, start, end) {
      const behind = end - 1
      const sides = behind < start ? -1 : bytes[behind]!
      if (sides === OLD) return { value: null, old: inner.decode(bytes, start, behind) }
      if (sides === NEW) return { value: inner.decode(bytes, start, behind), old: null }
      if (sides !== BOTH) {
        throw new DecodeError(`${name} found ${end - start} bytes that do not end as a change does: with 00, 01 or 02.`)
      }
      let at = start
      let length = 0
      for (let unit = 1; ; unit *= 128) {
        const byte = bytes[at++]!
        length += (byte & 0x7f) * unit
        if (byte < 0x80) break
        if (at - start > 4) throw new DecodeError(`${name} found no length at the start of a change with both values.`)
      }
      const middle = at + length / 2
      if (!(middle <= behind) || length % 2 !== 0) {
        throw new DecodeError(`${name} found a new value of ${length / 2} bytes in ${end - start}.`)
      }
      return { value: inner.decode(bytes, at, middle), old: inner.decode(bytes, middle, behind) }
    }
  }
}

function tailed(value: Buffer, flag: number): Buffer {
  const bytes = Buffer.allocUnsafe(value.length + 1)
  bytes.set(value)
  bytes[value.length] = flag
  return bytes
}
