/**
 * JSON by the shapes seen before: keys are compared with those of earlier values, not parsed, and the object is made at once by a literal of
 * its shape. A third to four fifths of the time of `JSON.parse`, which teaches the shapes, takes what is unknown, and so gives every error.
 * Where V8 is the faster one (long texts and lists, many digits, escapes, keys that are never the same) values soon go there at once.
 */
import { type Next, nextOf, type Point, Shapes } from './jsonShapes.ts'
import { latin1, utf8 } from './slices.ts'

/** An unknown value counts twice against a known one. Beyond this balance, as many as REST are parsed at once. */
const VAIN = 32
const REST = 2_000
/** One of so many unknown values teaches, and one of so many at rest: keys that are never the same must not cost more than they can bring. */
const LESSON = 8
const REST_LESSON = 128
const MOST_LEVELS = 40
/** Numbers of 16 and more digits, and texts with escapes, are parsed piece by piece: with more of them a value is parsed as a whole. */
const MOST_RARE = 2
/** A longer text is looked through by Node, a longer list of plain items is parsed. */
const LONG_TEXT = 96
const LONG_LIST = 64
/** A larger value is not held on to by what has read it. */
const LARGE = 1 << 16

/** Not JSON, or of no known shape. */
const UNKNOWN = Symbol('unknown')

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const SPACE = 0x20
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30

const TENS = Array.from({ length: 16 }, (_, power) => 10 ** power)

/** Characters that stand for themselves, one byte each. */
const PLAIN = new Uint8Array(256)
for (let code = SPACE; code < 0x80; code++) PLAIN[code] = code === QUOTE || code === BACKSLASH ? 0 : 1

/** Short texts repeat: to find one is cheaper than to make it. By hash of the bytes; whichever came last is kept. */
const SHORT = 24
const SLOTS = 1_024
const texts: string[] = new Array(SLOTS).fill('')

const isSpace = (code: number): boolean => code === SPACE || code === 0x0a || code === 0x0d || code === 0x09

/** For values of one origin, which have few shapes. */
export class JsonReader {
  readonly #shapes = new Shapes()
  readonly #values: unknown[] = [] // of the objects that are being read, the outer ones first
  #at = 0
  #end = 0
  #vain = 0
  #unknown = 0
  #rares = 0
  #off = false

