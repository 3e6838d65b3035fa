/** Hand-made record batches as a broker would answer them: data, control markers, compacted ones, at any offset. */
import { crc32c } from '@node-rs/crc32'
import type { Codec } from '../../../lib/kafka/port.ts'
import { RecordBatchWriter } from '../../../lib/kafka/protocol/recordBatchWriter.ts'
import { type Headers, NO_HEADERS, type RecordSet } from '../../../lib/record.ts'

export interface Made {
  base: number
  records?: { key?: Buffer | string | null; value?: Buffer | string | null; timestamp?: number; headers?: Headers }[]
  producerId?: number
  transactional?: boolean
  codec?: Codec
  /** What the header says is the last offset, as compaction leaves it. Default: of the last record. */
  lastDelta?: number
  appendTime?: number
}

const bytesOf = (value: Buffer | string | null | undefined): Buffer | null =>
  value === undefined || value === null ? null : Buffer.from(value)

export function batch(made: Made): Buffer {
  const writer = new RecordBatchWriter(64 << 20)
  for (const { key, value, timestamp = 1_000, headers = NO_HEADERS } of made.records ?? []) {
    const k = bytesOf(key)
    const v = bytesOf(value)
    writer.append(timestamp, k, 0, k?.length ?? 0, v, 0, v?.length ?? 0, headers)
  }
  const bytes = Buffer.from(
    writer.finish({
      producerId: made.producerId ?? -1,
      producerEpoch: made.producerId === undefined ? -1 : 0,
      baseSequence: made.producerId === undefined ? -1 : 0,
      transactional: made.transactional ?? false,
      codec: made.codec ?? 'none'
    })
  )
  bytes.writeBigInt64BE(BigInt(made.base), 0)
  if (made.lastDelta !== undefined) bytes.writeInt32BE(made.lastDelta, 23)
  if (made.appendTime !== undefined) {
    bytes.writeInt16BE(bytes.readInt16BE(21) | 0x08, 21)
    bytes.writeBigInt64BE(BigInt(made.appendTime), 35)
  }
  return seal(bytes)
}

/** A transaction's end. `empty` = what compaction leaves of it. */
export function marker(base: number, producerId: number, kind: 'abort' | 'commit', empty = false): Buffer {
  const key = Buffer.from([0, 0, 0, kind === 'abort' ? 0 : 1])
  const bytes = batch({
    base,
    producerId,
    transactional: true,
    records: empty ? [] : [{ key, value: Buffer.alloc(6) }],
    lastDelta: 0
  })
  bytes.writeInt16BE(bytes.readInt16BE(21) | 0x20, 21)
  return seal(bytes)
}

/** Writes the checksum again after a change. */
export function seal(bytes: Buffer): Buffer {
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17)
  return bytes
}

export const data = (base: number, producerId: number, ...values: string[]): Buffer =>
  batch({ base, producerId, transactional: true, records: values.map((value) => ({ value })) })

/** `offset=value` of each record. */
export const rows = (pieces: readonly { records: RecordSet }[]): string[] =>
  pieces.flatMap(({ records: set }) =>
    Array.from({ length: set.count }, (_, i) => `${set.offsets[i]}=${set.value(i)?.toString() ?? 'null'}`)
  )
