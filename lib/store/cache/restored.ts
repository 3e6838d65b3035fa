/** Records of a changelog as rows of the database: all of a set in one buffer, so that a row costs two views and no more. */
import type { RecordSet } from '../../record.ts'
import { ROW_VALUE_AT, writeInt64 } from '../bytes.ts'
import type { WriteBatch } from '../port.ts'
import type { IdFilter } from './idFilter.ts'

/** Up to this length a loop beats the call into C++. */
const SHORT = 32

/**
 * Puts the records that have a key as store number(2) ‖ key and event time(8) ‖ value; those without a value delete the row.
 * @param ids gets the ids that are put
 * @returns false when `ids` has no room for them: it must not be asked any more
 */
export function restoreRows(batch: WriteBatch, set: RecordSet, store: number, ids: IdFilter | undefined): boolean {
  const { count, bytes: source, timestamps, keyStart, keyEnd, valueStart, valueEnd } = set
  const rows = Buffer.allocUnsafeSlow(sizeOf(set))
  let known = ids
  let at = 0
  for (let i = 0; i < count; i++) {
    if (keyEnd[i]! < 0) continue
    const start = at
    rows[at] = store >>> 8
    rows[at + 1] = store & 0xff
    at = copy(rows, at + 2, source, keyStart[i]!, keyEnd[i]!)
    const key = rows.subarray(start, at)
    if (valueEnd[i]! < 0) {
      batch.delete(key)
      continue
    }
    if (known !== undefined && !known.addBytes(rows, start + 2, at)) known = undefined
    const from = at
    writeInt64(rows, timestamps[i]!, at)
    at = copy(rows, at + ROW_VALUE_AT, source, valueStart[i]!, valueEnd[i]!)
    batch.put(key, rows.subarray(from, at))
  }
  return known === ids
}

function sizeOf({ count, keyStart, keyEnd, valueStart, valueEnd }: RecordSet): number {
  let size = 0
  for (let i = 0; i < count; i++) {
    if (keyEnd[i]! < 0) continue
    size += 2 + keyEnd[i]! - keyStart[i]!
    if (valueEnd[i]! >= 0) size += ROW_VALUE_AT + valueEnd[i]! - valueStart[i]!
  }
  return size
}

function copy(target: Buffer, at: number, source: Buffer, start: number, end: number): number {
  if (end - start > SHORT) source.copy(target, at, start, end)
  else for (let i = start, to = at; i < end; i++, to++) target[to] = source[i]!
  return at + end - start
}
