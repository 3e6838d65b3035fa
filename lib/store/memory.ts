/** The database in memory: same order and same answers as RocksDB, at once; nothing survives a close. */
import { resolve } from 'node:path'
import { StateDirectoryError } from '../errors.ts'
import { latin1 } from './bytes.ts'
import { Gate } from './gate.ts'
import type { Database, DatabaseDriver, WriteBatch } from './port.ts'

const CHUNK = 1_000
const open = new Set<string>() // directories open in this process

/**
 * State in memory: for tests, the playground, and jobs that would rather replay the changelog than keep files. Every start
 * restores from the beginning of the changelog.
 */
export const memoryDriver: DatabaseDriver = {
  name: 'memory',
  durable: false,
  async open(directory) {
    const path = resolve(directory)
    if (open.has(path)) {
      throw new StateDirectoryError(
        `The database ${path} is open in this process already. Close the task that holds it, or give the runtimes different state directories.`,
        { details: { directory: path } }
      )
    }
    open.add(path)
    return new MemoryDatabase(path)
  },
  async destroy() {}
}

/**
 * Keys and values are latin1 text: one Map lookup per read, and text sorts as its bytes do. The sorted index is built when a
 * scan asks for it and kept by merging what was added since: point reads and writes never pay for order.
 */
class MemoryDatabase implements Database {
  readonly #directory: string
  readonly #gate: Gate
  readonly #rows = new Map<string, string>()
  #sorted: string[] = [] // may hold keys deleted since; a scan skips them
  #added: string[] = [] // new keys that are not in #sorted yet
  #stale = 0 // keys in #sorted that were deleted

  constructor(directory: string) {
    this.#directory = directory
    this.#gate = new Gate(directory)
  }

  get(key: Buffer): Buffer | null {
    this.#check()
    return bytes(this.#rows.get(latin1(key)))
  }

  getMany(keys: Buffer[]): (Buffer | null)[] {
    this.#check()
    const values = new Array<Buffer | null>(keys.length)
    for (let i = 0; i < keys.length; i++) values[i] = bytes(this.#rows.get(latin1(keys[i]!)))
    return values
  }

  /** The scan sees the rows as they are at its first step: later writes do not disturb it. */
  async *range(options: {
    from: Buffer
    to: Buffer
    reverse?: boolean
    limit?: number
  }): AsyncGenerator<(readonly [Buffer, Buffer])[]> {
    this.#check()
    const { rows, keys } = this.#select(options)
    for (let at = 0; at < keys.length; at += CHUNK) {
      this.#check()
      const chunk: (readonly [Buffer, Buffer])[] = []
      for (let i = at; i < Math.min(at + CHUNK, keys.length); i++) chunk.push([bytes(keys[i])!, bytes(rows[i])!])
      yield chunk
    }
  }

  async write(fill: (batch: WriteBatch) => void): Promise<void> {
    this.#check()
    const batch = new MemoryBatch()
    fill(batch) // a throw in here leaves everything as it was
    const { keys, values } = batch
    for (let i = 0; i < keys.length; i++) {
      const value = values[i]
      if (typeof value === 'string') this.#put(keys[i]!, value)
      else if (value === null) this.#delete(keys[i]!)
      else this.#deleteRange(keys[i]!, value!.to)
    }
  }

  async close(): Promise<void> {
    if (this.#gate.closed) return
    await this.#gate.shut()
    this.#rows.clear()
    this.#sorted = []
    this.#added = []
    open.delete(this.#directory)
  }

  #check(): void {
    this.#gate.enter()
    this.#gate.leave() // every call answers at once
  }

  #put(key: string, value: string): void {
    const before = this.#rows.size
    this.#rows.set(key, value)
    if (this.#rows.size !== before) this.#added.push(key)
  }

  #delete(key: string): void {
    if (this.#rows.delete(key)) this.#stale++
  }

  #deleteRange(from: string, to: string): void {
    const keys = this.#index()
    for (let i = lowerBound(keys, from); i < keys.length && keys[i]! < to; i++) this.#delete(keys[i]!)
  }

  #select(options: { from: Buffer; to: Buffer; reverse?: boolean; limit?: number }): {
    keys: string[]
    rows: string[]
  } {
    const index = this.#index()
    const from = lowerBound(index, latin1(options.from))
    const to = Math.max(from, lowerBound(index, latin1(options.to)))
    const limit = options.limit ?? Number.POSITIVE_INFINITY
    const keys: string[] = []
    const rows: string[] = []
    for (let i = 0; i < to - from && keys.length < limit; i++) {
      const key = index[options.reverse ? to - 1 - i : from + i]!
      const value = this.#rows.get(key)
      if (value === undefined) continue
      keys.push(key)
      rows.push(value)
    }
    return { keys, rows }
  }

  #index(): string[] {
    if (this.#added.length > 0) {
      // A key deleted and written again stands in both lists: the merge drops doubles, the Map tells what lives.
      this.#sorted = merge(this.#sorted, this.#added.sort())
      this.#added = []
    }
    if (this.#stale > this.#rows.size + CHUNK) {
      this.#sorted = this.#sorted.filter((key) => this.#rows.has(key))
      this.#stale = 0
    }
    return this.#sorted
  }
}

/** One list of operations in order: value text = put, null = delete, `to` = delete range. Bytes become text, so nothing is kept alive. */
class MemoryBatch implements WriteBatch {
  readonly keys: string[] = []
  readonly values: (string | null | { to: string })[] = []

  put(key: Buffer, value: Buffer): void {
    this.keys.push(latin1(key))
    this.values.push(latin1(value))
  }

  putRow(rows: Buffer, start: number, split: number, end: number): void {
    this.keys.push(latin1(rows, start, split))
    this.values.push(latin1(rows, split, end))
  }

  delete(key: Buffer): void {
    this.keys.push(latin1(key))
    this.values.push(null)
  }

  deleteRange(from: Buffer, to: Buffer): void {
    this.keys.push(latin1(from))
    this.values.push({ to: latin1(to) })
  }
}

const bytes = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text, 'latin1'))

/** The first position whose key is not below `key`. */
function lowerBound(keys: string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}

/** Two sorted lists as one, each key once. */
function merge(a: string[], b: string[]): string[] {
  const merged: string[] = []
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    const next = j >= b.length || (i < a.length && a[i]! <= b[j]!) ? a[i++]! : b[j++]!
    if (merged[merged.length - 1] !== next) merged.push(next)
  }
  return merged
}
