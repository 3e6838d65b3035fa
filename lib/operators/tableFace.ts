/** The rows of a table for user code: read by their key, whatever the store keeps in a row. */
import { NO_HEADERS, type Serde, StreamRecord } from '../record.ts'
import { isWindowed, type Windowed, type WindowedSerde } from '../serde/windowed.ts'
import { latin1, windowId } from '../store/bytes.ts'
import type { MaybePromise, RowStore, StoreSpec, TaskStore } from '../store/port.ts'
import { type Sessions, sessionsId } from './sessionRow.ts'
import { type Slot, slotIndex } from './slidingRow.ts'
import { TableIds } from './tableIds.ts'
import { storeView, type TableView } from './tableView.ts'
import type { Version } from './versions.ts'

/** What `context.store(name)` gives for `table.rows(name)`. */
export interface TableRows<K, V> {
  /**
   * The row of a key of this task's partition, as it is now; of a windowed table the key says the window: `{ key, start, end }`. Null = no such row.
   * @param time of a versioned table: as it was then, ms
   */
  get(key: K, time?: number): MaybePromise<V | null>
}

/** What a processor opens to read a table. */
export interface TableAccess {
  readonly stores: readonly string[]
  open(store: (name: string) => TaskStore): TableRows<unknown, unknown>
}

/** Sliding windows that begin in one bucket share a row. */
export const isSliding = (spec: StoreSpec, key: Serde<unknown>): boolean =>
  spec.kind === 'window' && isWindowed(key) && spec.windowMs !== key.size

/** Rows that a view gives. */
export const viewAccess = (view: TableView<unknown>, key: Serde<unknown>): TableAccess => ({
  stores: view.stores,
  open(store) {
    const reader = view.open(store)
    const ids = new TableIds(key)
    ids.store = store(view.stores[0]!)
    const present = ({ value }: Version<unknown>): unknown => value
    return {
      get(wanted, time) {
        const record = new StreamRecord(wanted, null, 0, NO_HEADERS)
        const row = reader.read(ids.of(record), record, time)
        return row instanceof Promise ? row.then(present) : present(row)
      }
    }
  }
})

/** Rows of windows and sessions, of which a store may keep several in one. */
export function windowAccess(spec: StoreSpec, key: WindowedSerde<unknown>): TableAccess {
  if (spec.kind !== 'session' && !isSliding(spec, key)) return viewAccess(storeView(spec.name), key)
  const idOf = (raw: string, { start }: Windowed<unknown>): string =>
    spec.kind === 'session' ? sessionsId(raw) : windowId(start - (start % spec.windowMs!), raw)
  const find = (row: unknown, { start, end }: Windowed<unknown>): unknown => {
    if (row === null) return null
    if (spec.kind === 'session') {
      return (row as Sessions<unknown>).list.find((s) => s.start === start && s.end === end)?.value ?? null
    }
    const slots = row as Slot<unknown>[]
    const slot = slots[slotIndex(slots, start)]
    return slot?.start === start ? slot.value : null
  }
  return {
    stores: [spec.name],
    open(store) {
      const rows = store(spec.name) as RowStore<unknown>
      return {
        get(wanted) {
          const window = wanted as Windowed<unknown>
          const row = rows.row(idOf(latin1(key.inner.encode(window.key)), window))
          return row instanceof Promise ? row.then(({ value }) => find(value, window)) : find(row.value, window)
        }
      }
    }
  }
}
