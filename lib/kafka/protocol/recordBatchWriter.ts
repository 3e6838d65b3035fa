/** Encodes one record batch (v2) record by record, straight into a growing buffer in wire form. */
import { crc32c } from '@node-rs/crc32'
import type { Headers } from '../../record.ts'
import { writeInt64 } from '../../serde/int64.ts'
import type { Codec } from '../port.ts'
import { CODEC_BITS, compress } from './compression.ts'

/** Bytes before the first record. */
export const BATCH_HEADER = 61

const TRANSACTIONAL = 1 << 4
/** Up to this length a loop of ours beats the call into C++, byte by byte, or by words through views (bench/append.ts). */
const LOOP_COPY = 24
const WORD_COPY = 160
/** From this length on a source is taken for a fetch response, from which the next records come, too: it is worth a view. */
const VIEWED = 4_096
const HALF = 0x4000_0000

export interface BatchIdentity {
  /** -1 each when not idempotent. */
  producerId: number
  producerEpoch: number
  baseSequence: number
  transactional: boolean
  codec: Codec
}

/** A buffer with its view. */
class Source {
  bytes: Buffer | undefined = undefined
  view: DataView | undefined = undefined

  forget(): void {
    this.bytes = this.view = undefined
  }
}

/**
 * Owned by one partition of one producer at a time. Life: `append` … → `finish` → the bytes are sent, unchanged at each resend →
 * `reset` when they are acknowledged. Identity and checksum are written by `finish`, so a batch that waits costs no sequence number.
 */
export class RecordBatchWriter {
  #bytes: Buffer
  #view: DataView // of #bytes
  // Last copied from, until the batch is finished: keys often lie elsewhere than values.
  readonly #keys = new Source()
  readonly #values = new Source()
  #at = BATCH_HEADER
  #count = 0
  #baseTimestamp = 0
  #maxTimestamp = 0
  readonly #limit: number

