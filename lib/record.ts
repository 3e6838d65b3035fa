/** The record, in its two shapes: columns over a fetch response (RecordSet), and one record on its way through operators. */
import { DecodeError, MillraceError } from './errors.ts'

export interface Tp {
  readonly topic: string
  readonly partition: number
}

/** One string for a partition; unique because a partition has digits only. */
export const tpKey = (topic: string, partition: number): string => `${topic}-${partition}`

/** In order, names may repeat, values may be null. */
export type Headers = readonly (readonly [name: string, value: Buffer | null])[]
export const NO_HEADERS: Headers = Object.freeze([])

/** Bytes ↔ values. Null never reaches a serde: a null key or value stays null on both sides. */
export interface Serde<T> {
  readonly name: string
  encode(value: T): Buffer
  /** Reads [start, end) of `bytes`; must not keep a view into `bytes` (a small value would pin a whole fetch response). */
  decode(bytes: Buffer, start: number, end: number): T
}

/**
 * Records of one partition as columns over one buffer: keys and values stay where the broker's answer put them,
 * no object per record. Positions are byte offsets into `bytes`; an end of -1 means null.
 */
export class RecordSet {
  readonly bytes: Buffer
  readonly offsets: Float64Array
  /** Event time, ms since the epoch. */
  readonly timestamps: Float64Array
  readonly keyStart: Int32Array
  readonly keyEnd: Int32Array
  readonly valueStart: Int32Array
  readonly valueEnd: Int32Array
  /** Where the header count (zig-zag varint) stands; -1 when the record has no headers. */
  readonly headersAt: Int32Array
  /** Filled rows; ≤ capacity. */
  count = 0

  constructor(bytes: Buffer, capacity: number) {
    this.bytes = bytes
    this.offsets = new Float64Array(capacity)
    this.timestamps = new Float64Array(capacity)
    const columns = new Int32Array(capacity * 5)
    this.keyStart = columns.subarray(0, capacity)
    this.keyEnd = columns.subarray(capacity, capacity * 2)
    this.valueStart = columns.subarray(capacity * 2, capacity * 3)
    this.valueEnd = columns.subarray(capacity * 3, capacity * 4)
    this.headersAt = columns.subarray(capacity * 4)
  }

  /** A view, not a copy: copy what is kept. */
  key(i: number): Buffer | null {
    return this.keyEnd[i]! < 0 ? null : this.bytes.subarray(this.keyStart[i]!, this.keyEnd[i]!)
  }

  /** A view, not a copy: copy what is kept. */
  value(i: number): Buffer | null {
    return this.valueEnd[i]! < 0 ? null : this.bytes.subarray(this.valueStart[i]!, this.valueEnd[i]!)
  }

  headers(i: number): Headers {
    const at = this.headersAt[i]!
    return at < 0 ? NO_HEADERS : readHeaders(this.bytes, at)
  }
}

/** Reads headers as the record batch has them: count, then name length, name, value length (-1 null), value. */
export function readHeaders(bytes: Buffer, at: number): Headers {
  let position = at
  const varint = (): number => {
    let result = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[position++]!
      result |= (byte & 0x7f) << shift
      if (byte < 0x80) return (result >>> 1) ^ -(result & 1)
    }
  }
  const headers: [string, Buffer | null][] = []
  for (let n = varint(); n > 0; n--) {
    const nameLength = varint()
    const name = bytes.toString('utf8', position, position + nameLength)
    position += nameLength
    const length = varint()
    headers.push([name, length < 0 ? null : Buffer.from(bytes.subarray(position, position + length))])
    if (length > 0) position += length
  }
  return headers
}

const UNREAD = Symbol('unread')

/**
 * One record between operators. Immutable to users: `withKey`, `withValue` … give a new one. Key and value are decoded when
 * first asked for, so a filter on the key never parses the value, and a sink can copy bytes nobody touched.
 */
export class StreamRecord<K, V> {
  readonly timestamp: number
  /** @internal */ _key: K | typeof UNREAD
  /** @internal */ _value: V | typeof UNREAD
  /** @internal */ _headers: Headers | undefined
  /** @internal The set and row that key, value or headers may still have to be read from. */ _set:
    | RecordSet
    | undefined
  /** @internal */ _row: number
  /** @internal Set as long as the key is the one in `_set`. */ _keySerde: Serde<K> | undefined
  /** @internal Set as long as the value is the one in `_set`. */ _valueSerde: Serde<V> | undefined

  constructor(key: K, value: V, timestamp: number, headers: Headers = NO_HEADERS) {
    this.timestamp = timestamp
    this._key = key
    this._value = value
    this._headers = headers
    this._set = undefined
    this._row = 0
    this._keySerde = undefined
    this._valueSerde = undefined
  }

  /** A record that still lies in its fetch response. */
  static lazy<K, V>(
    set: RecordSet,
    row: number,
    keySerde: Serde<K>,
    valueSerde: Serde<V>,
    timestamp: number
  ): StreamRecord<K, V> {
    const record = new StreamRecord<K, V>(UNREAD as K, UNREAD as V, timestamp)
    record._headers = set.headersAt[row]! < 0 ? NO_HEADERS : undefined
    record._set = set
    record._row = row
    record._keySerde = keySerde
    record._valueSerde = valueSerde
    return record
  }

