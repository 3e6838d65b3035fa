/** Which key is to be looked at when: one mark a key and clock that counts, in a store of their own, in the order of time. */
import { TimeQueue } from '../operators/timeQueue.ts'
import type { Serde } from '../record.ts'
import { latin1, readInt64, writeInt64 } from '../store/bytes.ts'
import type { CachedRowStore } from '../store/cache/rowStore.ts'
import type { MaybePromise } from '../store/port.ts'
import { EVENT, storedMarks, type TimerClock, WALL } from './keyedRow.ts'

const scratch = Buffer.alloc(8) // used within one call only
const KEY_AT = 9
const FIRST = ['\x00', '\x01'] as const
const BEHIND = ['\x01', '\x02'] as const

/** clock(1) ‖ time(8) ‖ key: sorts by time, then by key. */
function markId(clock: TimerClock, time: number, key: string): string {
  writeInt64(scratch, time, 0)
  return FIRST[clock] + latin1(scratch) + key
}

/** The marks that a row says it has: the row is the truth, and the store of marks can be made from the rows. */
export function* markIds(key: Buffer, row: Buffer): Generator<string> {
  const marks = storedMarks(row)
  for (const clock of [EVENT, WALL] as const) if (marks[clock] >= 0) yield markId(clock, marks[clock], latin1(key))
}

const keyOf = (id: string): string => id.slice(KEY_AT)

function timeOf(id: string): number {
  scratch.write(id.slice(1, KEY_AT), 0, 'latin1')
  return readInt64(scratch, 0)
}

/** The value of a mark: it says nothing. */
const MARK = Object.freeze({})
export type Mark = typeof MARK
const EMPTY = Buffer.alloc(0)
export const markSerde: Serde<Mark> = { name: 'mark', encode: () => EMPTY, decode: () => MARK }

/** The marks of one clock. */
export class Marks {
  readonly #store: CachedRowStore<Mark>
  readonly #clock: TimerClock
  readonly #queue: TimeQueue
  /** No mark is earlier. Read per record, so it is a plain field; -1 = not known. */
  earliest = -1

  constructor(store: CachedRowStore<Mark>, clock: TimerClock = EVENT) {
    this.#store = store
    this.#clock = clock
    this.#queue = new TimeQueue(store, FIRST[clock], BEHIND[clock])
  }

  /** The first mark that is due at `time`. A promise only when marks must be read for the answer. */
  due(time: number): MaybePromise<{ readonly key: string; readonly due: number } | undefined> {
    const id = this.#queue.next(BEHIND[this.#clock])
    if (id instanceof Promise) return id.then(() => this.due(time))
    if (id === undefined) {
      this.earliest = Number.POSITIVE_INFINITY
      return undefined
    }
    const due = timeOf(id)
    this.earliest = due
    return due <= time ? { key: keyOf(id), due } : undefined
  }

  set(key: string, due: number): void {
    const id = markId(this.#clock, due, key)
    this.#store.set(this.#store.known(id, null), MARK, due, [])
    this.#queue.add(id)
    if (due < this.earliest) this.earliest = due
  }

  /**
   * The mark stays in the queue when it is not the first: whoever meets it there finds that the key's row does not know it, and removes it
   * (once more, or because restore has left it).
   */
  remove(key: string, due: number): void {
    const id = markId(this.#clock, due, key)
    this.#store.set(this.#store.known(id, MARK), null, due, [])
  }

  /** Takes off what `due` gave. */
  shift(): void {
    this.#queue.shift()
  }
}
