/** The process's copy of all global tables: one database, with the positions in their topics. */
import { join } from 'node:path'
import { StateError } from '../errors.ts'
import { type RecordSet, type Tp, tpKey } from '../record.ts'
import { localKey, storeEnd } from './bytes.ts'
import { Dictionary, type Position } from './dictionary.ts'
import { GlobalRows } from './globalRows.ts'
import { makeDirectory } from './makeDirectory.ts'
import type { CacheBudget, Database, DatabaseDriver, StoreSpec } from './port.ts'

export interface GlobalStateOptions {
  /** Of the global tables alone; it should be locked before. Made when missing. */
  readonly directory: string
  readonly applicationId: string
  readonly driver: DatabaseDriver
  readonly specs: readonly StoreSpec[]
  readonly cache: CacheBudget
}

/** What was read from one partition. */
export interface GlobalPart {
  readonly store: string
  readonly tp: Tp
  readonly sets: readonly RecordSet[]
  /** The offset behind the sets. */
  readonly next: number
  /** Wall-clock ms at which the rows below `next` were known to be whole. */
  readonly at: number
}

/** @throws StateDirectoryError ERR_STATE_FOREIGN, ERR_STATE_LOCKED; StoreCorruptedError, as a task's state */
export async function openGlobalState(options: GlobalStateOptions): Promise<GlobalState> {
  const { directory, driver, applicationId, specs, cache } = options
  if (driver.durable) await makeDirectory(directory)
  const database = await driver.open(join(directory, 'db'))
  try {
    const dictionary = await Dictionary.load(database, directory, { applicationId, taskId: 'global' }, specs)
    return new GlobalState(database, dictionary, specs, cache)
  } catch (error) {
    await database.close()
    throw error
  }
}

/** Made by `openGlobalState`. */
export class GlobalState {
  readonly #database: Database
  readonly #dictionary: Dictionary
  readonly #rows: ReadonlyMap<string, GlobalRows<unknown>>

  constructor(database: Database, dictionary: Dictionary, specs: readonly StoreSpec[], cache: CacheBudget) {
    this.#database = database
    this.#dictionary = dictionary
    this.#rows = new Map(
      specs.map((spec) => [spec.name, new GlobalRows(spec, dictionary.id(spec.name), database, cache)])
    )
  }

  /** @throws StateError for a name that the topology does not have */
  rows(name: string): GlobalRows<unknown> {
    const rows = this.#rows.get(name)
    if (rows) return rows
    throw new StateError(`There is no global table "${name}".`, { details: { store: name } })
  }

  /** Where the partition is to be read on from; undefined when nothing of it is here. */
  position(store: string, tp: Tp): Position | undefined {
    return this.#dictionary.position(slotOf(store, tp))
  }

  /** Rows of partitions other than these are here: the table was made from another topic. */
  strange(store: string, tps: readonly Tp[]): boolean {
    const known = new Set(tps.map((tp) => slotOf(store, tp)))
    return this.#slots(store).some((slot) => !known.has(slot))
  }

  /** One atomic write of records and the positions behind them; readers see each row before or after it. */
  async write(parts: readonly GlobalPart[]): Promise<void> {
    await this.#database.write((batch) => {
      for (const { store, tp, sets, next, at } of parts) {
        for (const set of sets) this.rows(store).put(batch, set)
        this.#dictionary.writePosition(batch, slotOf(store, tp), next, at)
      }
    })
    for (const { store, sets } of parts) for (const set of sets) this.rows(store).written(set)
  }

  /** Empties a table. */
  async wipe(store: string): Promise<void> {
    const rows = this.rows(store)
    await this.#database.write((batch) => {
      batch.deleteRange(localKey(rows.id, ''), storeEnd(rows.id))
      for (const slot of this.#slots(store)) this.#dictionary.forgetPosition(batch, slot)
    })
    rows.clear()
  }

  async close(): Promise<void> {
    await this.#database.close()
    for (const rows of this.#rows.values()) rows.release()
  }

  #slots(store: string): string[] {
    return this.#dictionary.positioned().filter((slot) => slot.startsWith(`${store}/`))
  }
}

/** No name has a slash. */
const slotOf = (store: string, { topic, partition }: Tp): string => `${store}/${tpKey(topic, partition)}`
