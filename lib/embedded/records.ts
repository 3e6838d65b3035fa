/** Walks the records inside one batch, for what a broker must know of them: times, keys, tombstones. */
import { MillraceError } from '../errors.ts'
import { readInt64 } from '../serde/int64.ts'
import { HEADER_BYTES, type StoredBatch } from './batch.ts'

/** Unpacks the records block of a batch; set by whoever has the codecs. */
export type Decompress = (codec: number, block: Buffer) => Buffer

export interface RecordView {
  readonly offset: number
  readonly timestamp: number
  /** A view; null for a record without key. */
  readonly key: Buffer | null
  readonly tombstone: boolean
  /** The whole record, its length included. */
  readonly raw: Buffer
}

/** Calls `each` in order until it returns true. */
export function walk(batch: StoredBatch, decompress: Decompress, each: (record: RecordView) => boolean | void): void {
  if (batch.count === 0) return
  const block = batch.bytes.subarray(HEADER_BYTES)
  const bytes = batch.codec === 0 ? block : decompress(batch.codec, block)
  const baseTimestamp = readInt64(batch.bytes, 27)
  const appendTime = (batch.bytes.readInt16BE(21) & 8) !== 0
  let at = 0
  // Zig-zag varint by arithmetic, not shifts: a timestamp delta may need more than 32 bits.
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]
      if (byte === undefined) throw new MillraceError('A record in the embedded log is cut off', 'ERR_DECODE')
      value += (byte & 127) * scale
      if (byte < 128) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
  }
  for (let i = 0; i < batch.count; i++) {
    const start = at
    const length = varint()
    const end = at + length
    at++ // attributes
    const timestamp = baseTimestamp + varint()
    const offset = batch.baseOffset + varint()
    const keyLength = varint()
    const key = keyLength < 0 ? null : bytes.subarray(at, at + keyLength)
    if (keyLength > 0) at += keyLength
    const tombstone = varint() < 0
    const raw = bytes.subarray(start, end)
    if (each({ offset, timestamp: appendTime ? batch.maxTimestamp : timestamp, key, tombstone, raw })) return
    at = end
  }
}