  /** @param limit bytes of the whole batch before compression, its 61-byte header included */
  constructor(limit: number, initial = 4_096) {
    this.#limit = limit
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(limit, initial))
    this.#view = viewOf(this.#bytes)
  }

  get count(): number {
    return this.#count
  }

  /** Bytes of the batch so far, its header included, before compression. */
  get size(): number {
    return this.#at
  }

  /** What the buffer holds on to. */
  get capacity(): number {
    return this.#bytes.length
  }

  reset(): void {
    this.#keys.forget()
    this.#values.forget()
    this.#at = BATCH_HEADER
    this.#count = 0
  }

  /**
   * Copies one record in; [keyStart, keyEnd) of `key`, or null, likewise the value.
   * @returns the bytes it took, or 0 when it does not fit any more (nothing is changed then)
   */
  append(
    timestamp: number,
    key: Buffer | null,
    keyStart: number,
    keyEnd: number,
    value: Buffer | null,
    valueStart: number,
    valueEnd: number,
    headers: Headers
  ): number {
    const count = this.#count
    const delta = count === 0 ? 0 : timestamp - this.#baseTimestamp
    const keyLength = key === null ? -1 : keyEnd - keyStart
    const valueLength = value === null ? -1 : valueEnd - valueStart
    const headerBytes = headers.length === 0 ? 1 : headersSize(headers)
    // Zig-zag of a length n ≥ 0 is 2n, of -1 is 1: both sides of the size are known before the first byte is written.
    const body =
      1 +
      longSize(delta) +
      unsignedSize(count << 1) +
      (keyLength < 0 ? 1 : unsignedSize(keyLength << 1) + keyLength) +
      (valueLength < 0 ? 1 : unsignedSize(valueLength << 1) + valueLength) +
      headerBytes
    const start = this.#at
    const end = start + unsignedSize(body << 1) + body
    if (end > this.#limit) return 0
    if (end > this.#bytes.length) this.#grow(end)
    const bytes = this.#bytes

    let at = putUnsigned(bytes, start, body << 1)
    bytes[at++] = 0 // attributes
    at = putLong(bytes, at, delta)
    at = putUnsigned(bytes, at, count << 1)
    if (key === null) bytes[at++] = 1
    else at = this.#copy(putUnsigned(bytes, at, keyLength << 1), this.#keys, key, keyStart, keyEnd)
    if (value === null) bytes[at++] = 1
    else at = this.#copy(putUnsigned(bytes, at, valueLength << 1), this.#values, value, valueStart, valueEnd)
    if (headerBytes === 1) bytes[at] = 0
    else putHeaders(bytes, at, headers)

    if (count === 0) this.#baseTimestamp = this.#maxTimestamp = timestamp
    else if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp
    this.#count = count + 1
    this.#at = end
    return end - start
  }

  /**
   * Writes the header and gives the whole batch: a view of this writer's buffer, or a compressed copy where that is smaller.
   * Valid until `reset`.
   */
  finish(identity: BatchIdentity): Buffer {
    this.#keys.forget() // a batch that waits must not keep a fetch response alive
    this.#values.forget()
    let batch = this.#bytes.subarray(0, this.#at)
    let codec = 0
    if (identity.codec !== 'none') {
      const packed = compress(identity.codec, this.#bytes.subarray(BATCH_HEADER, this.#at))
      // What does not shrink goes uncompressed: so a batch is never larger than its limit.
      if (BATCH_HEADER + packed.length < batch.length) {
        codec = CODEC_BITS[identity.codec]
        batch = Buffer.allocUnsafeSlow(BATCH_HEADER + packed.length)
        packed.copy(batch, BATCH_HEADER)
      }
    }
    batch.fill(0, 0, 8) // base offset: the broker's to set
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt32BE(-1, 12) // partition leader epoch
    batch[16] = 2 // magic
    batch.writeInt16BE(codec | (identity.transactional ? TRANSACTIONAL : 0), 21)
    batch.writeInt32BE(this.#count - 1, 23)
    writeInt64(batch, this.#baseTimestamp, 27)
    writeInt64(batch, this.#maxTimestamp, 35)
    writeInt64(batch, identity.producerId, 43)
    batch.writeInt16BE(identity.producerEpoch, 51)
    batch.writeInt32BE(identity.baseSequence, 53)
    batch.writeInt32BE(this.#count, 57)
    batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
    return batch
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#limit, Math.max(needed, this.#bytes.length * 2)))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
    this.#view = viewOf(grown)
  }

  /** Eight bytes a turn, without garbage: Buffer.copy makes a typed array per call on Node 20. */
  #copy(at: number, known: Source, source: Buffer, start: number, end: number): number {
    if (source !== known.bytes) {
      if (source.length < VIEWED) return putBytes(this.#bytes, at, source, start, end)
      known.bytes = source
      known.view = viewOf(source)
    }
    if (end - start > WORD_COPY) {
      source.copy(this.#bytes, at, start, end)
      return at + end - start
    }
    const from = known.view!
    const to = this.#view
    let p = start
    let q = at
    for (; p + 8 <= end; p += 8, q += 8) {
      to.setInt32(q, from.getInt32(p, true), true)
      to.setInt32(q + 4, from.getInt32(p + 4, true), true)
    }
    while (p < end) this.#bytes[q++] = source[p++]!
    return q
  }
}

const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

const unsignedSize = (value: number): number => (value >>> 0 < 128 ? 1 : (((31 - Math.clz32(value)) / 7) | 0) + 1)

/** Timestamps leave the 32-bit range: those take plain arithmetic (exact below 2^52) instead of shifts. */
function longSize(value: number): number {
  if (value >= -HALF && value < HALF) return unsignedSize((value << 1) ^ (value >> 31))
  let size = 1
  for (let rest = zigZag(value); rest >= 128; rest = Math.floor(rest / 128)) size++
  return size
}

const zigZag = (value: number): number => (value < 0 ? -value * 2 - 1 : value * 2)

function putUnsigned(bytes: Buffer, at: number, value: number): number {
  let rest = value >>> 0
  let p = at
  while (rest >= 128) {
    bytes[p++] = rest | 128
    rest >>>= 7
  }
  bytes[p] = rest
  return p + 1
}

function putLong(bytes: Buffer, at: number, value: number): number {
  if (value >= -HALF && value < HALF) return putUnsigned(bytes, at, (value << 1) ^ (value >> 31))
  let rest = zigZag(value)
  let p = at
  while (rest >= 128) {
    bytes[p++] = (rest % 128) | 128
    rest = Math.floor(rest / 128)
  }
  bytes[p] = rest
  return p + 1
}

function putBytes(bytes: Buffer, at: number, source: Buffer, start: number, end: number): number {
  if (end - start > LOOP_COPY) source.copy(bytes, at, start, end)
  else for (let from = start, to = at; from < end; ) bytes[to++] = source[from++]!
  return at + end - start
}

function headersSize(headers: Headers): number {
  let size = unsignedSize(headers.length << 1)
  for (const [name, value] of headers) {
    const length = Buffer.byteLength(name)
    size += unsignedSize(length << 1) + length
    size += value === null ? 1 : unsignedSize(value.length << 1) + value.length
  }
  return size
}

function putHeaders(bytes: Buffer, at: number, headers: Headers): void {
  let p = putUnsigned(bytes, at, headers.length << 1)
  for (const [name, value] of headers) {
    p = putUnsigned(bytes, p, Buffer.byteLength(name) << 1)
    p += bytes.write(name, p)
    if (value === null) bytes[p++] = 1
    else p = putBytes(bytes, putUnsigned(bytes, p, value.length << 1), value, 0, value.length)
  }
}
