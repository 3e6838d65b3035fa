/** Restore of a store that another one is made from: places of the rows as they are now, and none of what they were. */
import type { RecordSet } from '../record.ts'
import { latin1, localKey, ROW_VALUE_AT, readInt64 } from './bytes.ts'
import type { CachedRowStore } from './cache/rowStore.ts'
import type { Database, StoreIndex, WriteBatch } from './port.ts'

const NOTHING = Buffer.alloc(0)

interface Known {
  readonly value: Buffer
  readonly timestamp: number
}

/** Rows by their ids. */
export type KnownRows = Map<string, Known>

/**
 * Reads the rows that the records are to replace. A standby lives for months: without them the index would get a place for each change
 * of a row, and nobody who follows places and drops them.
 */
export async function knownRows(
  database: Database,
  store: CachedRowStore<unknown>,
  sets: readonly RecordSet[]
): Promise<KnownRows> {
  const ids = new Set<string>()
  for (const set of sets) {
    for (let i = 0; i < set.count; i++) {
      if (set.keyEnd[i]! >= 0) ids.add(latin1(set.bytes, set.keyStart[i]!, set.keyEnd[i]!))
    }
  }
  const list = [...ids]
  const rows = await database.getMany(list.map((id) => localKey(store.id, id)))
  const known: KnownRows = new Map()
  for (const [i, row] of rows.entries()) {
    if (row) known.set(list[i]!, { value: row.subarray(ROW_VALUE_AT), timestamp: readInt64(row, 0) })
  }
  return known
}

/** @param known is brought up to date with the set */
export function restoreIndex(
  index: StoreIndex,
  places: CachedRowStore<unknown>,
  batch: WriteBatch,
  set: RecordSet,
  known: KnownRows
): void {
  for (let i = 0; i < set.count; i++) {
    const [key, value, timestamp] = [set.key(i), set.value(i), set.timestamps[i]!]
    if (key === null) continue
    const id = latin1(key)
    const before = known.get(id)
    if (before) {
      for (const place of index.ids(key, before.value, before.timestamp)) {
        places.restore(batch, Buffer.from(place, 'latin1'), null, timestamp)
      }
    }
    if (value === null) {
      known.delete(id)
      continue
    }
    known.set(id, { value, timestamp })
    for (const place of index.ids(key, value, timestamp)) {
      places.restore(batch, Buffer.from(place, 'latin1'), NOTHING, timestamp)
    }
  }
}
