import { expect } from 'chai'
import fc from 'fast-check'
import { EncodeError } from '../../lib/errors.ts'
import { json } from '../../lib/serde/json.ts'
import { writeJson } from '../../lib/serde/jsonWrite.ts'
import { writeOf } from '../../lib/serde/write.ts'

const AT = 3
const into = (value: unknown, room = 1 << 16): string | undefined => {
  const target = Buffer.alloc(room, '·')
  const end = writeJson(value, target, AT)
  if (end < 0) return undefined
  expect(end).to.be.at.most(room)
  return target.toString('utf8', AT, end)
}

describe('JSON written into a buffer', () => {
  it('is what JSON.stringify gives, for any plain data', () => {
    const numbers = fc.oneof(
      fc.double(),
      fc.integer(),
      fc.maxSafeInteger(),
      fc.constantFrom(
        0,
        -0,
        9,
        10,
        999_999_999,
        1_000_000_000,
        -1_000_000_000,
        10_000_000_001,
        2 ** 53,
        1e21,
        5e-324,
        Number.NaN
      )
    )
    const texts = fc.oneof(
      fc.string({ maxLength: 100 }),
      fc.string({ unit: 'binary', maxLength: 100 }),
      fc.constantFrom(
        '',
        '"',
        '\\',
        '\n',
        '\u007f',
        '\u2028',
        '\ud800',
        'ü',
        'x'.repeat(79),
        'x'.repeat(80),
        'x'.repeat(81),
        '😀'
      )
    )
    const leaves = fc.oneof(numbers, texts, fc.boolean(), fc.constantFrom(null, undefined, Symbol('s')), fc.date())
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 5 }, tie('object'), tie('array')),
      inner: fc.oneof({ maxDepth: 5 }, leaves, leaves, tie('object'), tie('array')),
      object: fc.dictionary(fc.oneof(texts, fc.constantFrom('1', '__proto__', 'a')), tie('inner'), {
        noNullPrototype: true
      }),
      array: fc.oneof(fc.array(tie('inner')), fc.sparseArray(tie('inner'), { maxLength: 20 }))
    }))
    fc.assert(
      fc.property(value, (data) => {
        expect(into(data)).to.equal(JSON.stringify(data))
      }),
      { numRuns: 3_000 }
    )
  })

  it('leaves to JSON.stringify what is not plain: classes, toJSON, functions, dates by themselves, cycles, BigInt, and what is no object or array', () => {
    const cycle: { self?: unknown; other?: unknown } = {}
    cycle.self = cycle
    cycle.other = cycle
    const own = new Date(0)
    own.toJSON = () => 'mine'
    const listed = Object.assign([1], { toJSON: () => 'mine' })
    const others = [
      cycle,
      own,
      listed,
      { toJSON: () => 1 },
      new Map(),
      Object.create(null),
      { deep: [{ at: new URL('a:b') }] }
    ]
    for (const value of [
      ...others,
      { big: 1n },
      { call: () => 1 },
      [() => 1],
      new Date(0),
      new Date(Number.NaN),
      'text',
      1,
      null,
      undefined,
      new (class {})()
    ])
      expect(into(value)).to.equal(undefined)
  })

  it('takes an invalid date as JSON does', () => {
    expect(into({ at: new Date(Number.NaN) })).to.equal('{"at":null}')
  })

  it('leaves it when something enumerable is inherited by all objects', () => {
    Object.defineProperty(Object.prototype, 'inherited', { value: 1, enumerable: true, configurable: true })
    try {
      expect(into({ a: 1 })).to.equal(undefined)
    } finally {
      delete (Object.prototype as { inherited?: number }).inherited
    }
  })

  it('by json(): a value that throws when it is read is an EncodeError', () => {
    const value = {
      get broken(): never {
        throw new Error('no such thing')
      }
    }
    expect(() => writeOf(json())!(value, Buffer.alloc(100), 0)).to.throw(EncodeError, 'no such thing')
  })

  it('says so when there is no room, whatever it stops at, and never writes behind the end', () => {
    const value = {
      text: 'some',
      number: -1_234_567_890_123,
      yes: true,
      no: false,
      none: null,
      list: [1, [], {}],
      half: 0.5,
      long: 'y'.repeat(90)
    }
    const whole = JSON.stringify(value)
    for (let room = AT; room < whole.length + AT; room++) expect(into(value, room), `${room}`).to.equal(undefined)
    expect(into(value, whole.length * 3)).to.equal(whole)
  })
})