  /**
   * @internal A change whose key, and whose new value under `valueSerde`, lie in a set: `unwrap` gives a record of that value that a sink can copy
   * as it lies. `withValue` forgets where it lies.
   */
  static stored<K, C>(
    set: RecordSet,
    row: number,
    keySerde: Serde<K>,
    change: C,
    valueSerde: Serde<unknown>,
    timestamp: number,
    headers: Headers
  ): StreamRecord<K, C> {
    const record = new StreamRecord<K, C>(UNREAD as K, change, timestamp, headers)
    record._set = set
    record._row = row
    record._keySerde = keySerde
    record._valueSerde = valueSerde as Serde<C>
    return record
  }

  /** @throws DecodeError when the bytes do not decode. */
  get key(): K {
    return this._key === UNREAD ? this.#readKey() : this._key
  }

  /** @throws DecodeError when the bytes do not decode. */
  get value(): V {
    return this._value === UNREAD ? this.#readValue() : this._value
  }

  get headers(): Headers {
    this._headers ??= this._set!.headers(this._row)
    return this._headers
  }

  withKey<K2>(key: K2): StreamRecord<K2, V> {
    const next = this.#copy(this.timestamp) as unknown as StreamRecord<K2, V>
    next._key = key
    next._keySerde = undefined
    return next
  }

  withValue<V2>(value: V2): StreamRecord<K, V2> {
    const next = this.#copy(this.timestamp) as unknown as StreamRecord<K, V2>
    next._value = value
    next._valueSerde = undefined
    return next
  }

  /** @internal `withValue` for the new value of a change. */
  unwrap<V2>(value: V2): StreamRecord<K, V2> {
    const next = this.#copy(this.timestamp) as unknown as StreamRecord<K, V2>
    next._value = value
    return next
  }

  withTimestamp(timestamp: number): StreamRecord<K, V> {
    return this.#copy(timestamp)
  }

  withHeaders(headers: Headers): StreamRecord<K, V> {
    const next = this.#copy(this.timestamp)
    next._headers = headers
    return next
  }

  #copy(timestamp: number): StreamRecord<K, V> {
    const next = new StreamRecord<K, V>(this._key as K, this._value as V, timestamp)
    next._headers = this._headers
    next._set = this._set
    next._row = this._row
    next._keySerde = this._keySerde
    next._valueSerde = this._valueSerde
    return next
  }

  #readKey(): K {
    const set = this._set!
    const end = set.keyEnd[this._row]!
    this._key = end < 0 ? (null as K) : decode(this._keySerde!, set, this._row, set.keyStart[this._row]!, end, 'key')
    return this._key
  }

  #readValue(): V {
    const set = this._set!
    const end = set.valueEnd[this._row]!
    this._value =
      end < 0 ? (null as V) : decode(this._valueSerde!, set, this._row, set.valueStart[this._row]!, end, 'value')
    return this._value
  }

  /** @internal False for a null value; does not decode one that still lies in its set, and bytes that decode to null are a value, read or not. */
  hasValue(): boolean {
    if (this._value !== UNREAD && this._value != null) return true
    return this._valueSerde !== undefined && this._set!.valueEnd[this._row]! >= 0
  }

  /** @internal True when the other's key was taken over as it lies, unread; false says nothing. */
  sameKey(other: StreamRecord<unknown, unknown>): boolean {
    return (
      this._keySerde !== undefined &&
      this._set === other._set &&
      this._row === other._row &&
      other._keySerde === this._keySerde
    )
  }

  /** @internal The set whose bytes are this record's key under `serde`, unless an object was handed out that may have changed. */
  rawKey(serde: Serde<K>): RecordSet | undefined {
    return this._keySerde === serde && (this._key === UNREAD || typeof this._key !== 'object' || this._key === null)
      ? this._set
      : undefined
  }

  /** @internal As `rawKey`, for the value. */
  rawValue(serde: Serde<V>): RecordSet | undefined {
    return this._valueSerde === serde &&
      (this._value === UNREAD || typeof this._value !== 'object' || this._value === null)
      ? this._set
      : undefined
  }
}

function decode<T>(serde: Serde<T>, set: RecordSet, row: number, start: number, end: number, part: 'key' | 'value'): T {
  try {
    return serde.decode(set.bytes, start, end)
  } catch (cause) {
    const text = set.bytes.toString('latin1', start, Math.min(end, start + 40)).replace(/[^\x20-\x7e]/g, '.')
    throw new DecodeError(
      `The ${part} of the record at offset ${set.offsets[row]} does not decode as ${serde.name}: "${text}"${end - start > 40 ? '…' : ''} (${end - start} bytes). ` +
        `Give the source the serde its producer uses, or declare what happens to such records.`,
      {
        cause: cause instanceof MillraceError ? cause.cause : cause,
        details: { part, offset: set.offsets[row], serde: serde.name }
      }
    )
  }
}
