/** Which ids a store may hold: says "surely not" of an id that was never written, so that a new key needs no read (a Bloom filter). */
import { hash, hashBytes } from '../hash.ts'
import type { CacheBudget } from '../port.ts'

/** With three bits an id: about one false "perhaps" in two hundred for each layer. */
const BITS_A_KEY = 16
/** Words that hold the bits of one id: a line of the processor's cache, so that a look at a layer waits for memory once. */
const BLOCK = 16
const FIRST_KEYS = 1 << 10
/** Each layer holds so many times the keys of the one before. */
const GROWTH = 4
/** All filters of a process together take at most this part of the budget: 64 MiB are enough for 5 million keys of a store. */
const PART = 1 / 4

const taken = new WeakMap<CacheBudget, number>()

/**
 * Grows by layers, since the ids in a full one are not known any more. Deleted ids stay in it: they cost a read.
 * @example if (!filter.mayHold(id)) return absent
 */
export class IdFilter {
  readonly #budget: CacheBudget
  #layers: Uint32Array[] = []
  #room = 0 // ids that the last layer still takes

  constructor(budget: CacheBudget) {
    this.#budget = budget
  }

  mayHold(id: string): boolean {
    return this.#layers.length > 0 && this.#find(hash(id))
  }

  /** @returns false when there is no room for it: from now on the filter must not be asked */
  add(id: string): boolean {
    return this.#add(hash(id))
  }

  /** As `add`, of the id whose characters are [start, end) of `bytes`. */
  addBytes(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#add(hashBytes(bytes, start, end))
  }

  #add(h: number): boolean {
    if (this.#find(h)) return true
    if (this.#room === 0 && !this.#grow()) return false
    this.#room--
    const layer = this.#layers[this.#layers.length - 1]!
    const block = h & (layer.length - BLOCK)
    const bits = bitsOf(h)
    layer[block + (bits & 15)]! |= 1 << (bits >>> 4)
    layer[block + ((bits >>> 9) & 15)]! |= 1 << (bits >>> 13)
    layer[block + ((bits >>> 18) & 15)]! |= 1 << (bits >>> 22)
    return true
  }

  /** Forgets all ids and gives its memory back. */
  clear(): void {
    for (const layer of this.#layers) take(this.#budget, -layer.byteLength)
    this.#layers = []
    this.#room = 0
  }

  #find(h: number): boolean {
    const bits = bitsOf(h)
    // The last layer is the largest: most ids are in it.
    for (let n = this.#layers.length - 1; n >= 0; n--) {
      const layer = this.#layers[n]!
      const block = h & (layer.length - BLOCK)
      const found =
        (layer[block + (bits & 15)]! >>> (bits >>> 4)) &
        (layer[block + ((bits >>> 9) & 15)]! >>> (bits >>> 13)) &
        (layer[block + ((bits >>> 18) & 15)]! >>> (bits >>> 22))
      if ((found & 1) !== 0) return true
    }
    return false
  }

  #grow(): boolean {
    const keys = FIRST_KEYS * GROWTH ** this.#layers.length
    const bytes = (keys * BITS_A_KEY) / 8
    if (!take(this.#budget, bytes)) return false
    this.#layers.push(new Uint32Array(bytes / 4))
    this.#room = keys
    return true
  }
}

function take(budget: CacheBudget, bytes: number): boolean {
  const all = (taken.get(budget) ?? 0) + bytes
  if (bytes > 0 && all > budget.limit * PART) return false
  taken.set(budget, all)
  budget.used += bytes
  return true
}

/** Three times a word of a block (4 bits) and a bit of that (5), from all bits of the hash: the block is chosen by its low ones. */
const bitsOf = (h: number): number => Math.imul(h ^ (h >>> 15), 0x9e3779b1) >>> 5
