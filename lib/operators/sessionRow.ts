/** The rows of sessions: those of one key in one row, and marks in the order of time that say when to look at it. */
import type { Serde } from '../record.ts'
import { latin1, readInt64, writeInt64 } from '../store/bytes.ts'

/** [start, end], both inclusive. */
export interface Session<A> {
  readonly start: number
  readonly end: number
  readonly value: A
}

/** The row of a key, or with an empty list the row of a mark. */
export interface Sessions<A> {
  /** In order; they do not touch. For each there is a mark of a time within it. */
  readonly list: readonly Session<A>[]
}

const HEAD = 20 // start(8) ‖ end(8) ‖ length of the value(4)

export const sessionsSerde = <A>(inner: Serde<A>): Serde<Sessions<A>> => ({
  name: `sessions of ${inner.name}`,
  encode({ list }) {
    const parts: Buffer[] = []
    for (const { start, end, value } of list) {
      const bytes = inner.encode(value)
      const head = Buffer.allocUnsafe(HEAD)
      writeInt64(head, start, 0)
      writeInt64(head, end, 8)
      head.writeUInt32BE(bytes.length, 16)
      parts.push(head, bytes)
    }
    return Buffer.concat(parts)
  },
  decode(bytes, from, to) {
    const list: Session<A>[] = []
    for (let at = from; at < to; ) {
      const end = at + HEAD + bytes.readUInt32BE(at + 16)
      const value = inner.decode(bytes, at + HEAD, end)
      list.push({ start: readInt64(bytes, at), end: readInt64(bytes, at + 8), value })
      at = end
    }
    return { list }
  }
})

const KEY = '\x00'
const MARK = '\x01'
const scratch = Buffer.alloc(8) // used within one call only

/** Row id of a key's sessions. */
export const sessionsId = (key: string): string => KEY + key

/** Row id of a mark; marks sort by time. */
export function markId(time: number, key: string): string {
  writeInt64(scratch, time, 0)
  return MARK + latin1(scratch) + key
}

export const isMark = (id: string): boolean => id.startsWith(MARK)

/** Where the key begins in the id of a mark. */
export const MARKED_KEY_AT = 9

/** The time of a mark. */
export function markTime(id: string): number {
  scratch.write(id.slice(1, MARKED_KEY_AT), 0, 'latin1')
  return readInt64(scratch, 0)
}

/** Bounds of all marks. */
export const MARKS = { from: MARK, to: '\x02' } as const
