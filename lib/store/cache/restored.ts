/** Records of a changelog as rows of the database, in the order of their keys: all of a set in one buffer, so that a row costs two views and no more. */
import type { RecordSet } from '../../record.ts'
import { ROW_VALUE_AT, writeInt64 } from '../bytes.ts'
import type { RestoredRows, WriteBatch } from '../port.ts'
import type { IdFilter } from './idFilter.ts'
import { keyOrder } from './keyOrder.ts'

/** Up to this length a loop beats the call into C++. */
const SHORT = 32

/**
 * The records that have a key, as store number(2) ‖ key and event time(8) ‖ value; those without a value delete the row. Two records of one
 * key keep their order.
 */
export class SortedRows implements RestoredRows {
  readonly count: number
  readonly #rows: Buffer
  readonly #order: Uint32Array
  /** Three numbers a row: where its key begins, where its value begins, and where that ends: there, too, when it has none. */
  readonly #places: Int32Array

  /**
   * @param ids gets the ids that are put
   * @param full called when `ids` has no room for them: it must not be asked any more
   */
  constructor(set: RecordSet, store: number, ids: IdFilter | undefined, full: () => void) {
    const { bytes: source, timestamps, keyStart, keyEnd, valueStart, valueEnd } = set
    const rows = Buffer.allocUnsafeSlow(sizeOf(set))
    const places = new Int32Array(set.count * 3)
    let known = ids
    let count = 0
    let at = 0
    for (let i = 0; i < set.count; i++) {
      if (keyEnd[i]! < 0) continue
      const start = at
      rows[at] = store >>> 8
      rows[at + 1] = store & 0xff
      at = copy(rows, at + 2, source, keyStart[i]!, keyEnd[i]!)
      places[count] = start
      places[count + 1] = at
      if (valueEnd[i]! >= 0) {
        if (known !== undefined && !known.addBytes(rows, start + 2, at)) known = undefined
        writeInt64(rows, timestamps[i]!, at)
        at = copy(rows, at + ROW_VALUE_AT, source, valueStart[i]!, valueEnd[i]!)
      }
      places[count + 2] = at
      count += 3
    }
    if (known !== ids) full()
    this.#rows = rows
    this.#places = places
    this.#order = keyOrder(rows, places, count / 3)
    this.count = this.#order.length
  }

  put(batch: WriteBatch, from: number, to: number): void {
    const rows = this.#rows
    const places = this.#places
    for (let n = from; n < to; n++) {
      const place = this.#order[n]! * 3
      const split = places[place + 1]!
      const end = places[place + 2]!
      if (split === end) batch.delete(rows.subarray(places[place]!, split))
      else batch.putRow(rows, places[place]!, split, end)
    }
  }
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
