/** The typed window store that user code sees, over a row store of windows. */
import { NO_HEADERS } from '../record.ts'
import { latin1, windowId, windowStart } from './bytes.ts'
import type { MaybePromise, Row, StoreSpec, WindowStore } from './port.ts'
import type { WindowRowStore } from './windowRows.ts'

const ID_KEY_AT = 8

/**
 * @param contextTimestamp event time of the record in hand, or stream time in a punctuator: the time of a put.
 * @param streamTime stream time of the task: windows with start ≤ stream time − retention are hidden, and puts to them dropped.
 */
export function windowFacade<K, V>(
  rows: WindowRowStore<unknown>,
  spec: StoreSpec<K, V>,
  contextTimestamp: () => number,
  streamTime: () => number
): WindowStore<K, V> {
  return new WindowFacade(rows as WindowRowStore<V>, spec, contextTimestamp, streamTime)
}

class WindowFacade<K, V> implements WindowStore<K, V> {
  readonly #rows: WindowRowStore<V>
  readonly #spec: StoreSpec<K, V>
  readonly #now: () => number
  readonly #streamTime: () => number

  constructor(rows: WindowRowStore<V>, spec: StoreSpec<K, V>, now: () => number, streamTime: () => number) {
    this.#rows = rows
    this.#spec = spec
    this.#now = now
    this.#streamTime = streamTime
  }

  put(key: K, value: V, start: number): MaybePromise<void> {
    if (start < this.#oldest()) return
    const row = this.#rows.row(this.#id(key, start))
    const timestamp = Math.max(0, this.#now())
    const set = (read: Row<V>): void => this.#rows.set(read, value, timestamp, NO_HEADERS)
    if (row instanceof Promise) return row.then(set)
    set(row)
  }

  fetch(key: K, start: number): MaybePromise<V | null> {
    if (start < this.#oldest()) return null
    const row = this.#rows.row(this.#id(key, start))
    return row instanceof Promise ? row.then((read) => read.value) : row.value
  }

  /** Scans the windows of all keys in that time: fetch by `fetch` where the starts are known. */
  async *fetchRange(key: K, from: number, to: number): AsyncGenerator<[start: number, V]> {
    const wanted = latin1(this.#spec.key.encode(key))
    for await (const row of this.#scan(from, to)) {
      if (row.id.length === ID_KEY_AT + wanted.length && row.id.endsWith(wanted)) {
        yield [windowStart(row.id), row.value]
      }
    }
  }

  async *all(from = 0, to = Number.MAX_SAFE_INTEGER): AsyncGenerator<[{ key: K; start: number }, V]> {
    for await (const row of this.#scan(from, to)) {
      const bytes = Buffer.from(row.id, 'latin1')
      const key = this.#spec.key.decode(bytes, ID_KEY_AT, bytes.length)
      yield [{ key, start: windowStart(row.id) }, row.value]
    }
  }

  /** Window starts in [from, to], without those past retention. */
  #scan(from: number, to: number) {
    const first = Math.max(from, this.#oldest(), 0)
    const behind = Math.max(first, Math.min(to, Number.MAX_SAFE_INTEGER - 1) + 1)
    return this.#rows.scan({ from: windowId(first, ''), to: windowId(behind, '') })
  }

  #oldest(): number {
    return Math.max(0, this.#rows.oldest(this.#streamTime()))
  }

  #id(key: K, start: number): string {
    return windowId(start, latin1(this.#spec.key.encode(key)))
  }
}
