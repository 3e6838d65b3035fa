/** The typed key-value store that user code sees, over a row store. */
import { NO_HEADERS } from '../record.ts'
import { latin1 } from './bytes.ts'
import type { CachedRowStore } from './cache/rowStore.ts'
import type { ScanRange } from './cache/scan.ts'
import type { KeyValueStore, MaybePromise, Row, StoreSpec } from './port.ts'

/**
 * @param contextTimestamp event time of the record in hand, or stream time in a punctuator: the default time of a put.
 * @throws EncodeError at the next commit when a value does not serialise; it names store and key.
 * @example const store = keyValueFacade(state.store('totals'), spec, () => context.timestamp)
 */
export function keyValueFacade<K, V>(
  rows: CachedRowStore<unknown>,
  spec: StoreSpec<K, V>,
  contextTimestamp: () => number
): KeyValueStore<K, V> {
  return new KeyValueFacade(rows as CachedRowStore<V>, spec, contextTimestamp)
}

class KeyValueFacade<K, V> implements KeyValueStore<K, V> {
  readonly #rows: CachedRowStore<V>
  readonly #spec: StoreSpec<K, V>
  readonly #now: () => number

  constructor(rows: CachedRowStore<V>, spec: StoreSpec<K, V>, now: () => number) {
    this.#rows = rows
    this.#spec = spec
    this.#now = now
  }

  get(key: K): MaybePromise<V | null> {
    const row = this.#rows.row(this.#id(key))
    return row instanceof Promise ? row.then((read) => read.value) : row.value
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
    const row = this.#rows.row(this.#id(key))
    const set = (read: Row<V>): void => this.#rows.set(read, value, Math.max(0, timestamp), NO_HEADERS)
    if (row instanceof Promise) return row.then(set)
    set(row)
  }

  #id(key: K): string {
    return latin1(this.#spec.key.encode(key))
  }

  async *#scan(range: ScanRange): AsyncGenerator<[K, V]> {
    for await (const row of this.#rows.scan(range)) {
      const bytes = Buffer.from(row.id, 'latin1')
      yield [this.#spec.key.decode(bytes, 0, bytes.length), row.value]
    }
  }
}
