/** All local state of one task: its stores over one database, and everything that must be written in one batch with them. */
import { join } from 'node:path'
import { StateError } from '../errors.ts'
import type { RecordSet } from '../record.ts'
import type { Clock } from '../time.ts'
import { localKey, storeEnd } from './bytes.ts'
import { CachedRowStore, type RowStoreOptions } from './cache/rowStore.ts'
import { Dictionary, type Position } from './dictionary.ts'
import type { Entry } from './join/entries.ts'
import { JoinStore } from './join/joinStore.ts'
import { makeDirectory } from './makeDirectory.ts'
import type { CacheBudget, Database, DatabaseDriver, StoreSpec, WriteBatch } from './port.ts'
import { knownRows, restoreIndex } from './restoreIndex.ts'
import { WindowRowStore } from './windowRows.ts'

export interface TaskStateOptions {
  /** The task's own directory; it should be locked (`lockDirectory`) before. Made when missing. */
  readonly directory: string
  readonly applicationId: string
  readonly taskId: string
  readonly driver: DatabaseDriver
  readonly specs: readonly StoreSpec[]
  readonly cache: CacheBudget
  readonly clock: Clock
}

/** What was read from one changelog. */
export interface RestoredPart {
  readonly store: string
  readonly sets: readonly RecordSet[]
  /** The changelog offset behind the sets. */
  readonly next: number
  /** Wall-clock ms since which tombstones may have been removed that these rows need. Default now. */
  readonly at?: number
}

/**
 * Rows of one write while restoring. Until it is handed to the binding a row is two objects in the heap, and the young generation's collector copies
 * all that live: with the 35,000 rows of a fetch it took a fifth of the time.
 */
const PIECE = 2_000

/** Where the database lies within a task's directory. */
export const databaseDirectory = (directory: string): string => join(directory, 'db')

/**
 * Opens the database and its stores.
 * @throws StateDirectoryError ERR_STATE_FOREIGN when the directory holds another task's state; ERR_STATE_LOCKED when it is open elsewhere.
 * @throws StoreCorruptedError when the files cannot be read.
 * @example
 * const state = await openTaskState({ directory, applicationId: 'shop', taskId: '0_1', driver, specs, cache, clock })
 * state.store('totals').flush(changelog)
 * await state.commit(new Map([['totals', writer.ackedNext]]))
 */
export async function openTaskState(options: TaskStateOptions): Promise<TaskState> {
  const directory = databaseDirectory(options.directory)
  if (options.driver.durable) await makeDirectory(options.directory)
  const database = await options.driver.open(directory)
  try {
    const dictionary = await Dictionary.load(database, directory, options, options.specs)
    return new TaskState(options, database, dictionary)
  } catch (error) {
    await database.close()
    throw error
  }
}

/** Removes a task's database from disk. It must be closed. */
export const destroyTaskState = (directory: string, driver: DatabaseDriver): Promise<void> =>
  driver.destroy(databaseDirectory(directory))

/** Made by `openTaskState`. */
export class TaskState {
  /** In the order of the specs. */
  readonly stores: readonly CachedRowStore<unknown>[]
  readonly #byName: ReadonlyMap<string, CachedRowStore<unknown>>
  readonly #database: Database
  readonly #dictionary: Dictionary
  readonly #cache: CacheBudget
  readonly #clock: Clock
  readonly #durable: boolean

  constructor({ specs, cache, clock, driver }: TaskStateOptions, database: Database, dictionary: Dictionary) {
    this.#database = database
    this.#dictionary = dictionary
    this.#cache = cache
    this.#clock = clock
    this.#durable = driver.durable
    this.stores = specs.map((spec) => {
      const options = {
        spec,
        id: dictionary.id(spec.name),
        database,
        budget: cache,
        empty: dictionary.added(spec.name)
      }
      if (spec.kind === 'join')
        return new JoinStore(options as RowStoreOptions<Entry<unknown>[]>, clock) as CachedRowStore<unknown>
      return spec.kind === 'window' ? new WindowRowStore(options) : new CachedRowStore(options)
    })
    this.#byName = new Map(this.stores.map((store) => [store.spec.name, store]))
  }

  /** @throws StateError for a name that the task's topology does not have. */
  store(name: string): CachedRowStore<unknown> {
    const store = this.#byName.get(name)
    if (store) return store
    throw new StateError(`This task has no store "${name}"; it has ${[...this.#byName.keys()].join(', ') || 'none'}.`, {
      details: { store: name }
    })
  }

  /** Some store has changes that are not flushed. */
  get dirty(): boolean {
    return this.stores.some((store) => store.dirty)
  }

  /** Grows with every change of a row. */
  get changes(): number {
    let changes = 0
    for (const store of this.stores) changes += store.changes
    return changes
  }

  /** The process's caches are full and this task holds some of what cannot be evicted: commit before the interval is over. */
  get full(): boolean {
    return this.#cache.used > this.#cache.limit && this.stores.some((store) => store.holds)
  }

