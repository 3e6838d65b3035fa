/** The value of a table's row, now or at a time, whether its store keeps one value or versions. */
import type { Row, TaskStore } from '../store/port.ts'
import { storeTime, type Version, type Versions, versionAt } from './versions.ts'

const NONE: Version<never> = { timestamp: -1, value: null }

/** The present value. Its time means nothing when it is null. */
export function latestOf<V>(store: TaskStore, row: Row<unknown>): Version<V> {
  if (store.spec.historyMs === undefined) return row as unknown as Version<V>
  const versions = row.value as Versions<V> | null
  return versions === null ? NONE : versions[versions.length - 1]!
}

/** The value that held at a time; without versions the present one. */
export function valueAt<V>(store: TaskStore, row: Row<unknown>, time: number): V | null {
  const { historyMs } = store.spec
  if (historyMs === undefined) return row.value as V | null
  return versionAt(row.value as Versions<V> | null, time, storeTime(store) - historyMs)?.value ?? null
}
