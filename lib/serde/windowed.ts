/** Keys of windows, on topics as the JVM writes them: key ‖ start, of sessions key ‖ end ‖ start (8 bytes each, big-endian); in changelogs of its window stores key ‖ start ‖ number(4). */
import { ConfigError, DecodeError } from '../errors.ts'
import type { Serde } from '../record.ts'
import { type Duration, ms } from '../time.ts'
import { long } from './numbers.ts'

/** A key and its window, ms since the epoch: [start, end), of sliding windows and sessions [start, end]. */
export interface Windowed<K> {
  readonly key: K
  readonly start: number
  readonly end: number
}

export interface WindowedSerde<K> extends Serde<Windowed<K>> {
  /** The serde of the raw key; partitions are chosen by it alone. */
  readonly inner: Serde<K>
  /** ms; 0 of sessions, whose keys say where they end. */
  readonly size: number
}

const cache = new WeakMap<Serde<unknown>, Map<string, WindowedSerde<unknown>>>()

/**
 * Windowed keys in the JVM's binary form. The end is not written: the reader must know the size.
 * The same inner serde and size give the same object.
 * @param size the size of the windows, in ms or as '5m'
 * @param options `changelog`: keys of the changelog of a window store of Kafka Streams, which end with a number (0 but in stores that keep equal keys)
 * @throws ConfigError when the size is not above 0; DecodeError when the bytes are shorter than a start.
 * @example windowed(string(), '1d').encode({ key: 'a', start: 2, end: 86_400_002 }).toString('hex') // → '610000000000000002'
 * @example topic('app-counts-changelog', { key: windowed(string(), '1d', { changelog: true }), value: long() })
 * @example topic('delays', { key: windowed(string(), '1d'), value: json<Delay>() })
 */
export function windowed<K>(
  inner: Serde<K>,
  size: Duration,
  { changelog = false }: { readonly changelog?: boolean } = {}
): WindowedSerde<K> {
  const sizeMs = ms(size)
  if (sizeMs <= 0) throw new ConfigError(`windowed() needs a size above 0, not ${size}.`)
  return windowedBySize(inner, sizeMs, changelog ? NUMBER : 0)
}

/** @internal As `windowed`, for any size of the DSL's windows: 0 of a sliding window, Infinity of the unlimited one. */
export function windowedBySize<K>(inner: Serde<K>, sizeMs: number, tail = 0): WindowedSerde<K> {
  const made = cache.get(inner as Serde<unknown>) ?? new Map<string, WindowedSerde<unknown>>()
  cache.set(inner as Serde<unknown>, made)
  const id = `${sizeMs} ${tail}`
  const known = made.get(id)
  if (known) return known as unknown as WindowedSerde<K>
  const serde = make(inner, sizeMs, tail)
  made.set(id, serde as unknown as WindowedSerde<unknown>)
  return serde
}

/** Bytes of the number at the end of changelog keys. */
const NUMBER = 4

function make<K>(inner: Serde<K>, size: number, tail: number): WindowedSerde<K> {
  const least = 8 + tail
  return {
    name: `windowed(${inner.name}, ${size}${tail > 0 ? ', changelog' : ''})`,
    inner,
    size,
    encode: ({ key, start }) => Buffer.concat([inner.encode(key), long().encode(start), Buffer.alloc(tail)]),
    decode(bytes, from, to) {
      if (to - from < least)
        throw new DecodeError(
          `windowed() found ${to - from} bytes: a windowed key ends with ${least} bytes of start time${tail > 0 ? ' and number' : ''}.`
        )
      const start = long().decode(bytes, to - least, to - tail)
      return { key: inner.decode(bytes, from, to - least), start, end: start + size }
    }
  }
}

const sessions = new WeakMap<Serde<unknown>, WindowedSerde<unknown>>()

/**
 * Keys of sessions in the JVM's binary form: key ‖ end ‖ start. The same inner serde gives the same object.
 * @throws DecodeError when the bytes are shorter than an end and a start.
 * @example sessionWindowed(string()).encode({ key: 'a', start: 2, end: 3 }).toString('hex') // → '6100000000000000030000000000000002'
 */
export function sessionWindowed<K>(inner: Serde<K>): WindowedSerde<K> {
  const known = sessions.get(inner as Serde<unknown>)
  if (known) return known as unknown as WindowedSerde<K>
  const serde: WindowedSerde<K> = {
    name: `sessionWindowed(${inner.name})`,
    inner,
    size: 0,
    encode: ({ key, start, end }) => Buffer.concat([inner.encode(key), long().encode(end), long().encode(start)]),
    decode(bytes, from, to) {
      if (to - from < 16)
        throw new DecodeError(
          `sessionWindowed() found ${to - from} bytes: the key of a session ends with 16 bytes of end and start time.`
        )
      const end = long().decode(bytes, to - 16, to - 8)
      return { key: inner.decode(bytes, from, to - 16), start: long().decode(bytes, to - 8, to), end }
    }
  }
  sessions.set(inner as Serde<unknown>, serde as unknown as WindowedSerde<unknown>)
  return serde
}

/** True for a serde made by `windowed` or `sessionWindowed`. */
export const isWindowed = (serde: Serde<unknown>): serde is WindowedSerde<unknown> =>
  'inner' in serde && 'size' in serde
