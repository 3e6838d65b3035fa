/** The typed key-value store that user code sees, over a row store. */
import { NO_HEADERS } from '../record.ts'
import { latin1 } from './bytes.ts'
import type { CachedRowStore } from './cache/rowStore.ts'
import type { ScanRange } from './cache/scan.ts'
import type { KeyValueStore, MaybePromise, Row, StoreSpec } from './port.ts'

/** Whose rows live for a time: what the store must ask and tell. */
export interface RowLife {
  /** The life of a row of that time has ended: it is not seen any more. */
  over(timestamp: number): boolean
  /** A row was set; `before` is its former time, -1 when it is new. */
  kept(id: string, before: number, timestamp: number): void
}

/**
 * @param contextTimestamp event time of the record in hand, or stream time in a punctuator: the default time of a put.
 * @param life of a store with a time to live: rows past it are hidden, and puts of such times refused
 * @throws EncodeError at the next commit when a value does not serialise; it names store and key.
 * @example const store = keyValueFacade(state.store('totals'), spec, () => context.timestamp)
 */
export function keyValueFacade<K, V>(
  rows: CachedRowStore<unknown>,
  spec: StoreSpec<K, V>,
  contextTimestamp: () => number,
  life?: RowLife
): KeyValueStore<K, V> {
  return new KeyValueFacade(rows as CachedRowStore<V>, spec, contextTimestamp, life)
}

class KeyValueFacade<K, V> implements KeyValueStore<K, V> {
  readonly #rows: CachedRowStore<V>
  readonly #spec: StoreSpec<K, V>
  readonly #now: () => number
  readonly #life: RowLife | undefined

  constructor(rows: CachedRowStore<V>, spec: StoreSpec<K, V>, now: () => number, life: RowLife | undefined) {
    this.#life = life
    this.#rows = rows
    this.#spec = spec
    this.#now = now
  }

  get(key: K): MaybePromise<V | null> {
    const row = this.#rows.row(this.#id(key))
    return row instanceof Promise ? row.then((read) => this.#seen(read)) : this.#seen(row)
  }

  #seen(row: Row<V>): V | null {
    return row.value !== null && this.#life?.over(row.timestamp) ? null : row.value
  }

  put(key: K, value: V, timestamp: number = this.#now()): MaybePromise<void> {
    return this.#change(key, value, timestamp)
  }

  delete(key: K): MaybePromise<void> {
    return this.#change(key, null, this.#now())
  }

  range(from: K, to: K, options: { reverse?: boolean; limit?: number } = {}): AsyncIterable<[K, V]> {
    // `to` is included: the first id behind it is itself with one more zero byte.
    return this.#scan({ from: this.#id(from), to: `${this.#id(to)}\0`, ...options })
  }

  all(): AsyncIterable<[K, V]> {
    return this.#scan({ from: '', to: undefined })
  }

  #change(key: K, value: V | null, timestamp: number): MaybePromise<void> {
    const time = Math.max(0, timestamp)
    if (value !== null && this.#life?.over(time)) return
    const row = this.#rows.row(this.#id(key))
    const set = (read: Row<V>): void => {
      const before = read.value === null ? -1 : read.timestamp
      this.#rows.set(read, value, time, NO_HEADERS)
      if (value !== null) this.#life?.kept(read.id, before, time)
    }
    if (row instanceof Promise) return row.then(set)
    set(row)
  }

  #id(key: K): string {
    return latin1(this.#spec.key.encode(key))
  }

  async *#scan(range: ScanRange): AsyncGenerator<[K, V]> {
    const life = this.#life
    // Rows that are hidden do not count.
    let left = range.limit ?? Number.POSITIVE_INFINITY
    for await (const row of this.#rows.scan(life ? { ...range, limit: undefined } : range)) {
      if (life?.over(row.timestamp)) continue
      if (left-- <= 0) return
      const bytes = Buffer.from(row.id, 'latin1')
      yield [this.#spec.key.decode(bytes, 0, bytes.length), row.value]
    }
  }
}
