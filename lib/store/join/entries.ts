/** Records of a stream-stream join as rows of a database: what one key has had in one bucket of time. */
import type { Serde } from '../../record.ts'
import { readInt64, writeInt64 } from '../bytes.ts'

/** One record in a join's store. */
export interface Entry<V> {
  /** ms */
  readonly timestamp: number
  readonly value: V
  /** It had no partner yet: a row of the pending store may wait for its window to close. */
  open: boolean
}

/** In the order of time, equal times in the order of arrival: late records are few, so the search begins at the end. */
export function insert<V>(entries: Entry<V>[], entry: Entry<V>): void {
  let at = entries.length
  while (at > 0 && entries[at - 1]!.timestamp > entry.timestamp) at--
  if (at === entries.length) entries.push(entry)
  else entries.splice(at, 0, entry)
}

/** Whether a record of that very time waits for a partner. */
export function hasOpen(entries: readonly Entry<unknown>[], time: number): boolean {
  for (let at = entries.length - 1; at >= 0 && entries[at]!.timestamp >= time; at--) {
    if (entries[at]!.timestamp === time && entries[at]!.open) return true
  }
  return false
}

/** The serde of a row, and of the value of each entry in it. */
export interface EntriesSerde<V> extends Serde<Entry<V>[]> {
  readonly value: Serde<V>
}

const HEAD = 13 // time(8) ‖ open(1) ‖ length(4)

/** Rows of `Entry`: time(8) ‖ open(1) ‖ length(4) ‖ value, one after the other. */
export const entriesSerde = <V>(value: Serde<V>): EntriesSerde<V> => ({
  name: `entries(${value.name})`,
  value,
  encode: (entries) => {
    const parts: Buffer[] = []
    for (const entry of entries) {
      const bytes = value.encode(entry.value)
      const head = Buffer.allocUnsafe(HEAD)
      writeInt64(head, entry.timestamp, 0)
      head[8] = entry.open ? 1 : 0
      head.writeInt32BE(bytes.length, 9)
      parts.push(head, bytes)
    }
    return Buffer.concat(parts)
  },
  decode: (bytes, start, end) => {
    const entries: Entry<V>[] = []
    for (let at = start; at < end; ) {
      const length = bytes.readInt32BE(at + 9)
      const from = at + HEAD
      entries.push({
        timestamp: readInt64(bytes, at),
        value: value.decode(bytes, from, from + length),
        open: bytes[at + 8] === 1
      })
      at = from + length
    }
    return entries
  }
})
