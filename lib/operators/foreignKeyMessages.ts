/** What the two sides of a foreign-key join tell each other: subscriptions and responses, in the JVM's layout. */
import { createHash } from 'node:crypto'
import type { Serde } from '../record.ts'
import { latin1 } from '../serde/slices.ts'

/** What the right side is to do with a subscription. */
export const UNSUBSCRIBE = 0
export const UNSUBSCRIBE_AND_ANSWER = 1
/** Subscribe, and answer in any case. */
export const ANSWER = 2
/** Subscribe, and answer if there is a row. */
export const ANSWER_IF_FOUND = 3

export interface Subscription {
  readonly instruction: number
  /** Of the left row's value; null when the row was deleted. */
  readonly hash: Buffer | null
  /** Row id of the left row. */
  readonly id: string
  /** Where the left row lives: responses go there. */
  readonly partition: number
}

export interface Response<V> {
  /** As in the subscription; of a farewell that of the foreign key. */
  readonly hash: Buffer | null
  /** The right row's value; null = there is none. */
  readonly value: V | null
  /** The left row has left that foreign key: what was said about it before is void. */
  readonly farewell: boolean
  /** Where it goes; not written. */
  readonly partition: number
}

const HASH = 16
const VERSION = 1
const NO_HASH = 0x80
const NONE = 0
const FOUND = 1
const FAREWELL = 2

/** 128 bits that tell one serialised value from another. */
export const hashOf = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest().subarray(0, HASH)

/** version and flag(1) ‖ instruction(1) ‖ hash(16, if any) ‖ left key ‖ partition(4). */
export const subscriptionSerde: Serde<Subscription> = {
  name: 'subscription',
  encode: ({ instruction, hash, id, partition }) => {
    const start = hash === null ? 2 : 2 + HASH
    const bytes = Buffer.allocUnsafe(start + id.length + 4)
    bytes[0] = hash === null ? VERSION | NO_HASH : VERSION
    bytes[1] = instruction
    if (hash !== null) bytes.set(hash, 2)
    bytes.write(id, start, 'latin1')
    bytes.writeInt32BE(partition, start + id.length)
    return bytes
  },
  decode: (bytes, start, end) => {
    const bare = (bytes[start]! & NO_HASH) !== 0
    const at = start + (bare ? 2 : 2 + HASH)
    return {
      instruction: bytes[start + 1]!,
      hash: bare ? null : Buffer.from(bytes.subarray(start + 2, at)),
      id: latin1(bytes, at, end - 4),
      partition: bytes.readInt32BE(end - 4)
    }
  }
}

/** version and flag(1) ‖ hash(16, if any) ‖ none, found or farewell(1) ‖ right value. */
export const responseSerde = <V>(value: Serde<V>): Serde<Response<V>> => ({
  name: `response(${value.name})`,
  encode: (response) => {
    const head = [Buffer.from([response.hash === null ? VERSION | NO_HASH : VERSION])]
    const parts: Buffer[] = response.hash === null ? head : [...head, response.hash]
    if (response.value === null) return Buffer.concat([...parts, Buffer.from([response.farewell ? FAREWELL : NONE])])
    return Buffer.concat([...parts, Buffer.from([FOUND]), value.encode(response.value)])
  },
  decode: (bytes, start, end) => {
    const bare = (bytes[start]! & NO_HASH) !== 0
    const at = start + (bare ? 1 : 1 + HASH)
    return {
      hash: bare ? null : Buffer.from(bytes.subarray(start + 1, at)),
      value: bytes[at] === FOUND ? value.decode(bytes, at + 1, end) : null,
      farewell: bytes[at] === FAREWELL,
      partition: -1
    }
  }
})
