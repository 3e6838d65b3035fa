/** Writes and reads Kafka's primitive types; a reader never believes a length it cannot check. */
import { TransportError } from '../../errors.ts'
import { readInt64, writeInt64 } from '../../serde/int64.ts'

/** A shorter body is copied: a piece of its own costs more. */
const WORTH_A_PIECE = 4_096

/** Grows as needed. 64-bit fields take numbers below 2^53. */
export class ByteWriter {
  #bytes: Buffer
  #at = 0
  #cuts: { readonly at: number; readonly bytes: Buffer }[] = [] // bodies that are not copied, and where in #bytes they belong
  #outside = 0 // bytes of them

  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafe(capacity)
  }

  get length(): number {
    return this.#at + this.#outside
  }

  /** What was written; a view, unless bodies were left in place. */
  done(): Buffer {
    const pieces = this.pieces()
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
  }

  /** What was written, one after the other: views, and the very buffers of `inPlace`. */
  pieces(): Buffer[] {
    const pieces: Buffer[] = []
    let from = 0
    for (const { at, bytes } of this.#cuts) {
      pieces.push(this.#bytes.subarray(from, at), bytes)
      from = at
    }
    if (from < this.#at || from === 0) pieces.push(this.#bytes.subarray(from, this.#at))
    return pieces
  }

  #take(size: number): number {
    const at = this.#at
    this.#at += size
    if (this.#at > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#at, this.#bytes.length * 2))
      this.#bytes.copy(grown, 0, 0, at)
      this.#bytes = grown
    }
    return at
  }

  int8(value: number): this {
    const at = this.#take(1)
    this.#bytes[at] = value
    return this
  }

  bool(value: boolean): this {
    return this.int8(value ? 1 : 0)
  }

  int16(value: number): this {
    const at = this.#take(2)
    this.#bytes.writeInt16BE(value, at)
    return this
  }

  int32(value: number): this {
    const at = this.#take(4)
    this.#bytes.writeInt32BE(value, at)
    return this
  }

  /** Overwrites an INT32 written before (sizes known only at the end). */
  int32At(at: number, value: number): void {
    this.#bytes.writeInt32BE(value, at)
  }

  int64(value: number): this {
    const at = this.#take(8)
    writeInt64(this.#bytes, value, at)
    return this
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const size = Buffer.byteLength(value)
    if (size > 0x7fff) throw new TransportError(`A name of ${size} bytes does not fit Kafka's protocol`, 'fatal')
    this.int16(size)
    const at = this.#take(size)
    this.#bytes.write(value, at, 'utf8')
    return this
  }

  bytes(value: Buffer | null): this {
    if (value === null) return this.int32(-1)
    this.int32(value.length)
    return this.raw(value)
  }

  /** As `bytes`, without a copy of what is large: `value` must stay as it is until the pieces are sent. */
  inPlace(value: Buffer): this {
    if (value.length < WORTH_A_PIECE) return this.bytes(value)
    this.int32(value.length)
    this.#cuts.push({ at: this.#at, bytes: value })
    this.#outside += value.length
    return this
  }

  raw(value: Buffer): this {
    const at = this.#take(value.length)
    value.copy(this.#bytes, at)
    return this
  }

  array<T>(items: readonly T[], item: (value: T) => void): this {
    this.int32(items.length)
    for (const value of items) item(value)
    return this
  }

  uvarint(value: number): this {
    let rest = value
    while (rest > 0x7f) {
      this.int8((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    return this.int8(rest)
  }

  /** COMPACT_STRING of flexible versions. */
  compactString(value: string | null): this {
    if (value === null) return this.uvarint(0)
    const size = Buffer.byteLength(value)
    this.uvarint(size + 1)
    const at = this.#take(size)
    this.#bytes.write(value, at, 'utf8')
    return this
  }

  /** COMPACT_ARRAY of flexible versions. */
  compactArray<T>(items: readonly T[], item: (value: T) => void): this {
    this.uvarint(items.length + 1)
    for (const value of items) item(value)
    return this
  }

  /** An empty tag section. */
  tags(): this {
    return this.int8(0)
  }
}

/** Reads [start, end) of a buffer; running past the end is a TransportError 'fatal', never a garbage value. */
export class ByteReader {
  readonly buffer: Buffer
  readonly end: number
  at: number

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.buffer = buffer
    this.at = start
    this.end = end
  }

  get left(): number {
    return this.end - this.at
  }

  #take(size: number): number {
    const at = this.at
    if (size < 0 || size > this.end - at) throw malformed(`${size} bytes are announced, ${this.end - at} are left`)
    this.at = at + size
    return at
  }

  int8(): number {
    return this.buffer.readInt8(this.#take(1))
  }

  bool(): boolean {
    return this.int8() !== 0
  }

  int16(): number {
    return this.buffer.readInt16BE(this.#take(2))
  }

  int32(): number {
    return this.buffer.readInt32BE(this.#take(4))
  }

  int64(): number {
    const at = this.#take(8)
    const value = readInt64(this.buffer, at)
    if (!Number.isSafeInteger(value)) throw malformed(`a number beyond 2^53 (${value})`)
    return value
  }

  nullableString(): string | null {
    const size = this.int16()
    if (size < 0) return null
    const at = this.#take(size)
    return this.buffer.toString('utf8', at, at + size)
  }

  string(): string {
    return this.nullableString() ?? ''
  }

  /** A view; null counts as empty. */
  bytes(): Buffer {
    const size = this.int32()
    if (size <= 0) return this.buffer.subarray(this.at, this.at)
    const at = this.#take(size)
    return this.buffer.subarray(at, at + size)
  }

  array<T>(item: () => T): T[] {
    return this.#items(this.int32(), item)
  }

  uvarint(): number {
    let result = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.buffer[this.#take(1)]!
      result |= (byte & 0x7f) << shift
      if (byte < 0x80) return result >>> 0
    }
    throw malformed('a varint of more than five bytes')
  }

  nullableCompactString(): string | null {
    const size = this.uvarint() - 1
    if (size < 0) return null
    const at = this.#take(size)
    return this.buffer.toString('utf8', at, at + size)
  }

  compactString(): string {
    return this.nullableCompactString() ?? ''
  }

  compactArray<T>(item: () => T): T[] {
    return this.#items(this.uvarint() - 1, item)
  }

  /** Skips a tag section: newer brokers may add fields. */
  tags(): void {
    for (let n = this.uvarint(); n > 0; n--) {
      this.uvarint()
      this.#take(this.uvarint())
    }
  }

  // An element takes a byte at least: a count above what is left is garbage, and must not become an allocation.
  #items<T>(count: number, item: () => T): T[] {
    if (count > this.left) throw malformed(`${count} elements are announced, ${this.left} bytes are left`)
    const items: T[] = []
    for (let i = 0; i < count; i++) items.push(item())
    return items
  }
}

export function malformed(what: string): TransportError {
  return new TransportError(
    `An answer of the broker cannot be read: ${what}. Check that the address is a Kafka broker and no proxy alters the stream.`,
    'fatal',
    { code: 'ERR_TRANSPORT_MALFORMED' }
  )
}
