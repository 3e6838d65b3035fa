/** Decodes record batches (v2) of one partition's answer: checksum, abort filter, columns. One pass, nothing copied but compressed data. */
import { crc32c } from '@node-rs/crc32'
import { TransportError } from '../../errors.ts'
import { RecordSet } from '../../record.ts'
import { decompress } from './compression.ts'

export const BATCH_HEADER = 61
const CODEC = 0x07
const LOG_APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20
const TWO_32 = 4_294_967_296
/** Seven fields of a byte each. */
const SMALLEST_RECORD = 7
const ABORT = 0

export interface DecodeRequest {
  /** Where the fetch began: a batch may begin earlier, its records below are dropped. */
  offset: number
  /** Leave out what an aborted transaction wrote. */
  committed: boolean
  /** In any order. */
  aborted: readonly { producerId: number; firstOffset: number }[]
}

export interface Piece {
  records: RecordSet
  /** The offset to go on from after this piece. */
  next: number
  /** Bytes the piece keeps alive. */
  bytes: number
}

export interface Decoded {
  /** In order. Uncompressed batches in a row share one piece; a compressed batch is one of its own. */
  pieces: Piece[]
  /** Past everything that was read whole: records, markers, aborted and emptied batches. */
  next: number
  /** What is wrong with the batch at `next`; the pieces before it are good. */
  error: TransportError | undefined
}

/** Never throws: a batch that cannot be read becomes `error`. A batch cut off at the end is left for the next fetch. */
export function decodeBatches(bytes: Buffer, request: DecodeRequest): Decoded {
  const result: Decoded = { pieces: [], next: request.offset, error: undefined }
  const run: Run = { starts: [], count: 0, next: request.offset, damaged: false }
  try {
    scan(bytes, request, run, result)
  } catch (error) {
    result.error = error as TransportError
  }
  try {
    flush(bytes, request, run, result)
  } catch (error) {
    result.error = error as TransportError
  }
  if (!run.damaged && run.next > result.next) result.next = run.next
  settleNext(result, bytes)
  return result
}

/** Uncompressed batches in a row that wait to be decoded into one set. */
interface Run {
  starts: number[]
  count: number
  /** After everything scanned so far, skipped batches included. */
  next: number
  /** One of `starts` could not be read: `next` is past it and does not count. */
  damaged: boolean
}

function scan(bytes: Buffer, request: DecodeRequest, run: Run, result: Decoded): void {
  const filter = request.committed && request.aborted.length > 0 ? new AbortFilter(request.aborted) : undefined
  const length = bytes.length
  for (let at = 0; at + 12 <= length; ) {
    const size = bytes.readInt32BE(at + 8)
    if (size < BATCH_HEADER - 12) throw corrupt(bytes, at, `it announces ${size} bytes, less than its header`)
    const end = at + 12 + size
    if (end > length) return
    if (bytes[at + 16] !== 2) throw oldFormat(bytes[at + 16]!)
    if (bytes.readUInt32BE(at + 17) !== crc32c(bytes.subarray(at + 21, end))) {
      throw corrupt(bytes, at, 'its checksum does not match')
    }
    const attributes = bytes.readInt16BE(at + 21)
    const last = int64(bytes, at) + bytes.readInt32BE(at + 23)
    // A position that went back would be asked for again, and its records given again, for ever.
    if (bytes.readInt32BE(at + 23) < 0) throw corrupt(bytes, at, 'its last offset is before its first')
    const count = bytes.readInt32BE(at + 57)
    if (deliver(bytes, at, attributes, last, count, filter) && last >= request.offset) {
      if ((attributes & CODEC) === 0) {
        if (count * SMALLEST_RECORD > size) throw corrupt(bytes, at, `${count} records do not fit into ${size} bytes`)
        run.starts.push(at)
        run.count += count
      } else {
        flush(bytes, request, run, result)
        expand(bytes, at, end, count, request, result)
        result.next = last + 1
      }
    }
    // Also past batches that gave nothing, or an emptied batch would be asked for again for ever.
    run.next = last + 1
    at = end
  }
}

function deliver(
  bytes: Buffer,
  at: number,
  attributes: number,
  last: number,
  count: number,
  filter: AbortFilter | undefined
): boolean {
  if (attributes & CONTROL) {
    if (filter && count > 0) filter.marker(bytes, at)
    return false
  }
  if (filter && attributes & TRANSACTIONAL && filter.hides(int64(bytes, at + 43), last)) return false
  return count > 0
}

