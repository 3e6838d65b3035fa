/** Rows of a key-value store that live for a time: they leave when stream time has passed their own time by it. */
import { NO_HEADERS, type Serde } from '../record.ts'
import { latin1, windowId, windowStart } from '../store/bytes.ts'
import type { CachedRowStore } from '../store/cache/rowStore.ts'
import type { RowLife } from '../store/keyValue.ts'
import { expiryName, type MaybePromise, type Row, type RowStore, type StoreIndex } from '../store/port.ts'
import type { OperatorContext } from '../topology/node.ts'
import { TimeQueue } from './timeQueue.ts'

/** Rows that one step of stream time removes at most; a jump over more is worked off with the records after it. */
const MOST = 10_000
const MARK_KEY_AT = 8

/** Marks have no value: their id says it all. */
export const markSerde: Serde<true> = { name: 'mark', encode: () => Buffer.alloc(0), decode: () => true }

/** The mark of a row as it is stored: when its life ends. */
export const expiryIds =
  (ttlMs: number): StoreIndex['ids'] =>
  (key, _value, timestamp) => [windowId(timestamp + ttlMs, latin1(key))]

const shared = new WeakMap<object, Expiry<unknown>>()

type Gone<V> = (row: Row<V>, old: V) => MaybePromise<void>

/**
 * Beside the rows lies a store of marks in the order of time, one for each key (some more after a restore): no row's life ends before the mark of its key.
 * When time gets to a mark, the row is looked at; if it was renewed since, the mark moves to where its life ends now. So an update costs
 * nothing, and a key is looked at once per life.
 */
export class Expiry<V> implements RowLife {
  readonly #rows: RowStore<V>
  readonly #marks: CachedRowStore<true>
  readonly #queue: TimeQueue
  readonly #ttl: number
  readonly #gone: Gone<V> | undefined
  #time: number
  #more = true // there may be marks of times that have passed

  /**
   * Of a store with a time to live; undefined for others.
   * @param gone called for each row that has left
   */
  static of<V>(context: Pick<OperatorContext, 'store'>, rows: RowStore<V>, time: number, gone?: Gone<V>) {
    const { ttlMs, name } = rows.spec
    if (ttlMs === undefined) return undefined
    return new Expiry(rows, context.store(expiryName(name)) as unknown as CachedRowStore<true>, ttlMs, time, gone)
  }

  /** One for all nodes of a task that use the store. */
  static shared(context: Pick<OperatorContext, 'store'>, rows: RowStore<unknown>): Expiry<unknown> {
    const known = shared.get(rows)
    if (known) return known
    const made = Expiry.of(context, rows, -1)!
    shared.set(rows, made)
    return made
  }

  private constructor(rows: RowStore<V>, marks: CachedRowStore<true>, ttl: number, time: number, gone?: Gone<V>) {
    this.#rows = rows
    this.#marks = marks
    this.#queue = new TimeQueue(marks, '', undefined)
    this.#ttl = ttl
    this.#time = time
    this.#gone = gone
  }

  /** Highest time observed, ms; -1 before. */
  get time(): number {
    return this.#time
  }

  /** Stream time is at least this: rows whose life is over leave. */
  observe(time: number): MaybePromise<void> {
    if (time > this.#time) this.#time = time
    else if (!this.#more) return
    this.#more = true
    return this.#sweep(MOST)
  }

  /** The life of a row of that time has ended. */
  over(timestamp: number): boolean {
    return timestamp + this.#ttl <= this.#time
  }

  /** A row was set. @param before its time until then; -1 = there was none */
  kept(id: string, before: number, timestamp: number): void {
    if (before < 0 || timestamp < before) this.#mark(id, timestamp + this.#ttl)
  }

  /** Removes a row whose life is over, before its mark has come up. */
  remove(row: Row<V>): MaybePromise<void> {
    const old = row.value
    if (old === null) return
    this.#rows.set(row, null, row.timestamp + this.#ttl, NO_HEADERS)
    return this.#gone?.(row, old)
  }

  #sweep(left: number): MaybePromise<void> {
    const limit = windowId(this.#time + 1, '')
    for (; left > 0; left--) {
      const id = this.#queue.next(limit)
      if (id instanceof Promise) return id.then(() => this.#sweep(left))
      if (id === undefined) {
        this.#more = false
        return
      }
      this.#queue.shift()
      this.#marks.set(this.#marks.known(id, true), null, this.#time, NO_HEADERS)
      const row = this.#rows.row(id.slice(MARK_KEY_AT))
      const looked = row instanceof Promise ? row.then((r) => this.#look(r, id)) : this.#look(row, id)
      if (looked !== undefined) return looked.then(() => this.#sweep(left - 1))
    }
  }

  /** A row that was renewed leaves in its turn, even if that has come too: rows leave in the order of their ends. */
  #look(row: Row<V>, mark: string): MaybePromise<void> {
    if (row.value === null) return
    const end = row.timestamp + this.#ttl
    if (end > windowStart(mark)) return this.#mark(row.id, end)
    return this.remove(row)
  }

  #mark(key: string, time: number): void {
    const id = windowId(time, key)
    this.#marks.set(this.#marks.known(id, null), true, time, NO_HEADERS)
    this.#queue.add(id)
  }
}
