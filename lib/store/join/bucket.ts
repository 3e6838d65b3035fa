/** The records of one bucket of time in memory: their bytes in blocks that only grow, and those of a key in the order of time. */
import type { Serde } from '../../record.ts'
import { latin1, readInt64, writeInt64 } from '../bytes.ts'
import { hash } from '../hash.ts'
import type { Entry } from './entries.ts'
import { KeyTable } from './keyTable.ts'
import { ENTRY_HEAD, grown, Places } from './places.ts'

/** Room before each block for the time that a row of the database begins with: a block is written without being copied. */
export const BLOCK_HEAD = 8
const FIRST_CHUNK = 4 * 1024
/** Blocks are records of the changelog, too: well below what a broker takes. */
const LARGEST_CHUNK = 256 * 1024
const FIRST_ENTRIES = 32
const BYTES_PER_ENTRY = 21 // of the columns
/** Up to here a loop beats the call into C++. */
const SHORT_KEY = 32

/** Entries that were put one after the other: [from, to) of `bytes`, with `BLOCK_HEAD` bytes of room before them. */
export interface Block {
  readonly bytes: Buffer
  readonly from: number
  readonly to: number
  /** The highest time in it. */
  readonly time: number
}

export class Bucket<V> {
  readonly start: number
  /** Numbers of its blocks, of those that were taken, or read from the database. */
  readonly blocks: number[] = []
  /** Of those that the changelog has and the database not: as rows. */
  unwritten: { readonly number: number; readonly bytes: Buffer }[] = []
  /** Where the changelog stood at the commit before the first of them. */
  since: number | undefined
  /** Memory that it is held to use. */
  bytes = 0
  /** Some entries are in no block yet that was taken. */
  touched = false
  /** Forgotten, or made into rows. */
  gone = false
  readonly #value: Serde<V>
  readonly #places = new Places()
  readonly #last = new KeyTable(this.#places) // key → its entry of the highest time, the last to come of several
  #chunk = Buffer.alloc(0)
  #at = 0
  #blockFrom = 0
  #blockTime = -1
  #closed: Block[] = [] // full, and not taken yet
  // A column each, by the number of the entry.
  #count = 0
  #times = new Float64Array(0)
  #before = new Int32Array(0) // the key's entry before this one in the order of time, or -1
  #open = new Uint8Array(0)

  constructor(start: number, value: Serde<V>) {
    this.start = start
    this.#value = value
  }

