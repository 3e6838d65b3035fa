/** The rows of a flush as bytes, all in one buffer: what changelog, database and sinks are given ranges of. */
import { RecordSet } from '../../record.ts'
import { writeOf } from '../../serde/write.ts'
import { ROW_VALUE_AT, writeInt64 } from '../bytes.ts'
import type { StoreSpec } from '../port.ts'
import { encodeFault } from './faults.ts'
import type { CachedRow } from './row.ts'

/** Grows to the largest flush; used within one call only. */
let scratch = Buffer.allocUnsafeSlow(1 << 16)

/**
 * Each row as store number(2) ‖ id ‖ event time(8) ‖ value, so that database key and database row lie there too: from 2 before the key, and
 * from its end, see `flushedKey` and `flushedBytes`.
 * @throws EncodeError for the first value that the store's serde does not encode
 */
export function encodeRows<V>(spec: StoreSpec<unknown, V>, store: number, rows: readonly CachedRow<V>[]): RecordSet {
  const ends = new Int32Array(rows.length)
  const serde = spec.value
  const write = writeOf(serde)
  let at = 0
  for (let i = 0; i < rows.length; i++) {
    const { id, value, timestamp } = rows[i]!
    const valueAt = at + 2 + id.length + ROW_VALUE_AT
    if (valueAt + 8 > scratch.length) grow(at, valueAt + 8)
    scratch[at] = store >>> 8
    scratch[at + 1] = store & 0xff
    ;(scratch as Buffer & { latin1Write(text: string, at: number): number }).latin1Write(id, at + 2)
    writeInt64(scratch, timestamp, valueAt - ROW_VALUE_AT)
    at = valueAt
    if (value !== null) {
      let bytes: Buffer
      try {
        const end = write === undefined ? -1 : write(value, scratch, at)
        if (end >= 0) {
          ends[i] = at = end
          continue
        }
        bytes = serde.encode(value)
      } catch (cause) {
        throw encodeFault(spec, id, cause)
      }
      if (at + bytes.length > scratch.length) grow(at, at + bytes.length)
      const length = bytes.length
      if (length <= 16) for (let k = 0; k < length; k++) scratch[at + k] = bytes[k]!
      else scratch.set(bytes, at)
      at += length
    }
    ends[i] = at
  }
  const bytes = Buffer.allocUnsafeSlow(at)
  scratch.copy(bytes, 0, 0, at)
  const set = new RecordSet(bytes, rows.length)
  set.count = rows.length
  for (let i = 0, start = 0; i < rows.length; i++) {
    const { id, value, timestamp } = rows[i]!
    set.timestamps[i] = timestamp
    set.keyStart[i] = start + 2
    set.keyEnd[i] = start + 2 + id.length
    set.valueStart[i] = start + 2 + id.length + ROW_VALUE_AT
    set.valueEnd[i] = value === null ? -1 : ends[i]!
    set.headersAt[i] = -1
    start = ends[i]!
  }
  return set
}

function grow(used: number, needed: number): void {
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, scratch.length * 2))
  scratch.copy(larger, 0, 0, used)
  scratch = larger
}

/** The key in the database of a row that is flushed and not persisted. */
export const flushedKey = ({ flushed, at, key }: CachedRow<unknown>): Buffer =>
  flushed instanceof RecordSet ? flushed.bytes.subarray(flushed.keyStart[at]! - 2, flushed.keyEnd[at]!) : key!

/** What the database is to hold of it; null = nothing. */
export function flushedBytes({ flushed, at }: CachedRow<unknown>): Buffer | null {
  if (!(flushed instanceof RecordSet)) return flushed ?? null
  const end = flushed.valueEnd[at]!
  return end < 0 ? null : flushed.bytes.subarray(flushed.keyEnd[at]!, end)
}
