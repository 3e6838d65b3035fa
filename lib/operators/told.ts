/** What those behind a table know of a row: with a cache a change goes downstream at the commit, and one that was taken back never. */
import type { Row, RowStore } from '../store/port.ts'
import { latestOf } from './latest.ts'

/**
 * The value that was last given downstream; null = there is no row, as far as anybody was told.
 *
 * A foreign-key join has its two tables in different tasks: each end goes by what the other can hear of. A row that comes into the cache, answers, and
 * is deleted before the commit would leave a result that no change ever takes back.
 */
export function toldOf<V>(store: RowStore<unknown>, row: Row<unknown>): V | null {
  // Stores without a flush of their own tell of each change at once.
  return store.onFlush === undefined ? latestOf<V>(store, row).value : (row.sent as V | null)
}
