/** What waits in a store in the order of its ids (which begin with a time): the next ones at hand without a scan per record. */
import type { ScanRange } from '../store/cache/scan.ts'
import type { MaybePromise } from '../store/port.ts'

/** Ids of one scan. */
const CHUNK = 1024
/** More than this many at hand, and the latest are forgotten again: they are in the store. */
const MOST = 8 * CHUNK

/** What it needs of a row store. */
export interface OrderedRows {
  scan(range: ScanRange): AsyncIterable<{ readonly id: string; readonly value?: unknown }>
  prefetch(ids: Iterable<string>): MaybePromise<void>
}

/** Where what waits is within rows: for stores that keep several of them in a row. */
export interface Spread {
  /** The ids in a row, in any order. */
  ids(row: string, value: unknown): Iterable<string>
  /** A bound for rows: an id is in no row below it, and no id of a row at or above it is below it. */
  rowOf(id: string): string
}

/**
 * Holds the lowest ids of a range of the store in memory, all those below a bound; what lies above is read, a chunk at a time, when
 * time gets there. The store is the truth: whoever adds or removes an id sets or deletes its row.
 */
export class TimeQueue {
  readonly #store: OrderedRows
  readonly #to: string | undefined
  readonly #spread: Spread | undefined
  #bound: string | undefined // ids from here on are in the store only; undefined = there are none
  #ids: string[] = []
  #head = 0

  /**
   * @param to first id behind the range; undefined = the end of the store
   * @param spread left out where each row is one id
   */
  constructor(store: OrderedRows, from: string, to: string | undefined, spread?: Spread) {
    this.#store = store
    this.#bound = from
    this.#to = to
    this.#spread = spread
  }

  /** The lowest id if it is below `limit`. A promise only when a chunk must be read for the answer. */
  next(limit: string): MaybePromise<string | undefined> {
    const id = this.#ids[this.#head]
    if (id !== undefined) return id < limit ? id : undefined
    if (this.#bound === undefined || this.#bound >= limit) return undefined
    return this.#load().then(() => this.next(limit))
  }

  /** Whether the id waits; undefined when that is known to the store only. */
  has(id: string): boolean | undefined {
    if (this.#bound !== undefined && id >= this.#bound) return undefined
    return this.#ids[this.#find(id)] === id
  }

  /** Takes the lowest id off. */
  shift(): void {
    this.#head++
    if (this.#head < CHUNK || this.#head * 2 < this.#ids.length) return
    this.#ids.splice(0, this.#head)
    this.#head = 0
  }

  add(id: string): void {
    if (this.#bound !== undefined && id >= this.#bound) return
    const ids = this.#ids
    if (ids.length === this.#head || id > ids[ids.length - 1]!) ids.push(id)
    else {
      const at = this.#find(id)
      if (ids[at] === id) return
      ids.splice(at, 0, id)
    }
    if (ids.length - this.#head <= MOST) return
    this.#forget(this.#head + MOST / 2)
  }

  remove(id: string): void {
    const at = this.#find(id)
    if (this.#ids[at] === id) this.#ids.splice(at, 1)
  }

  /** Index of the id, or where it would stand. */
  #find(id: string): number {
    let low = this.#head
    let high = this.#ids.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ids[middle]! < id) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Cuts the list at about `at`. */
  #forget(at: number): void {
    const ids = this.#ids
    const bound = this.#spread ? this.#spread.rowOf(ids[at]!) : ids[at]!
    let keep = at
    while (keep > this.#head && ids[keep - 1]! >= bound) keep--
    if (keep === this.#head) return // all of one row, or of rows that lie side by side
    this.#bound = bound
    ids.length = keep
  }

  async #load(): Promise<void> {
    if (this.#spread) return this.#loadSpread(this.#spread)
    const ids: string[] = []
    for await (const { id } of this.#store.scan({ from: this.#bound!, to: this.#to, limit: CHUNK })) ids.push(id)
    this.#ids = ids
    this.#head = 0
    this.#bound = ids.length < CHUNK ? undefined : `${ids[ids.length - 1]!}\0`
    // Their rows are wanted next, one by one.
    await this.#store.prefetch(ids)
  }

  /** Whole rows, up to a bound of rows: their ids lie among each other. */
  async #loadSpread({ ids: idsOf, rowOf }: Spread): Promise<void> {
    const ids: string[] = []
    let bound: string | undefined
    let last = ''
    for await (const { id, value } of this.#store.scan({ from: this.#bound!, to: this.#to })) {
      const row = rowOf(id)
      if (ids.length >= CHUNK && row !== last) {
        bound = row
        break
      }
      last = row
      for (const one of idsOf(id, value)) ids.push(one)
    }
    this.#ids = ids.sort()
    this.#head = 0
    this.#bound = bound
  }
}
