/** One record batch as the log keeps it: its header in plain fields beside the bytes, and the few edits a broker makes. */
import { crc32c } from '@node-rs/crc32'
import { readInt64, writeInt64 } from '../serde/int64.ts'

/** Bytes before the first record. */
export const HEADER_BYTES = 61

const CODEC_MASK = 7
const LOG_APPEND_TIME = 8
const TRANSACTIONAL = 16
const CONTROL = 32

export interface StoredBatch {
  /** Wire form, base offset and leader epoch filled in. Never changed after the append: answers hold views into it. */
  readonly bytes: Buffer
  readonly baseOffset: number
  /** Kept by compaction even when the last records are gone. */
  readonly lastOffset: number
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly count: number
  /** 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
  readonly codec: number
  readonly transactional: boolean
  readonly control: boolean
  /** When its tombstones or its marker may go; set by the first cleaning that met them. */
  readonly deleteHorizon: number | undefined
}

/** Reads the header of the one batch that `bytes` holds; undefined when it is cut, not of magic 2, or its CRC does not match. */
export function readBatch(bytes: Buffer): StoredBatch | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readInt32BE(8) !== bytes.length - 12 || bytes[16] !== 2) return undefined
  if (crc32c(bytes.subarray(21)) !== bytes.readUInt32BE(17)) return undefined
  const attributes = bytes.readInt16BE(21)
  const baseOffset = readInt64(bytes, 0)
  return {
    bytes,
    baseOffset,
    lastOffset: baseOffset + bytes.readInt32BE(23),
    maxTimestamp: readInt64(bytes, 35),
    producerId: readInt64(bytes, 43),
    producerEpoch: bytes.readInt16BE(51),
    baseSequence: bytes.readInt32BE(53),
    count: bytes.readInt32BE(57),
    codec: attributes & CODEC_MASK,
    transactional: (attributes & TRANSACTIONAL) !== 0,
    control: (attributes & CONTROL) !== 0,
    deleteHorizon: undefined
  }
}

/** The sequence of its last record; sequences wrap from 2^31 - 1 to 0. */
export const lastSequence = (batch: StoredBatch): number =>
  batch.baseSequence < 0 ? -1 : (batch.baseSequence + batch.lastOffset - batch.baseOffset) % 2_147_483_648

/**
 * What the log stores of a produced batch: a copy (the producer fills its buffer again at once) at `baseOffset`.
 * With `appendTime` every record's timestamp becomes that.
 */
export function placed(batch: StoredBatch, baseOffset: number, appendTime: number | undefined): StoredBatch {
  const bytes = Buffer.from(batch.bytes)
  writeInt64(bytes, baseOffset, 0)
  bytes.writeInt32BE(0, 12)
  if (appendTime !== undefined) {
    bytes.writeInt16BE(bytes.readInt16BE(21) | LOG_APPEND_TIME, 21)
    writeInt64(bytes, appendTime, 35)
    seal(bytes)
  }
  const lastOffset = baseOffset + batch.lastOffset - batch.baseOffset
  return { ...batch, bytes, baseOffset, lastOffset, maxTimestamp: appendTime ?? batch.maxTimestamp }
}

/** The marker that ends a producer's transaction on one partition: a control batch of one record, which takes one offset. */
export function marker(
  baseOffset: number,
  producerId: number,
  epoch: number,
  commit: boolean,
  now: number
): StoredBatch {
  const record = Buffer.alloc(17)
  record[0] = 16 << 1 // length of what follows
  record[4] = 4 << 1 // key: version 0, type
  record.writeInt16BE(commit ? 1 : 0, 7)
  record[9] = 6 << 1 // value: version 0, coordinator epoch 0; then no headers
  const bytes = Buffer.alloc(HEADER_BYTES + record.length)
  record.copy(bytes, HEADER_BYTES)
  writeInt64(bytes, baseOffset, 0)
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes[16] = 2
  bytes.writeInt16BE(TRANSACTIONAL | CONTROL, 21)
  writeInt64(bytes, now, 27)
  writeInt64(bytes, now, 35)
  writeInt64(bytes, producerId, 43)
  bytes.writeInt16BE(epoch, 51)
  bytes.writeInt32BE(-1, 53)
  bytes.writeInt32BE(1, 57)
  seal(bytes)
  return readBatch(bytes)!
}

/** Whether a control batch commits; undefined when cleaning has emptied it. */
export const commits = (control: StoredBatch): boolean | undefined =>
  control.count === 0 ? undefined : control.bytes.readInt16BE(HEADER_BYTES + 7) === 1

/** The batch with only `records` (wire form, uncompressed, each with its own offset delta) left; offsets and sequences stay. */
export function reduced(
  batch: StoredBatch,
  records: readonly Buffer[],
  maxTimestamp: number,
  deleteHorizon: number | undefined
): StoredBatch {
  const bytes = Buffer.concat([batch.bytes.subarray(0, HEADER_BYTES), ...records])
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt16BE(bytes.readInt16BE(21) & ~CODEC_MASK, 21)
  if (records.length === 0) writeInt64(bytes, -1, 27)
  writeInt64(bytes, maxTimestamp, 35)
  bytes.writeInt32BE(records.length, 57)
  seal(bytes)
  return { ...batch, bytes, codec: 0, count: records.length, maxTimestamp, deleteHorizon }
}

export const withDeleteHorizon = (batch: StoredBatch, deleteHorizon: number): StoredBatch => ({
  ...batch,
  deleteHorizon
})

function seal(bytes: Buffer): void {
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17)
}
