/** RocksDB through the older binding `rocksdb` 5.2.1: for Node 20 only, and only when asked for. */
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ConfigError } from '../../errors.ts'
import { Gate } from '../gate.ts'
import { makeDirectory } from '../makeDirectory.ts'
import type { Database, DatabaseDriver, WriteBatch } from '../port.ts'
import { callFault, loadFault, openFault } from './faults.ts'

type Callback<T = void> = (error: Error | null | undefined, value: T) => void

type Operation = { type: 'put'; key: Buffer; value: Buffer } | { type: 'del'; key: Buffer }

interface ClassicIterator {
  next(callback: (error: Error | null | undefined, key?: Buffer, value?: Buffer) => void): void
  end(callback: Callback): void
}

interface ClassicDb {
  open(options: Record<string, unknown>, callback: Callback): void
  close(callback: Callback): void
  getMany(keys: readonly Buffer[], options: { asBuffer: true }, callback: Callback<(Buffer | undefined)[]>): void
  batch(operations: Operation[], callback: Callback): void
  iterator(options: Record<string, unknown>): ClassicIterator
}

type ClassicModule = new (directory: string) => ClassicDb

const CHUNK = 1_000

export const classicDriver: DatabaseDriver = {
  name: 'rocksdb',
  durable: true,
  async open(directory) {
    const RocksDB = await loadClassic(process.versions.node)
    await makeDirectory(dirname(directory))
    const db = new RocksDB(directory)
    try {
      await called((done) => db.open({ createIfMissing: true, writeBufferSize: 16 << 20 }, done))
    } catch (cause) {
      throw openFault(cause, directory)
    }
    return new ClassicDatabase(directory, db)
  },
  async destroy(directory) {
    await rm(directory, { recursive: true, force: true })
  }
}

/**
 * @throws ConfigError ERR_BINDING on Node 22 and later, where this binding aborts the whole process (std::bad_alloc) when it opens a
 * database: it must not even be tried. Also when the package is not installed, which is allowed: it is an optional dependency.
 */
export async function loadClassic(node: string): Promise<ClassicModule> {
  if (Number(node.split('.')[0]) >= 22) {
    throw new ConfigError(
      `The store binding "rocksdb" works on Node 20 only and would abort the process on Node ${node}. Use "rocksdb-native" (the default), or "memory".`,
      { code: 'ERR_BINDING', details: { binding: 'rocksdb', node } }
    )
  }
  try {
    return (await import('rocksdb' as string)).default as ClassicModule
  } catch (cause) {
    throw loadFault(cause, 'rocksdb', 'rocksdb-native')
  }
}

const called = <T>(start: (done: Callback<T>) => void): Promise<T> =>
  new Promise((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value))))

class ClassicDatabase implements Database {
  readonly #directory: string
  readonly #db: ClassicDb
  readonly #gate: Gate
  readonly #scans = new Set<ClassicIterator>() // begun and not ended
  #closed: Promise<void> | undefined

  constructor(directory: string, db: ClassicDb) {
    this.#directory = directory
    this.#db = db
    this.#gate = new Gate(directory)
  }

  async get(key: Buffer): Promise<Buffer | null> {
    return (await this.getMany([key]))[0]!
  }

  getMany(keys: Buffer[]): Promise<(Buffer | null)[]> {
    return this.#call(async () => {
      if (keys.length === 0) return []
      const values = await called<(Buffer | undefined)[]>((done) => this.#db.getMany(keys, { asBuffer: true }, done))
      return values.map((value) => value ?? null)
    })
  }

  /** One iterator for the whole scan, over an implicit snapshot. */
  async *range(options: {
    from: Buffer
    to: Buffer
    reverse?: boolean
    limit?: number
  }): AsyncGenerator<(readonly [Buffer, Buffer])[]> {
    const { from, to, reverse = false, limit = -1 } = options
    this.#gate.enter()
    this.#gate.leave()
    if (limit === 0 || from.compare(to) >= 0) return
    const scan = this.#db.iterator({ gte: from, lt: to, reverse, limit, highWaterMark: 256 << 10 })
    this.#scans.add(scan)
    try {
      for (let ended = false; !ended; ) {
        const chunk: (readonly [Buffer, Buffer])[] = []
        // Inside the gate only while it reads: a consumer that stops for good must not hold up a close.
        await this.#call(async () => {
          while (chunk.length < CHUNK && !ended) {
            const row = await next(scan)
            if (row) chunk.push(row)
            else ended = true
          }
        })
        if (chunk.length > 0) yield chunk
      }
    } finally {
      // A close that came in between has ended it.
      if (this.#scans.delete(scan)) await called((done) => scan.end(done))
    }
  }

  async write(fill: (batch: WriteBatch) => void): Promise<void> {
    const batch = new ClassicBatch()
    fill(batch)
    await this.#call(async () => {
      const operations = batch.ranged ? await this.#expand(batch.operations) : (batch.operations as Operation[])
      if (operations.length > 0) await called((done) => this.#db.batch(operations, done))
    })
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.#gate.shut()
    for (const scan of this.#scans) await called((done) => scan.end(done))
    this.#scans.clear()
    await called((done) => this.#db.close(done))
  }

  /**
   * This binding has no range delete: the keys in the range, those in the database and those put earlier in this batch, are
   * deleted one by one within the same batch. The task is the only writer, so none can appear in between.
   */
  async #expand(operations: readonly (Operation | Range)[]): Promise<Operation[]> {
    const expanded: Operation[] = []
    for (const operation of operations) {
      if (operation.type !== 'range') {
        expanded.push(operation)
        continue
      }
      const { from, to } = operation
      const inside = (key: Buffer): boolean => key.compare(from) >= 0 && key.compare(to) < 0
      for (const { type, key } of [...expanded]) if (type === 'put' && inside(key)) expanded.push({ type: 'del', key })
      if (from.compare(to) >= 0) continue
      const scan = this.#db.iterator({ gte: from, lt: to, values: false, limit: -1 })
      try {
        for (let row = await next(scan); row; row = await next(scan)) expanded.push({ type: 'del', key: row[0] })
      } finally {
        await called((done) => scan.end(done))
      }
    }
    return expanded
  }

  async #call<T>(run: () => Promise<T>): Promise<T> {
    this.#gate.enter()
    try {
      return await run()
    } catch (cause) {
      throw callFault(cause, this.#directory)
    } finally {
      this.#gate.leave()
    }
  }
}

const next = (scan: ClassicIterator): Promise<readonly [Buffer, Buffer] | undefined> =>
  new Promise((resolve, reject) =>
    scan.next((error, key, value) => {
      if (error) reject(error)
      else resolve(key === undefined ? undefined : [key, value!])
    })
  )

interface Range {
  readonly type: 'range'
  readonly from: Buffer
  readonly to: Buffer
}

class ClassicBatch implements WriteBatch {
  readonly operations: (Operation | Range)[] = []
  ranged = false

  put(key: Buffer, value: Buffer): void {
    this.operations.push({ type: 'put', key, value })
  }

  putRow(rows: Buffer, start: number, split: number, end: number): void {
    this.put(rows.subarray(start, split), rows.subarray(split, end))
  }

  delete(key: Buffer): void {
    this.operations.push({ type: 'del', key })
  }

  deleteRange(from: Buffer, to: Buffer): void {
    this.operations.push({ type: 'range', from, to })
    this.ranged = true
  }
}