/**
 * The rule of the Java consumer: an aborted transaction hides its producer's transactional batches from its first offset until that
 * producer's ABORT marker. The broker lists transactions by completion, several may open before one batch, data keys mean nothing.
 */
class AbortFilter {
  readonly #pending: { producerId: number; firstOffset: number }[]
  #opened = 0
  readonly #live = new Set<number>()

  constructor(aborted: readonly { producerId: number; firstOffset: number }[]) {
    this.#pending = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  }

  hides(producerId: number, last: number): boolean {
    this.#open(last)
    return this.#live.has(producerId)
  }

  marker(bytes: Buffer, at: number): void {
    const last = int64(bytes, at) + bytes.readInt32BE(at + 23)
    this.#open(last)
    if (controlType(bytes, at) === ABORT) this.#live.delete(int64(bytes, at + 43))
  }

  #open(last: number): void {
    while (this.#opened < this.#pending.length && this.#pending[this.#opened]!.firstOffset <= last) {
      this.#live.add(this.#pending[this.#opened++]!.producerId)
    }
  }
}

function controlType(bytes: Buffer, at: number): number {
  const marker = new RecordSet(bytes, 1)
  fill(marker, bytes, at + BATCH_HEADER, at + 12 + bytes.readInt32BE(at + 8), 1, 0, 0, 0, true)
  const key = marker.key(0)
  return key && key.length >= 4 ? key.readInt16BE(2) : -1
}

function flush(bytes: Buffer, request: DecodeRequest, run: Run, result: Decoded): void {
  if (run.starts.length === 0) return
  const { starts, count } = run
  run.starts = []
  run.count = 0
  const set = new RecordSet(bytes, count)
  const piece: Piece = { records: set, next: result.next, bytes: 0 }
  result.pieces.push(piece)
  for (const at of starts) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    const before = set.count
    try {
      fillBatch(set, bytes, at + BATCH_HEADER, end, bytes, at, request.offset)
    } catch (error) {
      set.count = before // no half batch: it is read again as a whole
      run.damaged = true
      throw error
    }
    piece.bytes += end - at
    piece.next = result.next = int64(bytes, at) + bytes.readInt32BE(at + 23) + 1
  }
}

function expand(bytes: Buffer, at: number, end: number, count: number, request: DecodeRequest, result: Decoded): void {
  const plain = decompress(bytes.readInt16BE(at + 21) & CODEC, bytes.subarray(at + BATCH_HEADER, end))
  if (count * SMALLEST_RECORD > plain.length) {
    throw corrupt(bytes, at, `${count} records do not fit into ${plain.length} bytes`)
  }
  const set = new RecordSet(plain, count)
  fillBatch(set, plain, 0, plain.length, bytes, at, request.offset)
  const next = int64(bytes, at) + bytes.readInt32BE(at + 23) + 1
  result.pieces.push({ records: set, next, bytes: plain.length })
}

/** Records in [from, end) of `data`; the header stands at `at` of `bytes`. */
function fillBatch(
  set: RecordSet,
  data: Buffer,
  from: number,
  end: number,
  bytes: Buffer,
  at: number,
  low: number
): void {
  const base = int64(bytes, at)
  const appendTime = (bytes.readInt16BE(at + 21) & LOG_APPEND_TIME) !== 0
  const count = bytes.readInt32BE(at + 57)
  // With LogAppendTime the records keep the producer's deltas, but all of them count as written at the batch's max timestamp.
  fill(set, data, from, end, count, base, int64(bytes, at + (appendTime ? 35 : 27)), low, appendTime)
}

