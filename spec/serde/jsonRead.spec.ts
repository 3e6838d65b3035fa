import assert from 'node:assert/strict'
import { expect } from 'chai'
import fc from 'fast-check'
import { JsonReader } from '../../lib/serde/jsonRead.ts'
import { type Point, Shapes } from '../../lib/serde/jsonShapes.ts'
import { seededRandom } from '../../lib/time.ts'

/** Reads a text that lies between others, as records do in a batch: what follows it looks like more of it. */
function read(reader: JsonReader, text: string | Buffer, behind = '1}"]'): unknown {
  const value = Buffer.from(text)
  return reader.read(Buffer.concat([Buffer.from('{"'), value, Buffer.from(behind)]), 2, 2 + value.length)
}

/** What it gives, in the order of its keys, or that it throws. */
function outcome(of: () => unknown): { value: unknown; text: string } | { error: string } {
  try {
    const value = of()
    return { value, text: JSON.stringify(value) }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

/** A reader does as `JSON.parse` does with the text of these bytes. */
function same(reader: JsonReader, bytes: Buffer, behind?: string): void {
  assert.deepStrictEqual(
    outcome(() => read(reader, bytes, behind)),
    outcome(() => JSON.parse(bytes.toString()))
  )
}

/** How often `JSON.parse` is called meanwhile, and with what. */
function parsed(during: () => void): string[] {
  const { parse } = JSON
  const texts: string[] = []
  JSON.parse = (text: string, ...rest) => {
    texts.push(text)
    return parse(text, ...rest)
  }
  try {
    during()
  } finally {
    JSON.parse = parse
  }
  return texts
}

function taught(...texts: string[]): JsonReader {
  const reader = new JsonReader()
  for (let i = 0; i < 40; i++) for (const text of texts) read(reader, text)
  return reader
}

describe('JSON read by the shapes seen before', () => {
  it('is what JSON.parse gives, for any values of the keys of earlier ones', () => {
    const texts = fc.oneof(
      fc.string({ maxLength: 40 }),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom(
        '',
        '"',
        '\\',
        '\n',
        '\u2028',
        '\ud800',
        'ü',
        '😀',
        'x'.repeat(23),
        'x'.repeat(24),
        'x'.repeat(25)
      )
    )
    const numbers = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.integer(),
      fc.maxSafeInteger(),
      fc.tuple(fc.integer(), fc.nat(12)).map(([n, places]) => Number((n / 10 ** places).toFixed(places))),
      fc.constantFrom(0, 0.1, 999_999_999_999_999, 1e15, 2 ** 53, 1e21, 5e-324, 1.7976931348623157e308)
    )
    const leaf = fc.oneof(texts, numbers, fc.boolean(), fc.constant(null))
    const inner = fc.record({ a: leaf, 'b-c': leaf })
    const value = fc.oneof(leaf, inner, fc.array(fc.oneof(leaf, inner), { maxLength: 4 }), fc.constant({}))
    const shapes = fc.oneof(
      fc.record({ id: value, amount: value }),
      fc.record({ id: value, text: value, amount: value }),
      fc.record({ id: value, more: fc.record({ id: value, '@type': leaf }) })
    )
    const spaces = fc.constantFrom(undefined, undefined, 1, '\t')
    fc.assert(
      fc.property(fc.array(fc.tuple(shapes, spaces), { minLength: 60, maxLength: 80 }), (all) => {
        const reader = new JsonReader()
        for (const [object, space] of all) same(reader, Buffer.from(JSON.stringify(object, null, space)))
      }),
      { numRuns: 150 }
    )
  })

  it('is what JSON.parse gives, or throws as it does, when bytes were changed, lost or added', () => {
    const random = seededRandom(11)
    const below = (n: number): number => Math.floor(random() * n)
    const texts = [
      '{"id":17,"amount":-12.50,"checked":false,"text":"some text, ünd more","none":null}',
      '{"id":1234567890123456,"list":[1,{"id":2},[true,"é"],[]],"inner":{"a":{"a":{}}}}',
      '{"e":1e3,"z":-0,"big":123456789012345678901234567890,"long":"a text of more than twenty-four bytes \\u00e9"}'
    ]
    const pieces = [
      '"',
      '\\',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '0',
      '1',
      '-',
      '.',
      'e',
      ' ',
      '\n',
      't',
      '\u0000',
      '\xff',
      '\xc3',
      'id'
    ]
    const reader = taught(...texts)
    for (let run = 0; run < 30_000; run++) {
      let bytes = Buffer.from(texts[below(texts.length)]!)
      for (let changes = 1 + below(2); changes > 0; changes--) {
        const at = below(bytes.length)
        const piece = below(4) === 0 ? Buffer.alloc(0) : Buffer.from(pieces[below(pieces.length)]!, 'latin1')
        bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + below(3))])
      }
      same(reader, bytes, ['1}"]', '"}', '}', ' ', ''][below(5)])
      for (let n = 0; n < 2; n++) read(reader, texts[below(2)]!) // unknown ones alone would have it rest
    }
  })

  it('rounds decimals of any length as JSON.parse does, and confuses no texts of one length', () => {
    const reader = taught('{"n":1.5,"text":"a"}')
    const random = seededRandom(5)
    for (let i = 0; i < 20_000; i++) {
      const digits = Array.from({ length: 1 + (i % 22) }, () => Math.floor(random() * 10)).join('')
      const point = Math.floor(random() * digits.length)
      const number = `${Number(digits.slice(0, point))}.${digits.slice(point)}`
      same(reader, Buffer.from(`{"n":${i % 2 ? '-' : ''}${number},"text":"${1_000_000 + i * 7}"}`))
    }
  })

  it('parses nothing of what it knows', () => {
    const text = (n: number) => `{"id": ${n}, "inner": {"name": "n${n}", "list": [1.5, {"x": true}, []]}, "none": {}}`
    const reader = taught(text(0))
    expect(parsed(() => assert.deepEqual(read(reader, text(7)), JSON.parse(text(7))))).to.have.length(1, 'by the spec')
    const odd = '{"id": 1e2, "inner": {"name": "\\"\\n", "list": [1.5, {"x": true}, []]}, "none": {}}'
    expect(parsed(() => read(reader, odd))).to.eql(['1e2', '"\\"\\n"'])
  })

  it('knows the shapes of several records by turns, and new ones later on', () => {
    const texts = Array.from({ length: 40 }, (_, i) => `{"type":"t${i}","k${i % 20}":1${i < 20 ? '' : ',"more":2'}}`)
    const reader = new JsonReader()
    const random = seededRandom(3)
    const any = () => texts[Math.floor(random() * texts.length)]!
    for (let i = 0; i < 200_000; i++) read(reader, any())
    expect(parsed(() => texts.forEach((text) => void read(reader, text)))).to.eql([])
    for (let i = 0; i < 10_000; i++) read(reader, '{"another":1}')
    expect(parsed(() => read(reader, '{"another":1}'))).to.eql([])
  })

  it('does not learn maps, whose keys are never the same, and learns the shapes among them all the same', () => {
    const reader = new JsonReader()
    const good = '{"id":1,"of":{"k1":1}}'
    for (let i = 0; i < 100_000; i++) {
      same(reader, Buffer.from(`{"key${i}":1,"id":{"k${i}":2}}`))
      if (i % 2 === 0) same(reader, Buffer.from(good))
    }
    for (let i = 0; i < 3_000; i++) read(reader, good)
    expect(parsed(() => read(reader, good))).to.eql([])
  })

  it('remembers so many keys and literals, whatever it is given', () => {
    const shapes = new Shapes()
    const count = (point: Point): number =>
      point.nexts.reduce((sum, next) => sum + 2 + count(next.after) + count(next.inner), 0)
    const literals = (point: Point): number =>
      point.nexts.reduce((sum, { after, inner }) => sum + literals(after) + literals(inner), point.make ? 1 : 0)
    let [most, mostLiterals] = [0, 0]
    for (let i = 0; i < 3_000; i++) {
      for (let twice = 0; twice < 2; twice++) shapes.learn({ [`a${i % 40}`]: 1, [`b${i}`]: { [`c${i}`]: 1 }, d: i })
      most = Math.max(most, count(shapes.root))
      mostLiterals = Math.max(mostLiterals, literals(shapes.root))
    }
    expect(most).to.be.within(400, 5_000)
    expect(mostLiterals).to.be.within(120, 200)
    const names = Array.from({ length: 64 }, (_, i) => `k${i}`)
    const wide = (of: (name: string) => unknown): object => Object.fromEntries(names.map((name) => [name, of(name)]))
    shapes.learn(wide(() => wide(() => wide(() => 1))))
    expect(count(shapes.root)).to.be.within(4_000, 5_000)
  })

  it('leaves to JSON.parse keys that a literal takes in another way, or in another order', () => {
    for (const text of [
      '{"__proto__":{"x":1}}',
      '{"b":1,"1":2}',
      '{"a":1,"a":2}',
      '{"a\\"]":1}',
      '{"":1}',
      '{"\u2028":1}'
    ]) {
      const reader = taught(text)
      for (let i = 0; i < 40; i++) same(reader, Buffer.from(text))
      expect(
        parsed(() => read(reader, text)),
        text
      ).to.eql([text])
    }
    const constructed = '{"constructor":1,"toString":2,"hasOwnProperty":3}'
    same(taught(constructed), Buffer.from(constructed))
    expect(({} as Record<string, unknown>).x).to.equal(undefined)
  })

  it("is deep in no one else's stack: objects within objects are read as far as JSON.parse reads them", () => {
    const deep = `${'{"a":'.repeat(500)}1${'}'.repeat(500)}`
    same(taught('{"a":{"a":1}}', deep), Buffer.from(deep))
    const lists = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    expect(read(taught('{"a":{"a":1}}'), lists)).to.be.an('object')
  })

  it('parses all where Node may not compile text', () => {
    const { Function: original } = globalThis
    globalThis.Function = class {
      constructor() {
        throw new EvalError('Code generation from strings disallowed for this context')
      }
    } as unknown as FunctionConstructor
    try {
      const reader = taught('{"a":1}')
      expect(read(reader, '{"a":2}')).to.eql({ a: 2 })
      expect(parsed(() => read(reader, '{"a":2}'))).to.eql(['{"a":2}'])
    } finally {
      globalThis.Function = original
    }
  })
})
