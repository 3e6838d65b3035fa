/** Byte layouts shared by stores, restore and specs: 64-bit integers as plain numbers, row values, row keys. */
import { readInt64, writeInt64 } from '../serde/int64.ts'

export { readInt64, writeInt64 }

/** Bytes of a row in the database: event time(8) ‖ value. */
export function rowBytes(timestamp: number, value: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(8 + value.length)
  writeInt64(bytes, timestamp, 0)
  bytes.set(value, 8)
  return bytes
}

/** Where the value of a row begins. */
export const ROW_VALUE_AT = 8

/** Key of a row in the task's database: store id(2) ‖ row id. */
export function localKey(store: number, id: string): Buffer {
  const key = Buffer.allocUnsafe(2 + id.length)
  key[0] = store >>> 8
  key[1] = store & 0xff
  key.write(id, 2, 'latin1')
  return key
}

/** First key behind all rows of a store. */
export const storeEnd = (store: number): Buffer => Buffer.from([(store + 1) >>> 8, (store + 1) & 0xff])

/** The id of a window row: start(8, big-endian) ‖ key. */
export function windowId(start: number, key: string): string {
  writeInt64(scratch, start, 0)
  return latin1(scratch) + key
}

/** The window start within a window row's id. */
export function windowStart(id: string): number {
  scratch.write(id.slice(0, 8), 0, 'latin1')
  return readInt64(scratch, 0)
}

/**
 * Bytes as text, one character a byte: the row id of a key. Exact, cheap, and in the order of the bytes.
 * @example store.row(latin1(set.bytes, set.keyStart[i], set.keyEnd[i]))
 */
export const latin1 = (bytes: Buffer, start = 0, end: number = bytes.length): string =>
  (bytes as Buffer & { latin1Slice(start: number, end: number): string }).latin1Slice(start, end)

const scratch = Buffer.alloc(8) // used within one call only