/** The hot loop: bench/pass reads through here. Plain numbers, no allocation, one bounds check a field. */
function fill(
  set: RecordSet,
  data: Buffer,
  from: number,
  end: number,
  count: number,
  baseOffset: number,
  timestamp: number,
  low: number,
  fixedTime: boolean
): void {
  const { offsets, timestamps, keyStart, keyEnd, valueStart, valueEnd, headersAt } = set
  let row = set.count
  let at = from
  for (let i = 0; i < count; i++) {
    let byte = at < end ? data[at]! : 128
    let size: number
    if (byte < 128) {
      size = byte >>> 1
      at++
    } else {
      size = varint(data, at, end)
      at = after
    }
    const recordEnd = at + size
    if (size < SMALLEST_RECORD - 1 || recordEnd > end) throw damaged(`record ${i} announces ${size} bytes`)
    at++ // attributes: none are defined

    let delta: number
    byte = data[at]!
    if (byte < 128) {
      delta = (byte >>> 1) ^ -(byte & 1)
      at++
    } else {
      delta = varlong(data, at, recordEnd)
      at = after
    }
    let offsetDelta: number
    byte = data[at]!
    if (byte < 128) {
      offsetDelta = byte >>> 1
      at++
    } else {
      offsetDelta = varint(data, at, recordEnd)
      at = after
    }

    let length: number
    byte = data[at]!
    if (byte < 128) {
      length = (byte >>> 1) ^ -(byte & 1)
      at++
    } else {
      length = varint(data, at, recordEnd)
      at = after
    }
    const keyAt = at
    if (length > 0) at += length
    if (at >= recordEnd) throw damaged(`the key of record ${i} passes its end`)
    const keyStop = length < 0 ? -1 : at

    byte = data[at]!
    if (byte < 128) {
      length = (byte >>> 1) ^ -(byte & 1)
      at++
    } else {
      length = varint(data, at, recordEnd)
      at = after
    }
    const valueAt = at
    if (length > 0) at += length
    if (at >= recordEnd) throw damaged(`the value of record ${i} passes its end`)

    const offset = baseOffset + offsetDelta
    if (offset >= low) {
      offsets[row] = offset
      timestamps[row] = fixedTime ? timestamp : timestamp + delta
      keyStart[row] = keyAt
      keyEnd[row] = keyStop
      valueStart[row] = valueAt
      valueEnd[row] = length < 0 ? -1 : at
      if (data[at] === 0) headersAt[row] = -1
      else headersAt[row] = checkHeaders(data, at, recordEnd)
      row++
    }
    at = recordEnd // where the record says it ends, not where we stopped: fields may be added
  }
  set.count = row
}

// RecordSet reads headers later and without checks, so what it will read is walked through here.
function checkHeaders(data: Buffer, start: number, end: number): number {
  const count = varint(data, start, end)
  let at = after
  for (let i = 0; i < count; i++) {
    for (const part of ['name', 'value']) {
      const length = varint(data, at, end)
      at = after + Math.max(0, length)
      if (length < (part === 'name' ? 0 : -1) || at > end) throw damaged(`a header ${part} of ${length} bytes`)
    }
  }
  return start
}

let after = 0 // where the last long varint ended: a second result without an object

function varint(data: Buffer, from: number, end: number): number {
  let result = 0
  let at = from
  for (let shift = 0; shift < 35 && at < end; shift += 7) {
    const byte = data[at++]!
    result |= (byte & 0x7f) << shift
    if (byte < 128) {
      after = at
      return (result >>> 1) ^ -(result & 1)
    }
  }
  throw damaged('a number does not end')
}

function varlong(data: Buffer, from: number, end: number): number {
  let result = 0
  let factor = 1
  let at = from
  for (let i = 0; i < 10 && at < end; i++) {
    const byte = data[at++]!
    result += (byte & 0x7f) * factor // exact below 2^53: a distance between times
    if (byte < 128) {
      after = at
      return byte0IsOdd(data, from) ? -(result + 1) / 2 : result / 2
    }
    factor *= 128
  }
  throw damaged('a number does not end')
}

const byte0IsOdd = (data: Buffer, at: number): boolean => (data[at]! & 1) === 1

const int64 = (bytes: Buffer, at: number): number => bytes.readInt32BE(at) * TWO_32 + bytes.readUInt32BE(at + 4)

// An answer of skipped batches only still has to move the reader: an empty piece carries the position.
function settleNext(result: Decoded, bytes: Buffer): void {
  const last = result.pieces.at(-1)
  if (last) last.next = Math.max(last.next, result.next)
  else if (bytes.length > 0)
    result.pieces.push({ records: new RecordSet(bytes.subarray(0, 0), 0), next: result.next, bytes: 0 })
}

const corrupt = (bytes: Buffer, at: number, why: string): TransportError =>
  damaged(`${why} (batch at offset ${int64(bytes, at)})`)

const damaged = (why: string): TransportError =>
  new TransportError(`A record batch is damaged: ${why}.`, 'retriable', { kafkaCode: 2, code: 'ERR_TRANSPORT_CORRUPT' })

const oldFormat = (magic: number): TransportError =>
  new TransportError(
    `A record batch has message format ${magic}; only format 2 (Kafka 0.11 and later) is read. Rewrite the topic with a current producer.`,
    'fatal'
  )
