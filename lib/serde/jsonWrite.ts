/**
 * JSON of plain data straight into a buffer, byte for byte what `JSON.stringify` gives as UTF-8: no text in between, of which V8 makes one
 * object, flattens it and copies it out.
 */
import { writeText } from './write.ts'

/** Not plain data, or no room for it: whoever called takes the long way. What was written does not count. */
const NO = -1
/** Beyond it lies a cycle, nearly always: `JSON.stringify` finds out. */
const MOST_LEVELS = 40
/** Longer texts are written by Node: a call costs more than some characters, and less than many. */
const LONG = 80

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a

type Plain = Readonly<Record<string, unknown>> & { readonly toJSON?: unknown }

/** @returns the end of an object or array in `target`, or -1 */
export function writeJson(value: unknown, target: Buffer, at: number): number {
  if (typeof value !== 'object' || value === null || value instanceof Date) return NO
  // What is inherited by all objects would be among the keys.
  for (const _inherited in Object.prototype) return NO
  return compound(value, target, at, 0)
}

function compound(value: object, target: Buffer, at: number, level: number): number {
  if (level > MOST_LEVELS) return NO
  if (Array.isArray(value)) return items(value, target, at, level)
  const proto = Object.getPrototypeOf(value)
  if (proto !== Object.prototype) {
    // A Date does not ask where it stands; other classes may.
    const date = proto === Date.prototype && (value as Date).toJSON === Date.prototype.toJSON
    return date ? writeText(JSON.stringify(value), target, at) : NO
  }
  return fields(value as Plain, target, at, level)
}

function fields(value: Plain, target: Buffer, from: number, level: number): number {
  if (value.toJSON !== undefined) return NO
  let at = from
  target[at++] = 0x7b
  let empty = true
  for (const key in value) {
    const field = value[key]
    if (field === undefined || typeof field === 'symbol') continue
    if (!empty) target[at++] = COMMA
    empty = false
    at = text(key, target, at)
    if (at < 0) return NO
    target[at++] = COLON
    at = any(field, target, at, level)
    if (at < 0) return NO
  }
  target[at++] = 0x7d
  return at <= target.length ? at : NO
}

function items(value: readonly unknown[], target: Buffer, from: number, level: number): number {
  if ((value as { readonly toJSON?: unknown }).toJSON !== undefined) return NO
  let at = from
  target[at++] = 0x5b
  const { length } = value
  for (let i = 0; i < length; i++) {
    if (i > 0) target[at++] = COMMA
    const item = value[i]
    at = any(item === undefined || typeof item === 'symbol' ? null : item, target, at, level)
    if (at < 0) return NO
  }
  target[at++] = 0x5d
  return at <= target.length ? at : NO
}

function any(value: unknown, target: Buffer, at: number, level: number): number {
  if (typeof value === 'string') return text(value, target, at)
  if (typeof value === 'number') return number(value, target, at)
  if (value === true) return word('true', target, at)
  if (value === false) return word('false', target, at)
  if (value === null) return word('null', target, at)
  return typeof value === 'object' ? compound(value, target, at, level + 1) : NO
}

function text(value: string, target: Buffer, from: number): number {
  const { length } = value
  if (length > LONG) return longText(value, target, from)
  if (from + length * 2 + 2 > target.length) return NO
  let at = from
  target[at++] = QUOTE
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i)
    if (code === QUOTE || code === BACKSLASH) {
      target[at++] = BACKSLASH
      target[at++] = code
    } else if (code >= 0x20 && code < 0x80) target[at++] = code
    else if (code >= 0x80 && code < 0x800) {
      target[at++] = 0xc0 | (code >>> 6)
      target[at++] = 0x80 | (code & 0x3f)
    } else return longText(value, target, from)
  }
  target[at++] = QUOTE
  return at
}

/** What JSON writes in another way: quotes, backslashes, control characters, halves of surrogate pairs (and whole pairs, which it does not). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ESCAPED = /["\\\u0000-\u001f\ud800-\udfff]/

function longText(value: string, target: Buffer, from: number): number {
  if (ESCAPED.test(value)) return writeText(JSON.stringify(value), target, from)
  const end = writeText(value, target, from + 1)
  if (end < 0 || end >= target.length) return NO
  target[from] = QUOTE
  target[end] = QUOTE
  return end + 1
}

function number(value: number, target: Buffer, at: number): number {
  if (at + 24 > target.length) return NO
  if (!Number.isSafeInteger(value)) return word(Number.isFinite(value) ? String(value) : 'null', target, at)
  if (value >= 0) return digits(value, target, at)
  target[at] = 0x2d
  return digits(-value, target, at + 1)
}

const BILLION = 1_000_000_000

/** @param value 0 to 2^53 − 1 */
function digits(value: number, target: Buffer, at: number): number {
  if (value < BILLION) return small(value, target, at, lengthOf(value))
  const high = Math.floor(value / BILLION)
  return small(value - high * BILLION, target, small(high, target, at, lengthOf(high)), 9)
}

function small(value: number, target: Buffer, at: number, length: number): number {
  let rest = value | 0
  for (let to = at + length - 1; to >= at; to--) {
    const tenth = (rest / 10) | 0
    target[to] = 0x30 + rest - tenth * 10
    rest = tenth
  }
  return at + length
}

function lengthOf(value: number): number {
  let length = 1
  for (let limit = 10; value >= limit; limit *= 10) length++
  return length
}

/** ASCII without anything to escape. */
function word(value: string, target: Buffer, from: number): number {
  if (from + value.length > target.length) return NO
  let at = from
  for (let i = 0; i < value.length; i++) target[at++] = value.charCodeAt(i)
  return at
}
