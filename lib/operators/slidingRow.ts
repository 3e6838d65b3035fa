/** The rows of sliding windows: the windows of one key that begin in one bucket of time, so that any record needs two point reads. */
import { type Headers, NO_HEADERS, type Serde } from '../record.ts'
import { readInt64, writeInt64 } from '../store/bytes.ts'

/** One window of a row. */
export interface Slot<A> {
  readonly start: number
  /** null = deleted since the last flush. */
  value: A | null
  /** Highest event time in it. */
  timestamp: number
  /** What was given downstream last. */
  sent: A | null
  headers: Headers
  /** To be given downstream at the next flush. */
  dirty: boolean
}

const HEAD = 20 // start(8) ‖ timestamp(8) ‖ length of the value(4)

/** Slots in the order of their starts; deleted ones are left out. */
export const slotsSerde = <A>(inner: Serde<A>): Serde<Slot<A>[]> => ({
  name: `windows of ${inner.name}`,
  encode(slots) {
    const parts: Buffer[] = []
    for (const { start, timestamp, value } of slots) {
      if (value === null) continue
      const bytes = inner.encode(value)
      const head = Buffer.allocUnsafe(HEAD)
      writeInt64(head, start, 0)
      writeInt64(head, timestamp, 8)
      head.writeUInt32BE(bytes.length, 16)
      parts.push(head, bytes)
    }
    return Buffer.concat(parts)
  },
  decode(bytes, from, to) {
    const slots: Slot<A>[] = []
    for (let at = from; at < to; ) {
      const end = at + HEAD + bytes.readUInt32BE(at + 16)
      const value = inner.decode(bytes, at + HEAD, end)
      const start = readInt64(bytes, at)
      const timestamp = readInt64(bytes, at + 8)
      slots.push({ start, value, timestamp, sent: value, headers: NO_HEADERS, dirty: false })
      at = end
    }
    return slots
  }
})

/** Index of the slot that begins at `start`, or where it would stand. Looked for from the end: most records come in order. */
export function slotIndex(slots: readonly Slot<unknown>[], start: number): number {
  let at = slots.length
  while (at > 0 && slots[at - 1]!.start >= start) at--
  return at
}

/** The slot that begins at `start`, made when missing. */
export function slotAt<A>(slots: Slot<A>[], start: number): Slot<A> {
  const at = slotIndex(slots, start)
  const known = slots[at]
  if (known?.start === start) return known
  const made: Slot<A> = { start, value: null, timestamp: -1, sent: null, headers: NO_HEADERS, dirty: false }
  slots.splice(at, 0, made)
  return made
}