  /** Where the store's changelog is to be read on from; undefined when nothing of it is here. */
  position(store: string): Position | undefined {
    return this.#dictionary.position(store)
  }

  /** A number saved with the state: partition times, operators' own times. */
  time(slot: string): number | undefined {
    return this.#dictionary.time(slot)
  }

  /** Goes into the batch of the next commit. */
  setTime(slot: string, value: number): void {
    this.#dictionary.setTime(slot, value)
  }

  /**
   * Commit step 4, one atomic write: what the stores flushed, the changelog positions behind it (those not named keep theirs; a join keeps a
   * position before what it has in memory alone), the times. A failure leaves the database as it was and this object unusable: close and reopen the task.
   */
  async commit(positions: ReadonlyMap<string, number>): Promise<void> {
    const now = this.#clock.now()
    const reached = new Map<string, number>()
    for (const [name, next] of positions) reached.set(name, this.#reached(name, next))
    await this.#database.write((batch) => {
      for (const store of this.stores) store.persist(batch)
      this.#refresh((name, next) => this.#dictionary.writePosition(batch, name, reached.get(name) ?? next, now))
      for (const [name, next] of reached) {
        if (this.#dictionary.position(name)?.next !== next) {
          this.#dictionary.writePosition(batch, name, next, now)
        }
      }
      this.#dictionary.writeTimes(batch)
    })
    for (const store of this.stores) store.persisted()
  }

  /**
   * Says that the positions are still up to date, by the clock, and gives the database what joins have in memory alone: for a task that has been
   * idle for hours, and before a clean close.
   * Call it only while the task owns its partitions: nobody else may have written to the changelogs.
   */
  async touch(): Promise<void> {
    if (!this.#durable || this.#dictionary.positioned().length === 0) return
    const now = this.#clock.now()
    const settled = new Map<string, number | undefined>()
    for (const store of this.stores) if (store instanceof JoinStore) settled.set(store.spec.name, await store.settle())
    await this.#database.write((batch) => {
      this.#refresh((name, next) => this.#dictionary.writePosition(batch, name, settled.get(name) ?? next, now))
    })
  }

  /**
   * Writes changelog records (null keys are skipped) and the positions behind them: in one atomic write when they are few. A crash between two
   * finds the position before the set that is not whole, with the age that position had, and some of its rows, whatever their place in the log:
   * they are written again, those of one key in the order of the log.
   */
  async restoreBatch(parts: readonly RestoredPart[]): Promise<void> {
    let fills: ((batch: WriteBatch) => void)[] = []
    let count = 0
    const write = async (): Promise<void> => {
      const ready = fills
      fills = []
      count = 0
      await this.#database.write((batch) => {
        for (const fill of ready) fill(batch)
      })
    }
    for (const { store, sets, next, at = this.#clock.now() } of parts) {
      const target = this.store(store)
      const { index } = target.spec
      const known = index && (await knownRows(this.#database, target, sets))
      const since = this.position(store)?.at ?? at
      for (const set of sets) {
        const rows = target.restoreSet(set)
        if (index) fills.push((batch) => restoreIndex(index, this.store(index.store), batch, set, known!))
        for (let from = 0, to = 0; from < rows.count; from = to) {
          // Places follow from a set as a whole, and must not be without its rows.
          to = index ? rows.count : Math.min(rows.count, from + PIECE - count)
          const begin = from
          const end = to
          fills.push((batch) => rows.put(batch, begin, end))
          count += end - begin
          if (count < PIECE) continue
          fills.push((batch) => this.#dictionary.writePosition(batch, store, set.offsets[0]!, since))
          await write()
        }
      }
      fills.push((batch) => this.#dictionary.writePosition(batch, store, next, at))
    }
    await write()
  }

  /** Empties a store and its index, or all of them and the times, together with the positions. */
  async wipe(store?: string): Promise<void> {
    const targets = store === undefined ? this.stores : this.#withIndex(this.store(store))
    await this.#database.write((batch) => {
      for (const target of targets) {
        batch.deleteRange(localKey(target.id, ''), storeEnd(target.id))
        this.#dictionary.forgetPosition(batch, target.spec.name)
      }
      if (store === undefined) this.#dictionary.forgetTimes(batch)
    })
    for (const target of targets) target.wiped()
  }

  /** Waits for running calls. What is not committed is forgotten: it comes again from the log. */
  async close(): Promise<void> {
    await this.#database.close()
    for (const store of this.stores) store.release()
  }

  #withIndex(store: CachedRowStore<unknown>): CachedRowStore<unknown>[] {
    const { index } = store.spec
    return index ? [store, this.store(index.store)] : [store]
  }

  #reached(name: string, next: number): number {
    const store = this.#byName.get(name)
    return store instanceof JoinStore ? store.reached(next, this.position(name)?.next ?? 0) : next
  }

  /** While this task lives it is the only writer of its changelogs: with every write all positions are known to be whole. */
  #refresh(write: (store: string, next: number) => void): void {
    for (const name of this.#dictionary.positioned()) {
      if (this.#byName.has(name)) write(name, this.#dictionary.position(name)!.next)
    }
  }
}
