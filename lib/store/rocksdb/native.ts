/** RocksDB through `rocksdb-native`: the default. Prebuilt for Linux, macOS and Windows, on every Node we support. */
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Gate } from '../gate.ts'
import { makeDirectory } from '../makeDirectory.ts'
import type { Database, DatabaseDriver, WriteBatch } from '../port.ts'
import { callFault, loadFault, openFault } from './faults.ts'
import {
  type AddPut,
  type NativeDb,
  type NativeIterator,
  type NativeModule,
  type NativeWriteBatch,
  putter,
  type ReadMany,
  reader
} from './nativeModule.ts'

/** Rows per step of a scan: a step costs some 50 µs whatever it brings. */
const CHUNK = 1_000

/** From here on a multi-get goes to two threads of the pool: a third faster with 10,000 keys; a fourth thread brought nothing. */
const SPLIT = 2_000

let loading: Promise<NativeModule> | undefined

export const nativeDriver: DatabaseDriver = {
  name: 'rocksdb-native',
  durable: true,
  load() {
    load().catch(() => {})
  },
  async open(directory) {
    const RocksDB = await load()
    await makeDirectory(dirname(directory))
    // Memtables: up to two a task. The default of 64 MiB each is a lot for hundreds of tasks; the cache above is the larger one. Below 8 MiB
    // joins cost more CPU than they save memory.
    const db = new RocksDB(directory, { writeBufferSize: 8 << 20, maxBackgroundJobs: 2 })
    try {
      await db.ready()
      return new NativeDatabase(directory, db, await reader(db))
    } catch (cause) {
      throw openFault(cause, directory)
    }
  },
  async destroy(directory) {
    await rm(directory, { recursive: true, force: true })
  }
}

/** @throws ConfigError ERR_BINDING when the module or a system library is missing. */
function load(): Promise<NativeModule> {
  loading ??= import('rocksdb-native' as string).then(
    (module) => module.default as NativeModule,
    (cause) => {
      loading = undefined
      throw loadFault(cause, 'rocksdb-native', 'rocksdb')
    }
  )
  return loading
}

class NativeDatabase implements Database {
  readonly #directory: string
  readonly #db: NativeDb
  readonly #readMany: ReadMany
  readonly #addPut: AddPut
  readonly #gate: Gate
  readonly #scans = new Set<NativeIterator>() // begun and not ended
  #closed: Promise<void> | undefined

  constructor(directory: string, db: NativeDb, readMany: ReadMany) {
    this.#directory = directory
    this.#db = db
    this.#readMany = readMany
    this.#addPut = putter(db)
    this.#gate = new Gate(directory)
  }

  async get(key: Buffer): Promise<Buffer | null> {
    return (await this.getMany([key]))[0]!
  }

  async getMany(keys: Buffer[]): Promise<(Buffer | null)[]> {
    this.#gate.enter()
    try {
      if (keys.length === 0) return []
      if (keys.length < SPLIT) return await this.#readMany(keys)
      const half = keys.length >>> 1
      const [first, second] = await Promise.all([this.#readMany(keys.slice(0, half)), this.#readMany(keys.slice(half))])
      return first.concat(second)
    } catch (cause) {
      throw callFault(cause, this.#directory)
    } finally {
      this.#gate.leave()
    }
  }

  /** One iterator for the whole scan: it sees the database as it was at the first step, whatever is written meanwhile. */
  async *range(options: {
    from: Buffer
    to: Buffer
    reverse?: boolean
    limit?: number
  }): AsyncGenerator<(readonly [Buffer, Buffer])[]> {
    const { from, to, reverse = false, limit = Number.POSITIVE_INFINITY } = options
    this.#gate.enter()
    this.#gate.leave()
    if (limit <= 0 || from.compare(to) >= 0) return
    const scan = this.#db.iterator({ gte: from, lt: to }, { reverse, limit, capacity: Math.min(CHUNK, limit) })
    this.#scans.add(scan)
    try {
      const rows = scan[Symbol.asyncIterator]()
      for (let ended = false; !ended; ) {
        const chunk: (readonly [Buffer, Buffer])[] = []
        // Inside the gate only while it reads: a consumer that stops for good must not hold up a close.
        this.#gate.enter()
        try {
          while (chunk.length < CHUNK) {
            const row = await rows.next()
            if (row.done) {
              ended = true
              break
            }
            chunk.push([row.value.key, row.value.value])
          }
        } catch (cause) {
          throw callFault(cause, this.#directory)
        } finally {
          this.#gate.leave()
        }
        if (chunk.length > 0) yield chunk
      }
    } finally {
      this.#scans.delete(scan)
      scan.destroy()
    }
  }

  async write(fill: (batch: WriteBatch) => void): Promise<void> {
    this.#gate.enter()
    try {
      const native = this.#db.write({ capacity: 16 }) // so small ones are used again
      try {
        const batch = new NativeBatch(native, this.#addPut)
        fill(batch)
        native._resize?.()
        if (batch.count > 0) await flush(native, this.#directory)
      } finally {
        native.destroy()
      }
    } finally {
      this.#gate.leave()
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.#gate.shut()
    for (const scan of this.#scans) scan.destroy() // their next step throws StateError
    await this.#db.close()
  }
}

async function flush(batch: NativeWriteBatch, directory: string): Promise<void> {
  try {
    await batch.flush()
  } catch (cause) {
    throw callFault(cause, directory)
  }
}

class NativeBatch implements WriteBatch {
  readonly #batch: NativeWriteBatch
  readonly #addPut: AddPut
  count = 0

  constructor(batch: NativeWriteBatch, addPut: AddPut) {
    this.#batch = batch
    this.#addPut = addPut
  }

  put(key: Buffer, value: Buffer): void {
    this.count++
    this.#addPut(this.#batch, key, value)
  }

  /** A plain view is made in half the time of a Buffer. */
  putRow({ buffer, byteOffset }: Buffer, start: number, split: number, end: number): void {
    this.count++
    const key = new Uint8Array(buffer, byteOffset + start, split - start)
    this.#addPut(this.#batch, key, new Uint8Array(buffer, byteOffset + split, end - split))
  }

  delete(key: Buffer): void {
    this.count++
    this.#batch.tryDelete(key)
  }

  deleteRange(from: Buffer, to: Buffer): void {
    if (from.compare(to) >= 0) return
    this.count++
    this.#batch.tryDeleteRange(from, to)
  }
}
