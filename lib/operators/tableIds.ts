/** Row ids of a table's records in the store that has the rows: windows sort by their start there. */
import type { RecordSet, Serde, StreamRecord } from '../record.ts'
import { isWindowed, type Windowed } from '../serde/windowed.ts'
import { latin1, windowId } from '../store/bytes.ts'
import type { TaskStore } from '../store/port.ts'
import { RowIds } from './rowIds.ts'

export class TableIds<K> {
  /** Set at init. */
  store: TaskStore | undefined
  readonly #serde: Serde<K>
  readonly #ids: RowIds<K>

  constructor(serde: Serde<K>) {
    this.#serde = serde
    this.#ids = new RowIds(serde)
  }

  /** As `RowIds.ofRows`. */
  ofRows(set: RecordSet, from: number, to: number, serde: Serde<unknown>): readonly (string | undefined)[] | undefined {
    return this.store?.spec.kind === 'keyValue' ? this.#ids.ofRows(set, from, to, serde) : undefined
  }

  /** A table's keys are never null. */
  of(record: StreamRecord<K, unknown>): string {
    const serde = this.#serde as Serde<unknown>
    if (this.store?.spec.kind === 'window' && isWindowed(serde)) {
      const { key, start } = record.key as Windowed<unknown>
      return windowId(start, latin1(serde.inner.encode(key)))
    }
    return this.#ids.of(record)!
  }
}
