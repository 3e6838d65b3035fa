/** Serdes: Java's bytes, exact round trips from inside a larger buffer, and refusals that mend. */
import { expect } from 'chai'
import fc from 'fast-check'
import { DecodeError, EncodeError } from '../../lib/errors.ts'
import type { Serde } from '../../lib/record.ts'
import { bytes, double, int, json, long, serde, string, uuid, windowed } from '../../lib/serde/index.ts'

/** Decodes as the engine does: a range of a larger buffer. */
function roundTrip<T>(s: Serde<T>, value: T): T {
  const encoded = s.encode(value)
  const framed = Buffer.concat([Buffer.from('«'), encoded, Buffer.from('»')])
  return s.decode(framed, 2, 2 + encoded.length)
}

describe('serdes', () => {
  it('give back what they took, from the middle of a buffer', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (v) => roundTrip(string(), v) === v))
    fc.assert(fc.property(fc.maxSafeInteger(), (v) => Object.is(roundTrip(long(), v), v === 0 ? 0 : v)))
    fc.assert(fc.property(fc.integer(), (v) => roundTrip(int(), v) === v))
    fc.assert(fc.property(fc.double(), (v) => Object.is(roundTrip(double(), v), v)))
    fc.assert(fc.property(fc.uuid(), (v) => roundTrip(uuid(), v) === v))
    fc.assert(fc.property(fc.uint8Array(), (v) => roundTrip(bytes(), Buffer.from(v)).equals(v)))
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(roundTrip(json(), JSON.parse(text))).to.deep.equal(JSON.parse(text))
      })
    )
  })

  it('write numbers as Java does', () => {
    expect(long().encode(1_700_000_000_123).toString('hex')).to.equal('0000018bcfe5687b')
    expect(long().encode(-2).toString('hex')).to.equal('fffffffffffffffe')
    expect(int().encode(-2).toString('hex')).to.equal('fffffffe')
    expect(double().encode(1.5).toString('hex')).to.equal('3ff8000000000000')
  })

  it('write windowed keys as the JVM does: key, then the start', () => {
    const s = windowed(string(), '5m')
    expect(s.encode({ key: 'JFK', start: 300_000, end: 600_000 }).toString('hex')).to.equal('4a464b00000000000493e0')
    expect(roundTrip(s, { key: 'JFK', start: 300_000, end: 600_000 })).to.deep.equal({
      key: 'JFK',
      start: 300_000,
      end: 600_000
    })
    expect(windowed(string(), 300_000)).to.equal(s)
    const logged = windowed(string(), '5m', { changelog: true })
    expect(logged.encode({ key: 'a', start: 1, end: 300_001 }).toString('hex')).to.equal('61000000000000000100000000')
    expect(logged.decode(Buffer.from('61000000000000000100000007', 'hex'), 0, 13)).to.deep.equal({
      key: 'a',
      start: 1,
      end: 300_001
    })
  })

  it('bytes() hands out a copy, so that a kept value does not hold the fetch response', () => {
    const big = Buffer.from('abcdef')
    const got = bytes().decode(big, 1, 3)
    big.fill(0)
    expect(got.toString()).to.equal('bc')
  })

  it('json() refuses what JSON would lose', () => {
    const cycle: Record<string, unknown> = {}
    cycle.self = cycle
    for (const value of [undefined, () => 1, Symbol('s'), 10n, { n: 1n }, cycle, Number.NaN, new Map(), new Set([1])]) {
      expect(() => json().encode(value), String(value))
        .to.throw(EncodeError)
        .with.property('code', 'ERR_ENCODE')
    }
  })

  it('json() with a schema gives what the schema gives, and names what it refuses', () => {
    const positive = {
      '~standard': {
        vendor: 'spec',
        validate: (v: unknown) =>
          typeof v === 'number' && v > 0 ? { value: v * 2 } : { issues: [{ message: 'must be above 0', path: ['n'] }] }
      }
    }
    const s: Serde<number> = json(positive)
    expect(roundTrip(s, 4)).to.equal(8)
    expect(() => roundTrip(s, -1)).to.throw(DecodeError, 'n: must be above 0')
  })

  it('refuse values and sizes that are not theirs', () => {
    expect(() => string().encode(5 as unknown as string)).to.throw(EncodeError, 'number 5')
    expect(() => long().encode(1.5)).to.throw(EncodeError)
    expect(() => int().encode(2 ** 31)).to.throw(EncodeError)
    expect(() => uuid().encode('nope')).to.throw(EncodeError)
    expect(() => long().decode(Buffer.alloc(4), 0, 4)).to.throw(DecodeError, '8 bytes, found 4')
    expect(() => long().decode(Buffer.from('7fffffffffffffff', 'hex'), 0, 8)).to.throw(
      DecodeError,
      '9223372036854775807'
    )
  })

  it('serde() turns what the user throws into an error with that cause', () => {
    const cause = new Error('no such day')
    const s = serde<Date>({
      name: 'date',
      encode: () => {
        throw cause
      },
      decode: () => {
        throw cause
      }
    })
    expect(() => s.encode(new Date(0)))
      .to.throw(EncodeError, 'date')
      .with.property('cause', cause)
    expect(() => s.decode(Buffer.alloc(1), 0, 1))
      .to.throw(DecodeError, 'no such day')
      .with.property('cause', cause)
  })
})