  /** @throws SyntaxError when the range is not JSON */
  read(bytes: Buffer, start: number, end: number): unknown {
    if (this.#off || bytes[start] !== 0x7b) return JSON.parse(utf8(bytes, start, end))
    if (this.#vain >= VAIN) return this.#rest(bytes, start, end)
    const known = this.#try(bytes, start, end)
    if (end - start > LARGE) this.#values.length = 0
    if (known !== UNKNOWN) {
      if (this.#vain > 0) this.#vain--
      return known
    }
    this.#vain += 2
    const value: unknown = JSON.parse(utf8(bytes, start, end))
    if (this.#unknown++ % (LESSON << this.#shapes.forgotten) === 0) this.#learn(value)
    return value
  }

  #rest(bytes: Buffer, start: number, end: number): unknown {
    const value: unknown = JSON.parse(utf8(bytes, start, end))
    if (++this.#vain > REST) this.#vain = 0
    else if (this.#vain % (REST_LESSON << this.#shapes.forgotten) === 0) this.#learn(value)
    return value
  }

  #learn(value: unknown): void {
    try {
      this.#shapes.learn(value)
    } catch {
      this.#off = true
    }
  }

  #try(bytes: Buffer, start: number, end: number): unknown {
    this.#at = start
    this.#end = end
    this.#rares = 0
    const value = this.#object(bytes, this.#shapes.root, 0, 0)
    while (this.#at < end && isSpace(bytes[this.#at]!)) this.#at++
    return this.#at === end ? value : UNKNOWN
  }

  #object(bytes: Buffer, root: Point, base: number, level: number): unknown {
    this.#at++
    if (this.#skip(bytes) === 0x7d) {
      this.#at++
      return {}
    }
    let point = root
    let top = base
    for (;;) {
      const next = nextOf(point, bytes, this.#at)
      if (next === undefined) return UNKNOWN
      this.#at += next.bytes.length
      const value = this.#any(bytes, next, top, level)
      if (value === UNKNOWN) return UNKNOWN
      this.#values[top++] = value
      point = next.after
      const code = this.#skip(bytes)
      this.#at++
      if (code === COMMA) this.#skip(bytes)
      else if (code !== 0x7d || point.make === undefined) return UNKNOWN
      else return point.make(this.#values, base)
    }
  }

  #array(bytes: Buffer, of: Next, base: number, level: number): unknown {
    this.#at++
    if (this.#skip(bytes) === 0x5d) {
      this.#at++
      return []
    }
    let top = base
    for (;;) {
      const item = this.#any(bytes, of, top, level)
      if (item === UNKNOWN || (top - base === LONG_LIST && typeof item !== 'object')) return UNKNOWN
      this.#values[top++] = item
      const code = this.#skip(bytes)
      this.#at++
      if (code === 0x5d) return this.#values.slice(base, top) // of the right size: one that grows keeps room for more
      if (code !== COMMA) return UNKNOWN
    }
  }

  #any(bytes: Buffer, of: Next, top: number, level: number): unknown {
    const code = this.#skip(bytes)
    if (code === QUOTE) return this.#text(bytes)
    if (code === MINUS || (code >= ZERO && code <= 0x39)) return this.#number(bytes)
    if (code === 0x74) return this.#word(bytes, 'true', true)
    if (code === 0x66) return this.#word(bytes, 'false', false)
    if (code === 0x6e) return this.#word(bytes, 'null', null)
    if (level === MOST_LEVELS) return UNKNOWN
    if (code === 0x7b) return this.#object(bytes, of.inner, top, level + 1)
    return code === 0x5b ? this.#array(bytes, of, top, level + 1) : UNKNOWN
  }

  /** @returns the next byte that is no white space */
  #skip(bytes: Buffer): number {
    let code = bytes[this.#at]!
    while (code <= SPACE && isSpace(code)) code = bytes[++this.#at]!
    return code
  }

  #word(bytes: Buffer, word: string, value: unknown): unknown {
    for (let i = 1; i < word.length; i++) if (bytes[this.#at + i] !== word.charCodeAt(i)) return UNKNOWN
    this.#at += word.length
    return value
  }

  /**
   * Up to 15 digits are exact, and so is their one division by a power of ten (Clinger, "How to read floating point numbers accurately", 1990).
   */
  #number(bytes: Buffer): unknown {
    const negative = bytes[this.#at] === MINUS
    const from = negative ? this.#at + 1 : this.#at
    let at = from
    let n = 0
    let digit = bytes[at]! - ZERO
    while (digit >= 0 && digit <= 9) {
      n = n * 10 + digit
      digit = bytes[++at]! - ZERO
    }
    const whole = at - from
    if (whole === 0 || (whole > 1 && bytes[from] === ZERO)) return UNKNOWN
    let digits = whole
    if (bytes[at] === DOT) {
      const point = ++at
      digit = bytes[at]! - ZERO
      while (digit >= 0 && digit <= 9) {
        n = n * 10 + digit
        digit = bytes[++at]! - ZERO
      }
      if (at === point) return UNKNOWN
      digits += at - point
      n /= TENS[at - point] ?? 1
    }
    if (digits > 15 || bytes[at] === 0x65 || bytes[at] === 0x45) return this.#rareNumber(bytes)
    this.#at = at
    return negative ? -n : n
  }

  #rareNumber(bytes: Buffer): unknown {
    let to = this.#at
    while (to < this.#end && NUMERIC[bytes[to]!] === 1) to++
    return this.#rare(bytes, to)
  }

  #text(bytes: Buffer): unknown {
    const end = this.#end
    const from = this.#at + 1
    const short = Math.min(end, from + SHORT)
    let to = from
    let hash = 0
    let code = 0
    while (to < short) {
      code = bytes[to]!
      if (PLAIN[code] === 0) break
      hash = (Math.imul(hash, 31) + code) | 0
      to++
    }
    if (to < short && code === QUOTE) {
      this.#at = to + 1
      return shortText(bytes, from, to, hash)
    }
    const long = Math.min(end, from + LONG_TEXT)
    let beyond = 0 // ASCII
    while (to < long) {
      code = bytes[to]!
      if (code === QUOTE) {
        this.#at = to + 1
        return beyond < 0x80 ? latin1(bytes, from, to) : utf8(bytes, from, to)
      }
      if (code === BACKSLASH || code < SPACE) break
      beyond |= code
      to++
    }
    return to === long ? this.#longText(bytes, to) : this.#rareText(bytes, to)
  }

  #longText(bytes: Buffer, from: number): unknown {
    let to = bytes.indexOf(QUOTE, from)
    while (to >= 0 && to < this.#end && escaped(bytes, to)) to = bytes.indexOf(QUOTE, to + 1)
    return to >= 0 && to < this.#end ? this.#parsed(bytes, to + 1) : UNKNOWN
  }

  /** With escapes, or what no JSON may have. */
  #rareText(bytes: Buffer, at: number): unknown {
    let to = at
    const long = Math.min(this.#end, at + LONG_TEXT)
    while (to < long && bytes[to] !== QUOTE) to += bytes[to] === BACKSLASH ? 2 : 1
    return to < long ? this.#rare(bytes, to + 1) : this.#longText(bytes, to)
  }

  #rare(bytes: Buffer, to: number): unknown {
    return ++this.#rares > MOST_RARE ? UNKNOWN : this.#parsed(bytes, to)
  }

  #parsed(bytes: Buffer, to: number): unknown {
    try {
      const value: unknown = JSON.parse(utf8(bytes, this.#at, to))
      this.#at = to
      return value
    } catch {
      return UNKNOWN // the whole is no JSON either, and says better where
    }
  }
}

/** An odd number of backslashes stands before it; the quote that opens the text ends them. */
function escaped(bytes: Buffer, at: number): boolean {
  let from = at
  while (bytes[from - 1] === BACKSLASH) from--
  return (at - from) % 2 === 1
}

const NUMERIC = new Uint8Array(256)
for (const character of '0123456789+-.eE') NUMERIC[character.charCodeAt(0)] = 1

function shortText(bytes: Buffer, from: number, to: number, hash: number): string {
  const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1)
  const text = texts[slot]!
  if (text.length === to - from) {
    let at = from
    while (at < to && text.charCodeAt(at - from) === bytes[at]) at++
    if (at === to) return text
  }
  const made = latin1(bytes, from, to)
  texts[slot] = made
  return made
}
