/** What the writer writes, the decoder reads; header fields where Kafka wants them. */
import { crc32c } from '@node-rs/crc32'
import { expect } from 'chai'
import fc from 'fast-check'
import type { Codec } from '../../../lib/kafka/port.ts'
import { prepareCodec } from '../../../lib/kafka/protocol/compression.ts'
import { decodeBatches } from '../../../lib/kafka/protocol/recordBatch.ts'
import { RecordBatchWriter } from '../../../lib/kafka/protocol/recordBatchWriter.ts'
import type { Headers } from '../../../lib/record.ts'

interface Rec {
  timestamp: number
  key: Buffer | null
  value: Buffer | null
  headers: Headers
}

const IDENTITY = { producerId: -1, producerEpoch: -1, baseSequence: -1, transactional: false, codec: 'none' as Codec }

function append(writer: RecordBatchWriter, { timestamp, key, value, headers }: Rec): number {
  return writer.append(timestamp, key, 0, key?.length ?? 0, value, 0, value?.length ?? 0, headers)
}

function read(batch: Buffer): Rec[] {
  const decoded = decodeBatches(batch, { offset: 0, committed: true, aborted: [] })
  if (decoded.error) throw decoded.error
  return decoded.pieces.flatMap(({ records }) =>
    Array.from({ length: records.count }, (_, i) => ({
      timestamp: records.timestamps[i]!,
      key: records.key(i),
      value: records.value(i),
      headers: records.headers(i)
    }))
  )
}

const bytes = (maxLength: number): fc.Arbitrary<Buffer | null> =>
  fc.option(fc.uint8Array({ maxLength }).map((b) => Buffer.from(b)))
const record: fc.Arbitrary<Rec> = fc.record({
  timestamp: fc.oneof(fc.nat(200), fc.integer({ min: 0, max: 2 ** 43 })),
  key: bytes(200),
  value: bytes(300),
  headers: fc.array(fc.tuple(fc.string({ maxLength: 8, unit: 'grapheme' }), bytes(40)), { maxLength: 3 })
})

describe('protocol/recordBatchWriter', () => {
  it('copies every length exactly out of a large buffer, from wherever it lies, two buffers by turns', () => {
    const sources = [0, 1].map((n) => Buffer.from(Uint8Array.from({ length: 5_000 }, (_, i) => (i * 31 + n) & 255)))
    const writer = new RecordBatchWriter(1_000_000, 64)
    const expected: string[] = []
    for (let length = 0; length <= 400; length++) {
      const source = sources[length & 1]!.subarray(length & 3) // a view that begins anywhere in its memory
      const start = (length * 7) % 97
      const end = start + length
      writer.append(length, source, start, end, source, end, end + length, [])
      expected.push(source.toString('latin1', start, end + length))
    }
    const written = read(writer.finish(IDENTITY))
    expect(written.map(({ key, value }) => key!.toString('latin1') + value!.toString('latin1'))).to.deep.equal(expected)
  })

  const codecs: Codec[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

  for (const codec of codecs) {
    it(`writes what the decoder reads back, whatever keys, values, times and headers (${codec})`, async () => {
      await prepareCodec(codec)
      fc.assert(
        fc.property(fc.array(record, { minLength: 1, maxLength: 30 }), (records) => {
          const writer = new RecordBatchWriter(1_000_000, 64)
          for (const r of records) expect(append(writer, r)).to.be.greaterThan(0)
          expect(read(writer.finish({ ...IDENTITY, codec }))).to.deep.equal(records)
        }),
        { numRuns: codec === 'none' ? 300 : 40 }
      )
    })
  }

  it('takes times in any order, zero included, and tells the largest (D14)', () => {
    const writer = new RecordBatchWriter(10_000)
    for (const timestamp of [5, 0, 10, 2_000_000_000_000, 1]) {
      append(writer, { timestamp, key: null, value: null, headers: [] })
    }
    const batch = writer.finish(IDENTITY)
    expect(Number(batch.readBigInt64BE(27)), 'base').to.equal(5)
    expect(Number(batch.readBigInt64BE(35)), 'max').to.equal(2_000_000_000_000)
    expect(read(batch).map((r) => r.timestamp)).to.deep.equal([5, 0, 10, 2_000_000_000_000, 1])
  })

  it('puts identity, counts, attributes and a checksum of all that follows it into the header', () => {
    const writer = new RecordBatchWriter(10_000)
    for (let i = 0; i < 3; i++) append(writer, { timestamp: 7, key: Buffer.from('k'), value: null, headers: [] })
    const producerId = 2 ** 40 + 5
    const batch = writer.finish({
      producerId,
      producerEpoch: 3,
      baseSequence: 2 ** 31 - 1,
      transactional: true,
      codec: 'none'
    })
    expect(batch.readInt32BE(8)).to.equal(batch.length - 12)
    expect(batch[16]).to.equal(2)
    expect(batch.readInt16BE(21)).to.equal(16)
    expect(batch.readInt32BE(23)).to.equal(2)
    expect(Number(batch.readBigInt64BE(43))).to.equal(producerId)
    expect(batch.readInt16BE(51)).to.equal(3)
    expect(batch.readInt32BE(53)).to.equal(2 ** 31 - 1)
    expect(batch.readInt32BE(57)).to.equal(3)
    expect(batch.readUInt32BE(17)).to.equal(crc32c(batch.subarray(21)))
  })

  it('refuses the record that would pass the limit and keeps the batch as it was', () => {
    const writer = new RecordBatchWriter(200)
    const r: Rec = { timestamp: 1, key: Buffer.alloc(10, 1), value: Buffer.alloc(50, 2), headers: [] }
    while (append(writer, r) > 0);
    const { size, count } = writer
    expect(count).to.equal(2)
    expect(append(writer, { ...r, value: null })).to.equal(0)
    expect(writer).to.include({ size, count })
    const batch = writer.finish(IDENTITY)
    expect(batch.length).to.equal(size).and.to.be.at.most(200)
    expect(read(batch)).to.deep.equal([r, r])
  })

  it('sends uncompressed what compression would make larger', async () => {
    await prepareCodec('gzip')
    const writer = new RecordBatchWriter(1_000)
    append(writer, { timestamp: 1, key: null, value: Buffer.from('x'), headers: [] })
    const batch = writer.finish({ ...IDENTITY, codec: 'gzip' })
    expect(batch.readInt16BE(21) & 7).to.equal(0)
    expect(batch.length).to.equal(writer.size)
  })

  it('starts anew after reset', () => {
    const writer = new RecordBatchWriter(1_000)
    append(writer, { timestamp: 99, key: Buffer.from('old'), value: null, headers: [] })
    writer.finish(IDENTITY)
    writer.reset()
    append(writer, { timestamp: 1, key: Buffer.from('new'), value: null, headers: [] })
    expect(read(writer.finish(IDENTITY))).to.deep.equal([
      { timestamp: 1, key: Buffer.from('new'), value: null, headers: [] }
    ])
  })
})
