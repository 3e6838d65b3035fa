/** What the specs of a join's store share: its spec, and how a join puts into it and looks into it. */
import { localKey, storeEnd } from '../../lib/store/bytes.ts'
import { type Entry, entriesSerde } from '../../lib/store/join/entries.ts'
import type { JoinStore } from '../../lib/store/join/joinStore.ts'
import type { Database, StoreSpec } from '../../lib/store/port.ts'
import { text } from './storeKit.ts'

export const SIZE = 10 // of a bucket, ms
export const RETENTION = 40 // ms

export const joinSpec = {
  name: 'seen',
  kind: 'join',
  key: text,
  value: entriesSerde(text),
  caching: false,
  logged: true,
  windowMs: SIZE,
  retentionMs: RETENTION
} as unknown as StoreSpec

/** Adds a record, to its block in memory or to its row, wherever the bucket is. */
export async function put(store: JoinStore<string>, key: string, time: number, value: string): Promise<void> {
  const start = time - (time % SIZE)
  const bytes = Buffer.from(value)
  if (store.spilled(start)) {
    store.putRow(await store.row(store.rowId(start, key)), { timestamp: time, value, open: false })
  } else store.put(start, key, time, false, bytes, 0, bytes.length)
}

/** The values of a key with times in [from, to]. */
export async function look(store: JoinStore<string>, key: string, from: number, to: number): Promise<string[]> {
  let found: Entry<string>[] = []
  for (let start = from - (from % SIZE); start <= to; start += SIZE) {
    if (store.spilled(start)) {
      const row = await store.row(store.rowId(start, key))
      found = found.concat((row.value ?? []).filter((e) => e.timestamp >= from && e.timestamp <= to))
    } else found = store.collect(start, key, from, to, found) ?? []
  }
  return found.map((e) => e.value)
}

/** How many rows of it the database has. */
export async function rowsOnDisk(store: JoinStore<string>): Promise<number> {
  const { id, database } = store as unknown as { id: number; database: Database }
  let rows = 0
  for await (const chunk of database.range({ from: localKey(id, ''), to: storeEnd(id) })) rows += chunk.length
  return rows
}
