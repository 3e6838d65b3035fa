/** Row ids of records: a key's bytes as latin1 text, read where they lie, without decoding the key. */
import type { RecordSet, Serde, StreamRecord } from '../record.ts'
import { latin1 } from '../serde/slices.ts'

/** Ids under one key serde. Remembers those of the last prefetched rows, so that each key is sliced once. */
export class RowIds<K> {
  readonly serde: Serde<K>
  #set: RecordSet | undefined // owned here: the set of the last prefetch
  #from = 0
  #ids: (string | undefined)[] = []
  #scratch = Buffer.allocUnsafe(256)

  constructor(serde: Serde<K>) {
    this.serde = serde
  }

  /** The ids of rows [from, to), undefined where the key is null; undefined when the keys are not of this serde. */
  ofRows(set: RecordSet, from: number, to: number, serde: Serde<unknown>): readonly (string | undefined)[] | undefined {
    if (serde !== (this.serde as Serde<unknown>)) return undefined
    const ids = new Array<string | undefined>(to - from)
    for (let row = from; row < to; row++) {
      const end = set.keyEnd[row]!
      ids[row - from] = end < 0 ? undefined : latin1(set.bytes, set.keyStart[row]!, end)
    }
    this.#set = set
    this.#from = from
    this.#ids = ids
    return ids
  }

  /** Where the record stands among the last prefetched rows; -1 when it is none of them, or has another key by now. */
  indexOf(record: StreamRecord<K, unknown>): number {
    if (this.#set === undefined || record.rawKey(this.serde) !== this.#set) return -1
    const index = record._row - this.#from
    return index >= 0 && index < this.#ids.length ? index : -1
  }

  /** undefined = null key. */
  of(record: StreamRecord<K, unknown>): string | undefined {
    const set = record.rawKey(this.serde)
    if (set !== undefined) {
      const row = record._row
      if (set === this.#set && row >= this.#from && row - this.#from < this.#ids.length)
        return this.#ids[row - this.#from]
      const end = set.keyEnd[row]!
      return end < 0 ? undefined : latin1(set.bytes, set.keyStart[row]!, end)
    }
    const key = record.key
    return key == null ? undefined : this.id(key)
  }

  /** Of a key in hand. */
  id(key: K): string {
    const bytes = this.serde.encode(key)
    return latin1(bytes, 0, bytes.length)
  }

  /** The key again, from an id or the part of it that starts at `from`. */
  key(id: string, from = 0): K {
    const length = id.length - from
    if (length > this.#scratch.length) this.#scratch = Buffer.allocUnsafe(length * 2)
    this.#scratch.write(from === 0 ? id : id.slice(from), 0, 'latin1')
    return this.serde.decode(this.#scratch, 0, length)
  }
}
