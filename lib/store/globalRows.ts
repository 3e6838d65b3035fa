/** The rows of a global table as tasks read them: a bounded cache over the process's one copy. Only the follower of its topic writes. */
import { DecodeError } from '../errors.ts'
import type { RecordSet } from '../record.ts'
import { latin1, localKey, ROW_VALUE_AT, readInt64, rowBytes, storeEnd } from './bytes.ts'
import { type Evictor, enrol, resign, shrink } from './cache/budget.ts'
import { CachedRow } from './cache/row.ts'
import { mergeScan, type Scanned, type ScanRange } from './cache/scan.ts'
import type { CacheBudget, Database, MaybePromise, ReadableStore, StoreSpec, WriteBatch } from './port.ts'

const ROW_OVERHEAD = 240
const HEAP_PER_BYTE = 1
/** Rows that the eviction may look at before a read. */
const STEPS = 20_000

/** A row as a join sees it; value null = there is none. */
export interface GlobalRow<V> {
  readonly value: V | null
  readonly timestamp: number
}

/**
 * A row is read when first asked for, and forgotten when a newer one is in the database. The race: a read that was begun before that write may end
 * behind it with the older value. Whoever asked gets it (it was the row when he asked), but the row's object is out of the cache by then, so the next
 * one who asks reads anew.
 */
export class GlobalRows<V> implements Evictor {
  readonly spec: StoreSpec<unknown, V>
  readonly id: number
  readonly #database: Database
  readonly #budget: CacheBudget
  readonly #rows = new Map<string, CachedRow<V>>()
  #hand: IterableIterator<CachedRow<V>>
  #bytes = 0

  constructor(spec: StoreSpec<unknown, V>, id: number, database: Database, budget: CacheBudget) {
    this.spec = spec
    this.id = id
    this.#database = database
    this.#budget = budget
    this.#hand = this.#rows.values()
    enrol(budget, this)
  }

  get bytes(): number {
    return this.#bytes
  }

  row(id: string): MaybePromise<GlobalRow<V>> {
    const row = this.#rows.get(id)
    if (row === undefined) return this.#read(id)
    row.used = true
    return row.loading === undefined ? row : row.loading.then(() => row)
  }

  /** Rows by the order of their ids, as they are in the database at this call. */
  scan(range: ScanRange): AsyncGenerator<Scanned<V>> {
    const chunks = this.#database.range({
      from: localKey(this.id, range.from),
      to: range.to === undefined ? storeEnd(this.id) : localKey(this.id, range.to),
      ...(range.reverse ? { reverse: true } : {}),
      ...(range.limit === undefined ? {} : { limit: range.limit })
    })
    const decode = (key: Buffer, bytes: Buffer): Scanned<V> => {
      const id = latin1(key, 2)
      return { id, value: this.#decode(id, bytes), timestamp: readInt64(bytes, 0) }
    }
    return mergeScan([], chunks, decode, range)
  }

  /** Records of the topic into a batch; null keys are skipped, null values delete. */
  put(batch: WriteBatch, set: RecordSet): void {
    for (let i = 0; i < set.count; i++) {
      if (set.keyEnd[i]! < 0) continue
      const key = localKey(this.id, latin1(set.bytes, set.keyStart[i]!, set.keyEnd[i]!))
      const value = set.value(i)
      if (value === null) batch.delete(key)
      else batch.put(key, rowBytes(set.timestamps[i]!, value))
    }
  }

  /** The batch with this set is in the database. */
  written(set: RecordSet): void {
    for (let i = 0; i < set.count && this.#rows.size > 0; i++) {
      if (set.keyEnd[i]! < 0) continue
      const row = this.#rows.get(latin1(set.bytes, set.keyStart[i]!, set.keyEnd[i]!))
      if (row !== undefined) this.#drop(row)
    }
  }

  evict(bytes: number, steps: number): number {
    let freed = 0
    for (let left = Math.min(steps, this.#rows.size * 2 + 2); freed < bytes && left > 0; left--) {
      const next = this.#hand.next()
      if (next.done) this.#hand = this.#rows.values()
      else if (next.value.used) next.value.used = false
      else if (next.value.loading === undefined) freed += this.#drop(next.value)
    }
    return freed
  }

  clear(): void {
    for (const row of [...this.#rows.values()]) this.#drop(row)
  }

  /** `clear`, and the budget forgets this cache. */
  release(): void {
    this.clear()
    resign(this.#budget, this)
  }

  #read(id: string): MaybePromise<GlobalRow<V>> {
    if (this.#budget.used > this.#budget.limit) shrink(this.#budget, STEPS)
    const row = new CachedRow<V>(id, null, -1, ROW_OVERHEAD + id.length)
    this.#rows.set(id, row)
    this.#grow(row.size)
    try {
      const answer = this.#database.get(localKey(this.id, id))
      if (!(answer instanceof Promise)) {
        this.#fill(row, answer)
        return row
      }
      row.loading = answer.then(
        (bytes) => this.#fill(row, bytes),
        (error) => this.#failed(row, error)
      )
      return row.loading.then(() => row)
    } catch (error) {
      this.#failed(row, error)
    }
  }

  #fill(row: CachedRow<V>, bytes: Buffer | null): void {
    row.loading = undefined
    if (bytes === null) return // stays in the cache too: a key that is not there is asked for once
    try {
      row.value = this.#decode(row.id, bytes)
    } catch (error) {
      this.#failed(row, error)
    }
    row.timestamp = readInt64(bytes, 0)
    const more = HEAP_PER_BYTE * bytes.length
    row.size += more
    if (row.cached) this.#grow(more)
  }

  #failed(row: CachedRow<V>, error: unknown): never {
    this.#drop(row)
    throw error
  }

  #drop(row: CachedRow<V>): number {
    if (!row.cached) return 0
    row.cached = false
    this.#rows.delete(row.id)
    this.#grow(-row.size)
    return row.size
  }

  #grow(bytes: number): void {
    this.#bytes += bytes
    this.#budget.used += bytes
  }

  #decode(id: string, bytes: Buffer): V {
    try {
      return this.spec.value.decode(bytes, ROW_VALUE_AT, bytes.length)
    } catch (cause) {
      throw new DecodeError(
        `Global table "${this.spec.name}" holds a value for the key 0x${Buffer.from(id, 'latin1').toString('hex')} that does not decode as ${this.spec.value.name}. ` +
          `Give the table the serde that the topic's producer uses.`,
        { cause, details: { store: this.spec.name, serde: this.spec.value.name } }
      )
    }
  }
}

/** The typed face for user code: a global table is read only. */
export function globalFace<K, V>(rows: GlobalRows<V>): ReadableStore<K, V> {
  const serde = rows.spec.key as StoreSpec<K>['key']
  const idOf = (key: K): string => latin1(serde.encode(key))
  const scan = async function* (range: ScanRange): AsyncGenerator<[K, V]> {
    for await (const { id, value } of rows.scan(range)) {
      const bytes = Buffer.from(id, 'latin1')
      yield [serde.decode(bytes, 0, bytes.length), value]
    }
  }
  return {
    get(key) {
      const row = rows.row(idOf(key))
      return row instanceof Promise ? row.then(({ value }) => value) : row.value
    },
    range: (from, to, options = {}) => scan({ from: idOf(from), to: `${idOf(to)}\0`, ...options }),
    all: () => scan({ from: '', to: undefined })
  }
}
