/** Which ids a store may hold: says "surely not" of an id that was never written, so that a new key needs no read (a Bloom filter). */
import type { CacheBudget } from '../port.ts'

/** With three probes: at most one false "perhaps" in two hundred for each layer. */
const BITS_A_KEY = 16
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
    const mask = layer.length * 32 - 1
    const step = stepOf(h)
    for (let i = 0, at = h; i < 3; i++, at = (at + step) | 0) layer[(at & mask) >>> 5]! |= 1 << (at & 31)
    return true
  }

  /** Forgets all ids and gives its memory back. */
  clear(): void {
    for (const layer of this.#layers) take(this.#budget, -layer.byteLength)
    this.#layers = []
    this.#room = 0
  }

  #find(h: number): boolean {
    const step = stepOf(h)
    const second = (h + step) | 0
    const third = (second + step) | 0
    for (const layer of this.#layers) {
      const mask = layer.length * 32 - 1
      if (
        (layer[(h & mask) >>> 5]! & (1 << (h & 31))) !== 0 &&
        (layer[(second & mask) >>> 5]! & (1 << (second & 31))) !== 0 &&
        (layer[(third & mask) >>> 5]! & (1 << (third & 31))) !== 0
      ) {
        return true
      }
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

/** FNV-1a over the characters, then the finaliser of murmur3: the low bits are used alone. */
function hash(id: string): number {
  let h = 0x811c9dc5 | 0
  for (let i = 0; i < id.length; i++) h = Math.imul(h ^ id.charCodeAt(i), 0x01000193)
  return finished(h)
}

function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let h = 0x811c9dc5 | 0
  for (let i = start; i < end; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193)
  return finished(h)
}

function finished(h: number): number {
  let x = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}

/** Between two probes: odd, so that they differ, and from the high half of the hash, which the first one did not use. */
const stepOf = (h: number): number => Math.imul((h >>> 16) | (h << 16), 0x9e3779b1) | 1
