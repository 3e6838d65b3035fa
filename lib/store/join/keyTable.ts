/** The entry of each key of a bucket: numbers in a hash table, compared with the bytes of the entries, since a string a key costs more than they do. */
import { hash } from '../hash.ts'
import type { Places } from './places.ts'

const FIRST_SLOTS = 16
const BYTES_PER_SLOT = 5
/** Finds nothing, and has no room. */
const NO_SLOT = new Uint8Array(1)
const NO_ENTRY = new Int32Array([-1])

export class KeyTable {
  readonly #places: Places
  // Linear probing; a column each, by the number of the slot.
  #tags = NO_SLOT // 0: free; else bits of the hash that spare the look at most other keys
  #entries = NO_ENTRY
  #mask = 0
  #room = 0 // keys that it still takes

  constructor(places: Places) {
    this.#places = places
  }

  /** It takes no other key before it has grown. */
  get full(): boolean {
    return this.#room === 0
  }

  /** The slot that has the key, or would have. @param h hash of the key */
  slot(key: string, h: number): number {
    const tag = tagOf(h)
    const tags = this.#tags
    const mask = this.#mask
    let slot = h & mask
    for (let t = tags[slot]!; t !== 0; t = tags[slot]!) {
      if (t === tag && this.#places.hasKey(this.#entries[slot]!, key)) return slot
      slot = (slot + 1) & mask
    }
    return slot
  }

  /** The entry in a slot, or -1. */
  entry(slot: number): number {
    return this.#entries[slot]!
  }

  /** The entry of a key, or -1. */
  get(key: string): number {
    return this.#entries[this.slot(key, hash(key))]!
  }

  /** Puts another entry of the same key into its slot. */
  replace(slot: number, entry: number): void {
    this.#entries[slot] = entry
  }

  /** Puts the first entry of a key into the slot that it would have. */
  add(slot: number, h: number, entry: number): void {
    this.#tags[slot] = tagOf(h)
    this.#entries[slot] = entry
    this.#room--
  }

  /** @returns how many bytes it takes more */
  grow(): number {
    const before = this.#entries
    const length = before === NO_ENTRY ? FIRST_SLOTS : before.length * 2
    const mask = length - 1
    const tags = new Uint8Array(length)
    const entries = new Int32Array(length).fill(-1)
    let keys = 0
    for (const entry of before) {
      if (entry < 0) continue
      const h = this.#places.hash(entry)
      let slot = h & mask
      while (tags[slot] !== 0) slot = (slot + 1) & mask
      tags[slot] = tagOf(h)
      entries[slot] = entry
      keys++
    }
    this.#tags = tags
    this.#entries = entries
    this.#mask = mask
    this.#room = Math.floor((length * 2) / 3) - keys
    return (length - (before === NO_ENTRY ? 0 : before.length)) * BYTES_PER_SLOT
  }
}

/** The low bits choose the slot. */
const tagOf = (h: number): number => h >>> 24 || 1
