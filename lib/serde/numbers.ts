/** Numbers in Java's binary forms: int (4 bytes), long (8), double (8), big-endian. */
import { DecodeError, EncodeError } from '../errors.ts'
import type { Serde } from '../record.ts'
import { readInt64, writeInt64 } from './int64.ts'
import { written } from './write.ts'

function sized(name: string, size: number, start: number, end: number): void {
  if (end - start !== size) {
    throw new DecodeError(
      `${name}() reads ${size} bytes, found ${end - start}. Use the serde that the producer of this topic uses.`
    )
  }
}

function refuse(name: string, what: string, value: unknown): never {
  throw new EncodeError(
    `${name}() encodes ${what}, not ${typeof value === 'object' ? 'an object' : `${typeof value} ${String(value)}`}.`
  )
}

const INT: Serde<number> = {
  name: 'int',
  encode(value) {
    if (!Number.isInteger(value) || value < -2_147_483_648 || value > 2_147_483_647) {
      refuse('int', 'whole numbers of 32 bits', value)
    }
    const out = Buffer.allocUnsafe(4)
    out.writeInt32BE(value, 0)
    return out
  },
  decode(bytes, start, end) {
    sized('int', 4, start, end)
    return bytes.readInt32BE(start)
  }
}

function writeLong(value: number, target: Buffer, at: number): number {
  if (!Number.isSafeInteger(value)) refuse('long', 'whole numbers between ±(2^53 − 1)', value)
  if (at + 8 > target.length) return -1
  writeInt64(target, value, at)
  return at + 8
}

const LONG: Serde<number> = {
  name: 'long',
  encode: written((value) => {
    const out = Buffer.allocUnsafe(8)
    writeLong(value, out, 0)
    return out
  }, writeLong),
  decode(bytes, start, end) {
    sized('long', 8, start, end)
    const value = readInt64(bytes, start)
    if (!Number.isSafeInteger(value)) {
      throw new DecodeError(
        `long() found ${bytes.readBigInt64BE(start)}, which a number cannot hold: use a serde of your own.`
      )
    }
    return value
  }
}

const DOUBLE: Serde<number> = {
  name: 'double',
  encode(value) {
    if (typeof value !== 'number') refuse('double', 'numbers', value)
    const out = Buffer.allocUnsafe(8)
    out.writeDoubleBE(value, 0)
    return out
  },
  decode(bytes, start, end) {
    sized('double', 8, start, end)
    return bytes.readDoubleBE(start)
  }
}

/** A whole number of 32 bits, as Java's IntegerSerializer. @throws EncodeError, DecodeError out of range or of another size. */
export const int = (): Serde<number> => INT
/**
 * A whole number of 64 bits, as Java's LongSerializer; only what a number holds exactly (±(2^53 − 1)).
 * @throws EncodeError, DecodeError beyond
 * @example long().encode(-2).toString('hex') // → 'fffffffffffffffe'
 */
export const long = (): Serde<number> => LONG
/** A floating-point number, as Java's DoubleSerializer; NaN and infinities included. @throws EncodeError, DecodeError. */
export const double = (): Serde<number> => DOUBLE
