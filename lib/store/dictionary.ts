/** The part of a task's database under the prefix 0x0000: whose it is, store numbers, changelog positions, saved times. */
import { StateDirectoryError } from '../errors.ts'
import { readInt64, writeInt64 } from './bytes.ts'
import type { Database, StoreSpec, WriteBatch } from './port.ts'

/** Layout of the database. A directory with a higher one was written by a newer version. */
export const SCHEMA = 1

const FIRST = Buffer.from([0, 0])
const BEHIND = Buffer.from([0, 1])
const LAST_STORE = 0xfffe

/** Up to where a store holds its changelog. */
export interface Position {
  /** The next changelog offset to read. */
  readonly next: number
  /** Wall-clock ms at which the store was known to hold everything below `next`. */
  readonly at: number
}

export interface Owner {
  readonly applicationId: string
  readonly taskId: string
}

/** In memory as a whole (a few entries); changes go into the batch of the rows they belong to. */
export class Dictionary {
  readonly #ids: Map<string, { id: number; kind: string }>
  readonly #positions: Map<string, Position>
  readonly #times: Map<string, number>
  readonly #changedTimes = new Set<string>()
  readonly #added = new Set<string>()

  private constructor(entries: Map<string, Buffer>) {
    this.#ids = new Map()
    this.#positions = new Map()
    this.#times = new Map()
    for (const [name, bytes] of entries) {
      const rest = name.slice(1)
      // 'schema' and 'owner' begin with letters that no prefix has.
      if (name[0] === 'n') this.#ids.set(rest, JSON.parse(bytes.toString()))
      else if (name[0] === 'p') this.#positions.set(rest, { next: readInt64(bytes, 0), at: readInt64(bytes, 8) })
      else if (name[0] === 't') this.#times.set(rest, bytes.readDoubleBE(0))
    }
  }

  /**
   * Reads the dictionary; an empty database becomes the owner's, and stores that are new get their numbers.
   * @throws StateDirectoryError ERR_STATE_FOREIGN when it belongs to another task or a newer version, or a store changed its kind.
   */
  static async load(
    database: Database,
    directory: string,
    owner: Owner,
    specs: readonly StoreSpec[]
  ): Promise<Dictionary> {
    const entries = new Map<string, Buffer>()
    for await (const chunk of database.range({ from: FIRST, to: BEHIND })) {
      for (const [key, value] of chunk) entries.set(key.toString('utf8', 2), value)
    }
    const fresh = entries.size === 0 && !(await holdsRows(database))
    if (!fresh) refuseForeign(entries, directory, owner)
    const dictionary = new Dictionary(entries)
    const added = specs.filter((spec) => dictionary.#isNew(spec, directory))
    if (fresh || added.length > 0) {
      await database.write((batch) => {
        if (fresh) {
          batch.put(keyOf('schema'), Buffer.from(String(SCHEMA)))
          batch.put(keyOf('owner'), Buffer.from(JSON.stringify(owner)))
        }
        for (const spec of added) dictionary.#number(spec, batch)
      })
    }
    return dictionary
  }

  id(store: string): number {
    return this.#ids.get(store)!.id
  }

  /** The store got its number when the dictionary was loaded: nothing was ever written under it. */
  added(store: string): boolean {
    return this.#added.has(store)
  }

  position(store: string): Position | undefined {
    return this.#positions.get(store)
  }

  time(slot: string): number | undefined {
    return this.#times.get(slot)
  }

  setTime(slot: string, value: number): void {
    if (this.#times.get(slot) === value) return
    this.#times.set(slot, value)
    this.#changedTimes.add(slot)
  }

  /** Times set since they were last written. */
  get dirty(): boolean {
    return this.#changedTimes.size > 0
  }

  writeTimes(batch: WriteBatch): void {
    for (const slot of this.#changedTimes) {
      const bytes = Buffer.allocUnsafe(8)
      bytes.writeDoubleBE(this.#times.get(slot)!)
      batch.put(keyOf(`t${slot}`), bytes)
    }
    this.#changedTimes.clear()
  }

  writePosition(batch: WriteBatch, store: string, next: number, at: number): void {
    const position = { next, at }
    this.#positions.set(store, position)
    const bytes = Buffer.allocUnsafe(16)
    writeInt64(bytes, position.next, 0)
    writeInt64(bytes, position.at, 8)
    batch.put(keyOf(`p${store}`), bytes)
  }

  /** Stores that have a position. */
  positioned(): string[] {
    return [...this.#positions.keys()]
  }

  forgetPosition(batch: WriteBatch, store: string): void {
    this.#positions.delete(store)
    batch.delete(keyOf(`p${store}`))
  }

  forgetTimes(batch: WriteBatch): void {
    for (const slot of this.#times.keys()) batch.delete(keyOf(`t${slot}`))
    this.#times.clear()
    this.#changedTimes.clear()
  }

  #isNew(spec: StoreSpec, directory: string): boolean {
    const known = this.#ids.get(spec.name)
    if (known && known.kind !== spec.kind) {
      throw foreign(
        directory,
        `holds store "${spec.name}" as ${known.kind}, and the topology now says ${spec.kind}. ` +
          `Give the changed store another name, or start the changed job under a new application id.`
      )
    }
    return known === undefined
  }

  #number(spec: StoreSpec, batch: WriteBatch): void {
    let last = 0
    for (const { id } of this.#ids.values()) last = Math.max(last, id)
    // Numbers are not given twice: rows of a store that left the topology may still be there.
    if (last >= LAST_STORE) throw new RangeError(`A task has room for ${LAST_STORE} stores`)
    const entry = { id: last + 1, kind: spec.kind }
    this.#ids.set(spec.name, entry)
    this.#added.add(spec.name)
    batch.put(keyOf(`n${spec.name}`), Buffer.from(JSON.stringify(entry)))
  }
}

const keyOf = (name: string): Buffer => Buffer.concat([FIRST, Buffer.from(name)])

async function holdsRows(database: Database): Promise<boolean> {
  for await (const chunk of database.range({ from: BEHIND, to: Buffer.from([0xff, 0xff]), limit: 1 })) {
    if (chunk.length > 0) return true
  }
  return false
}

function refuseForeign(entries: Map<string, Buffer>, directory: string, owner: Owner): void {
  const schema = entries.get('schema')
  const text = entries.get('owner')
  if (!schema || !text) {
    throw foreign(directory, 'holds a database that is not one of ours. Give the runtime a state directory of its own.')
  }
  if (Number(schema.toString()) > SCHEMA) {
    throw foreign(
      directory,
      `was written by a newer version (format ${schema}, this one knows ${SCHEMA}). ` +
        'Run the newer version, or remove the directory: the state is then restored from the changelog.'
    )
  }
  const holder = JSON.parse(text.toString()) as Owner
  if (holder.applicationId !== owner.applicationId || holder.taskId !== owner.taskId) {
    throw foreign(
      directory,
      `belongs to task ${holder.taskId} of application "${holder.applicationId}", not to task ${owner.taskId} of "${owner.applicationId}". ` +
        'Give each application a state directory of its own.'
    )
  }
}

const foreign = (directory: string, text: string): StateDirectoryError =>
  new StateDirectoryError(`The state directory ${directory} ${text}`, {
    code: 'ERR_STATE_FOREIGN',
    details: { directory }
  })