  /** Copies [start, end) of `value` in. */
  put(key: string, time: number, open: boolean, value: Buffer, start: number, end: number): void {
    const keyLength = key.length
    const size = ENTRY_HEAD + keyLength + end - start
    if (this.#at + size > this.#chunk.length) this.#next(size)
    const bytes = this.#chunk
    let at = this.#at
    this.#index(key, time, open, this.#places.chunks.length - 1, at)
    writeInt64(bytes, time, at)
    bytes.writeInt32LE(keyLength, at + 8)
    bytes.writeInt32LE(end - start, at + 12)
    at += ENTRY_HEAD
    if (keyLength <= SHORT_KEY) for (let i = 0; i < keyLength; i++) bytes[at + i] = key.charCodeAt(i)
    else bytes.write(key, at, 'latin1')
    value.copy(bytes, at + keyLength, start, end)
    this.#at += size
    this.touched = true
    if (time > this.#blockTime) this.#blockTime = time
  }

  /** What was put since the last call. The bytes do not change any more. */
  take(): Block[] {
    this.#close()
    const blocks = this.#closed
    this.#closed = []
    this.touched = false
    return blocks
  }

  /** A block that the database has: [from, to) of `bytes`, which is kept. Whether an entry waits for a partner is not known: it may. */
  adopt(bytes: Buffer, from: number, to: number): void {
    this.#places.chunks.push(bytes)
    this.bytes += bytes.length
    const chunk = this.#places.chunks.length - 1
    for (let at = from; at < to; ) {
      const keyAt = at + ENTRY_HEAD
      const valueAt = keyAt + bytes.readInt32LE(at + 8)
      this.#index(latin1(bytes, keyAt, valueAt), readInt64(bytes, at), true, chunk, at)
      at = valueAt + bytes.readInt32LE(at + 12)
    }
    this.#chunk = Buffer.alloc(0) // what comes goes into a chunk of its own
    this.#at = this.#blockFrom = 0
  }

  /** Adds the key's entries of [from, to] to `found`, in the order of time, equal times in the order of arrival. */
  collect(key: string, from: number, to: number, found: Entry<V>[] | undefined): Entry<V>[] | undefined {
    let mine: Entry<V>[] | undefined
    for (let i = this.#last.get(key); i >= 0 && this.#times[i]! >= from; i = this.#before[i]!) {
      const time = this.#times[i]!
      if (time > to) continue
      mine ??= []
      mine.push(this.#entry(i, time))
    }
    if (mine === undefined) return found
    mine.reverse()
    return found === undefined ? mine : found.concat(mine)
  }

  /** Whether one of that very time may wait for a partner. */
  hasOpen(key: string, time: number): boolean {
    for (let i = this.#last.get(key); i >= 0 && this.#times[i]! >= time; i = this.#before[i]!) {
      if (this.#times[i] === time && this.#open[i] === 1) return true
    }
    return false
  }

  /** All of that time have found a partner, or none of them has. */
  setOpen(key: string, time: number, open: boolean): void {
    for (let i = this.#last.get(key); i >= 0 && this.#times[i]! >= time; i = this.#before[i]!) {
      if (this.#times[i] === time) this.#open[i] = open ? 1 : 0
    }
  }

  *keys(): Generator<string> {
    for (let i = 0; i < this.#count; i++) if (this.#before[i] === -1) yield this.#places.key(i)
  }

  #entry(i: number, time: number): Entry<V> {
    const bytes = this.#places.chunk(i)
    const at = this.#places.offset(i)
    const valueAt = at + ENTRY_HEAD + bytes.readInt32LE(at + 8)
    const value = this.#value.decode(bytes, valueAt, valueAt + bytes.readInt32LE(at + 12))
    return { timestamp: time, value, open: this.#open[i] === 1 }
  }

  #index(key: string, time: number, open: boolean, chunk: number, offset: number): void {
    if (this.#count === this.#times.length) this.#widen()
    if (this.#last.full) this.bytes += this.#last.grow()
    const i = this.#count++
    const h = hash(key)
    const slot = this.#last.slot(key, h)
    const last = this.#last.entry(slot)
    this.#times[i] = time
    if (last < 0 || this.#times[last]! <= time) {
      this.#before[i] = last
      if (last < 0) this.#last.add(slot, h, i)
      else this.#last.replace(slot, i)
    } else {
      let later = last
      for (let at = this.#before[later]!; at >= 0 && this.#times[at]! > time; at = this.#before[later]!) later = at
      this.#before[i] = this.#before[later]!
      this.#before[later] = i
    }
    this.#places.set(i, chunk, offset)
    this.#open[i] = open ? 1 : 0
  }

  #widen(): void {
    const length = Math.max(FIRST_ENTRIES, this.#times.length * 2)
    this.bytes += (length - this.#times.length) * BYTES_PER_ENTRY
    this.#times = grown(this.#times, new Float64Array(length))
    this.#before = grown(this.#before, new Int32Array(length))
    this.#places.widen(length)
    this.#open = grown(this.#open, new Uint8Array(length))
  }

  /** Ends the block in hand, and leaves room for the head of the next. */
  #close(): void {
    if (this.#at > this.#blockFrom) {
      this.#closed.push({ bytes: this.#chunk, from: this.#blockFrom, to: this.#at, time: this.#blockTime })
    }
    this.#at += BLOCK_HEAD
    this.#blockFrom = this.#at
    this.#blockTime = -1
  }

  #next(size: number): void {
    this.#close()
    const length = Math.max(BLOCK_HEAD + size, Math.min(LARGEST_CHUNK, Math.max(FIRST_CHUNK, this.#chunk.length * 2)))
    this.#chunk = Buffer.allocUnsafeSlow(length)
    this.#places.chunks.push(this.#chunk)
    this.bytes += length
    this.#at = this.#blockFrom = BLOCK_HEAD
  }
}
