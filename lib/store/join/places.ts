/** Where the entries of a bucket lie: by number, in which chunk and where, and what can be said of the key there without a string. */
import { latin1 } from '../bytes.ts'
import { hashBytes } from '../hash.ts'

export const ENTRY_HEAD = 16 // time(8) ‖ length of key(4) ‖ length of value(4), then both

export class Places {
  readonly chunks: Buffer[] = []
  #chunkOf = new Int32Array(0)
  #offset = new Int32Array(0)

  widen(length: number): void {
    this.#chunkOf = grown(this.#chunkOf, new Int32Array(length))
    this.#offset = grown(this.#offset, new Int32Array(length))
  }

  set(entry: number, chunk: number, offset: number): void {
    this.#chunkOf[entry] = chunk
    this.#offset[entry] = offset
  }

  chunk(entry: number): Buffer {
    return this.chunks[this.#chunkOf[entry]!]!
  }

  offset(entry: number): number {
    return this.#offset[entry]!
  }

  key(entry: number): string {
    const bytes = this.chunk(entry)
    const at = this.offset(entry)
    return latin1(bytes, at + ENTRY_HEAD, at + ENTRY_HEAD + bytes.readInt32LE(at + 8))
  }

  hasKey(entry: number, key: string): boolean {
    const bytes = this.chunk(entry)
    const at = this.offset(entry)
    if (bytes.readInt32LE(at + 8) !== key.length) return false
    const keyAt = at + ENTRY_HEAD
    // From the end: keys mostly begin alike.
    for (let i = key.length - 1; i >= 0; i--) if (key.charCodeAt(i) !== bytes[keyAt + i]) return false
    return true
  }

  /** As `hash` of its key. */
  hash(entry: number): number {
    const bytes = this.chunk(entry)
    const at = this.offset(entry)
    return hashBytes(bytes, at + ENTRY_HEAD, at + ENTRY_HEAD + bytes.readInt32LE(at + 8))
  }
}

export function grown<T extends Float64Array | Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}
