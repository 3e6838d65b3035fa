/** The present value of a table's row, whether its store keeps one value or versions. */
import type { Row, TaskStore } from '../store/port.ts'
import type { Version, Versions } from './versions.ts'

const NONE: Version<never> = { timestamp: -1, value: null }

/** The present value. Its time means nothing when it is null. */
export function latestOf<V>(store: TaskStore, row: Row<unknown>): Version<V> {
  if (store.spec.historyMs === undefined) return row as unknown as Version<V>
  const versions = row.value as Versions<V> | null
  return versions === null ? NONE : versions[versions.length - 1]!
}
