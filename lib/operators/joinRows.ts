/** Rows of a stream-stream join: what one key has had in one bucket of time, and what waits for a partner. */
import type { Serde } from '../record.ts'
import { readInt64, windowId, writeInt64 } from '../store/bytes.ts'

/** One record in a join's store. */
export interface Entry<V> {
  /** ms */
  readonly timestamp: number
  readonly value: V
  /** It had no partner yet: a row of the pending store waits for its window to close. */
  open: boolean
}

/** Records of one key and time without a partner; `left` says whose. */
export interface Pending {
  readonly left: boolean
  readonly values: unknown[]
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

const HEAD = 13 // time(8) ‖ open(1) ‖ length(4)

/** Rows of `Entry`: time(8) ‖ open(1) ‖ length(4) ‖ value, one after the other. */
export const entriesSerde = <V>(value: Serde<V>): Serde<Entry<V>[]> => ({
  name: `entries(${value.name})`,
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

/** Rows of `Pending`: side(1; 1 = left) ‖ (length(4) ‖ value)*. */
export const pendingSerde = (left: Serde<unknown>, right: Serde<unknown>): Serde<Pending> => ({
  name: `pending(${left.name}, ${right.name})`,
  encode: (pending) => {
    const serde = pending.left ? left : right
    const parts: Buffer[] = [Buffer.from([pending.left ? 1 : 0])]
    for (const one of pending.values) {
      const bytes = serde.encode(one)
      const length = Buffer.allocUnsafe(4)
      length.writeInt32BE(bytes.length)
      parts.push(length, bytes)
    }
    return Buffer.concat(parts)
  },
  decode: (bytes, start, end) => {
    const isLeft = bytes[start] === 1
    const serde = isLeft ? left : right
    const values: unknown[] = []
    for (let at = start + 1; at < end; ) {
      const length = bytes.readInt32BE(at)
      values.push(serde.decode(bytes, at + 4, at + 4 + length))
      at += 4 + length
    }
    return { left: isLeft, values }
  }
})

/** Row ids by bucket of time: start(8) ‖ key. A few buckets are used over and over, so their 8 bytes are made once. */
export class Buckets {
  readonly size: number
  readonly #prefixes = new Map<number, string>()

  constructor(size: number) {
    this.size = size
  }

  /** Start of the bucket that holds `time` (≥ 0). */
  of(time: number): number {
    return time - (time % this.size)
  }

  id(start: number, key: string): string {
    let prefix = this.#prefixes.get(start)
    if (prefix === undefined) {
      if (this.#prefixes.size >= 64) this.#prefixes.clear()
      prefix = windowId(start, '')
      this.#prefixes.set(start, prefix)
    }
    return prefix + key
  }
}
