/** Regressions carry the number of the client defect they guard against (D1 … D15). */
import { expect } from 'chai'
import fc from 'fast-check'
import type { Codec } from '../../../lib/kafka/port.ts'
import { prepareCodec } from '../../../lib/kafka/protocol/compression.ts'
import { type Decoded, decodeBatches } from '../../../lib/kafka/protocol/recordBatch.ts'
import type { Headers } from '../../../lib/record.ts'
import { batch, data, marker, rows, seal } from './batches.ts'

type Aborted = { producerId: number; firstOffset: number }[]

const read = (batches: Buffer[], options: { offset?: number; aborted?: Aborted; committed?: boolean } = {}): Decoded =>
  decodeBatches(Buffer.concat(batches), {
    offset: options.offset ?? 0,
    committed: options.committed ?? true,
    aborted: options.aborted ?? []
  })

const A = 7
const B = 9

describe('decoding record batches', () => {
  it('gives keys, values, times and offsets; null is not empty', () => {
    const records = [
      { key: 'k', value: 'v', timestamp: 5 },
      { key: null, value: '', timestamp: 3 },
      { key: '', value: null, timestamp: 9_007_199_254 }
    ]
    const { pieces, next, error } = read([batch({ base: 40, records })], { offset: 40 })
    expect(error).to.equal(undefined)
    expect(next).to.equal(43)
    const set = pieces[0]!.records
    expect([...set.offsets]).to.deep.equal([40, 41, 42])
    expect([...set.timestamps]).to.deep.equal([5, 3, 9_007_199_254])
    expect([0, 1, 2].map((i) => set.key(i)?.toString() ?? null)).to.deep.equal(['k', null, ''])
    expect([0, 1, 2].map((i) => set.value(i)?.toString() ?? null)).to.deep.equal(['v', '', null])
  })

  it('puts uncompressed batches in a row into one set over the answer itself', () => {
    const bytes = Buffer.concat([data(0, -1, 'a', 'b'), data(2, -1, 'c')])
    const { pieces } = decodeBatches(bytes, { offset: 0, committed: false, aborted: [] })
    expect(pieces).to.have.length(1)
    expect(pieces[0]!.records.bytes).to.equal(bytes)
    expect(rows(pieces)).to.deep.equal(['0=a', '1=b', '2=c'])
  })

  it('drops records below the offset asked for and batches that end before it', () => {
    const { pieces, next } = read([data(0, -1, 'a'), data(1, -1, 'b', 'c', 'd')], { offset: 2 })
    expect(rows(pieces)).to.deep.equal(['2=c', '3=d'])
    expect(next).to.equal(4)
  })

  it('leaves a batch that is cut off at the end for the next fetch', () => {
    const cut = data(2, -1, 'lost')
    for (const length of [1, 11, 12, 40, cut.length - 1]) {
      const { pieces, next, error } = read([data(0, -1, 'a', 'b'), cut.subarray(0, length)])
      expect({ rows: rows(pieces), next, error }).to.deep.equal({ rows: ['0=a', '1=b'], next: 2, error: undefined })
    }
  })

  it('takes a batch whose last offset is before its first for damaged: positions never go back', () => {
    const bytes = Buffer.concat([
      batch({ base: 5, records: [{ value: 'a' }] }),
      batch({ base: 6, records: [{ value: 'b' }], lastDelta: -4 })
    ])
    const decoded = decodeBatches(bytes, { offset: 5, committed: true, aborted: [] })
    expect(decoded.next).to.equal(6)
    expect(decoded.error).to.include({ kafkaCode: 2 })
    expect(decoded.pieces.map((piece) => piece.records.count)).to.deep.equal([1])
  })

  it('continues where a record says it ends, not where its known fields end', () => {
    const bytes = batch({ base: 0, records: [{ value: 'a' }] })
    const longer = Buffer.concat([bytes, Buffer.from([1, 2, 3])])
    longer[61] = longer[61]! + 3 * 2 // the record's length, zig-zag
    longer.writeInt32BE(longer.length - 12, 8)
    expect(rows(read([seal(longer)]).pieces)).to.deep.equal(['0=a'])
  })

  describe('aborted transactions', () => {
    it('D1a: an abort marker is known by the control bit, not by a key of four zero bytes', () => {
      const key = (n: number): Buffer => Buffer.from([0, 0, 0, n])
      const records = [1, 0, 2].map((n) => ({ key: key(n), value: `key${n}` }))
      const log = [batch({ base: 0, producerId: A, transactional: true, records }), marker(3, A, 'abort')]
      const { pieces, next } = read(log, { aborted: [{ producerId: A, firstOffset: 0 }] })
      expect(rows(pieces)).to.deep.equal([])
      expect(next).to.equal(4)
    })

    it('D1b: transactions are listed by completion; the one opened first still hides its records', () => {
      const log = [data(0, A, 'A'), data(1, B, 'B'), marker(2, B, 'abort'), data(3, A, 'A'), marker(4, A, 'abort')]
      const aborted = [
        { producerId: B, firstOffset: 1 },
        { producerId: A, firstOffset: 0 }
      ]
      expect(rows(read(log, { aborted }).pieces)).to.deep.equal([])
    })

    it('D1c: several transactions opened before the first batch of the answer are all known', () => {
      const log = [data(2, B, 'B2'), data(3, A, 'A2'), marker(4, A, 'abort'), marker(5, B, 'abort')]
      const aborted = [
        { producerId: A, firstOffset: 0 },
        { producerId: B, firstOffset: 1 }
      ]
      const { pieces, next } = read(log, { offset: 2, aborted })
      expect(rows(pieces)).to.deep.equal([])
      expect(next).to.equal(6)
    })

    it('delivers what the same producer commits after its abort', () => {
      const log = [data(0, A, 'no'), marker(1, A, 'abort'), data(2, A, 'yes'), marker(3, A, 'commit')]
      const { pieces, next } = read(log, { aborted: [{ producerId: A, firstOffset: 0 }] })
      expect(rows(pieces)).to.deep.equal(['2=yes'])
      expect(next).to.equal(4)
    })

    it('hides two aborted transactions of one producer in one answer', () => {
      const log = [data(0, A, 'a'), marker(1, A, 'abort'), data(2, A, 'b'), marker(3, A, 'abort'), data(4, A, 'c')]
      const aborted = [
        { producerId: A, firstOffset: 0 },
        { producerId: A, firstOffset: 2 }
      ]
      expect(rows(read(log, { aborted }).pieces)).to.deep.equal(['4=c'])
    })

    it("leaves a producer's plain records and other producers alone", () => {
      const plain = batch({ base: 1, producerId: A, records: [{ value: 'plain' }] })
      const log = [data(0, A, 'no'), plain, data(2, B, 'other'), marker(3, A, 'abort')]
      expect(rows(read(log, { aborted: [{ producerId: A, firstOffset: 0 }] }).pieces)).to.deep.equal([
        '1=plain',
        '2=other'
      ])
    })

    it('passes markers that compaction has emptied', () => {
      const log = [data(0, A, 'no'), marker(1, A, 'abort', true), data(2, B, 'yes')]
      const { pieces, next, error } = read(log, { aborted: [{ producerId: A, firstOffset: 0 }] })
      expect(error).to.equal(undefined)
      expect(rows(pieces)).to.deep.equal(['2=yes'])
      expect(next).to.equal(3)
    })

    it('gives everything but markers to a reader of uncommitted data', () => {
      const log = [data(0, A, 'a'), marker(1, A, 'abort')]
      const { pieces, next } = read(log, { committed: false })
      expect(rows(pieces)).to.deep.equal(['0=a'])
      expect(next).to.equal(2)
    })
  })

  describe('what compaction leaves', () => {
    it('D2: an emptied batch moves the position', () => {
      const emptied = batch({ base: 0, producerId: A, lastDelta: 89 })
      const { pieces, next } = read([emptied, data(90, B, 'x')])
      expect(rows(pieces)).to.deep.equal(['90=x'])
      expect(next).to.equal(91)
      expect(read([emptied]).next).to.equal(90)
    })

    it('D2b: a batch whose tail is gone is passed in one step', () => {
      const { pieces, next } = read([batch({ base: 0, records: [{ value: 'x' }], lastDelta: 9 })])
      expect(rows(pieces)).to.deep.equal(['0=x'])
      expect(next).to.equal(10)
    })
  })

  describe('D12: damage', () => {
    it('finds a flipped bit and keeps the batches before it', () => {
      const good = data(0, -1, 'a')
      const bad = data(1, -1, 'b')
      bad[bad.length - 3]! ^= 0x10
      const { pieces, next, error } = read([good, bad, data(2, -1, 'c')])
      expect(rows(pieces)).to.deep.equal(['0=a'])
      expect(next).to.equal(1)
      expect(error).to.include({ fault: 'retriable', kafkaCode: 2, code: 'ERR_TRANSPORT_CORRUPT' })
    })

    it('refuses the message formats before 2', () => {
      const old = data(0, -1, 'a')
      old[16] = 1
      expect(read([old]).error).to.include({ fault: 'fatal' })
    })

    it('reads a batch of 200,000 records', () => {
      const records = Array.from({ length: 200_000 }, (_, i) => ({ value: String(i) }))
      const { pieces, next } = read([batch({ base: 5, records })])
      expect(next).to.equal(200_005)
      expect(pieces[0]!.records.count).to.equal(200_000)
      expect(pieces[0]!.records.value(199_999)!.toString()).to.equal('199999')
    })

    it('gives an error, not nonsense, for counts and lengths that do not fit, even under a right checksum', () => {
      const many = data(0, -1, 'a')
      many.writeInt32BE(2_000_000_000, 57)
      const long = data(0, -1, 'a')
      long[61] = 0x7e
      const key = data(0, -1, 'a')
      key[65] = 0x7e
      const short = data(0, -1, 'a')
      short.writeInt32BE(3, 8)
      for (const bytes of [seal(many), seal(long), seal(key), short]) {
        const { pieces, error, next } = read([bytes])
        expect(rows(pieces)).to.deep.equal([])
        expect(next).to.equal(0)
        expect(error).to.include({ fault: 'retriable', kafkaCode: 2 })
      }
    })

    it('never throws, hangs or goes back, whatever byte is changed', () => {
      const log = Buffer.concat([
        batch({ base: 0, records: [{ key: 'k', value: 'v', headers: [['h', Buffer.from('x')]] }] }),
        marker(1, A, 'abort'),
        data(2, B, 'y')
      ])
      fc.assert(
        fc.property(fc.nat(log.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, sealed) => {
          const bytes = Buffer.from(log)
          bytes[at]! ^= flip
          if (sealed && at >= 21) seal(bytes.subarray(0, 12 + log.readInt32BE(8)))
          const decoded = decodeBatches(bytes, {
            offset: 0,
            committed: true,
            aborted: [{ producerId: B, firstOffset: 0 }]
          })
          expect(decoded.next).to.be.at.least(0)
          for (const { records } of decoded.pieces) for (let i = 0; i < records.count; i++) records.headers(i)
        }),
        { numRuns: 3_000 }
      )
    })
  })

  it('D13: headers keep their order, their repetitions and null', () => {
    const headers: Headers = [
      ['a', Buffer.from('1')],
      ['b', null],
      ['a', Buffer.alloc(0)],
      ['é', Buffer.from('2')]
    ]
    const set = read([batch({ base: 0, records: [{ value: 'x', headers }, { value: 'y' }] })]).pieces[0]!.records
    expect(set.headers(0)).to.deep.equal(headers)
    expect(set.headers(1)).to.deep.equal([])
    expect(set.headersAt[1]).to.equal(-1)
  })

  it('D14: timestamps are numbers: zero stays zero, ten is after five', () => {
    const times = [0, 5, 10, 1_700_000_000_000, 3]
    const set = read([batch({ base: 0, records: times.map((timestamp) => ({ value: 'x', timestamp })) })]).pieces[0]!
      .records
    expect([...set.timestamps]).to.deep.equal(times)
  })

  it('gives the append time to every record of a LogAppendTime batch', () => {
    const records = [
      { value: 'a', timestamp: 1 },
      { value: 'b', timestamp: 2 }
    ]
    const set = read([batch({ base: 0, records, appendTime: 1_700_000_000_000 })]).pieces[0]!.records
    expect([...set.timestamps]).to.deep.equal([1_700_000_000_000, 1_700_000_000_000])
  })

  describe('D15: codecs', () => {
    const records = Array.from({ length: 500 }, (_, i) => ({ key: `key${i}`, value: 'v'.repeat(i % 50), timestamp: i }))
    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as Codec[]) {
      it(`reads ${codec} between uncompressed batches, in order`, async () => {
        await prepareCodec(codec)
        const packed = batch({ base: 1, records, codec })
        expect(packed.readInt16BE(21) & 7, 'it is compressed').to.be.greaterThan(0)
        const { pieces, next } = read([data(0, -1, 'first'), packed, data(501, -1, 'last')])
        expect(next).to.equal(502)
        expect(pieces.map((p) => [p.records.count, p.next])).to.deep.equal([
          [1, 1],
          [500, 501],
          [1, 502]
        ])
        expect(rows(pieces)).to.deep.equal([
          '0=first',
          ...records.map(({ value }, i) => `${i + 1}=${value}`),
          '501=last'
        ])
      })

      it(`reports ${codec} that does not expand, and keeps what came before`, async () => {
        await prepareCodec(codec)
        const packed = batch({ base: 1, records, codec })
        packed.fill(0x5a, 61, 100)
        const { pieces, next, error } = read([data(0, -1, 'first'), seal(packed)])
        expect(rows(pieces)).to.deep.equal(['0=first'])
        expect(next).to.equal(1)
        expect(error).to.include({ fault: 'retriable', kafkaCode: 2 })
      })
    }
  })

  it('gives back what the writer was given, whatever it was', () => {
    const bytes = fc.option(fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)))
    const record = fc.record({
      key: bytes,
      value: bytes,
      timestamp: fc.integer({ min: 0, max: 2 ** 45 }),
      headers: fc.array(fc.tuple(fc.string({ maxLength: 200 }), bytes), { maxLength: 3 })
    })
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 80 }), fc.nat(2 ** 40), (records, base) => {
        const { pieces, next, error } = read([batch({ base, records })], { offset: base })
        expect(error).to.equal(undefined)
        expect(next).to.equal(base + records.length)
        const set = pieces[0]!.records
        const got = records.map((_, i) => ({
          key: set.key(i),
          value: set.value(i),
          timestamp: set.timestamps[i]!,
          headers: set.headers(i)
        }))
        expect(got).to.deep.equal(records)
      }),
      { numRuns: 200 }
    )
  })
})
