/** The present value of a table's row, whether its store keeps one value or versions. */
import type { Row, TaskStore } from '../store/port.ts'

interface Latest<V> {
  readonly value: V | null
  /** ms; means nothing without a value. */
  readonly timestamp: number
}

export function latestOf<V>(_store: TaskStore, row: Row<unknown>): Latest<V> {
  return row as Latest<V>
}
