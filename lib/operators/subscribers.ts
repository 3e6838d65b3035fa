/** Who has subscribed to which foreign key: rows that are found by point reads, however many subscribers a key has. */
import { NO_HEADERS, type Serde } from '../record.ts'
import { latin1 } from '../serde/slices.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'

export interface Subscriber {
  /** Of the value that subscribed; null when there was none. */
  readonly hash: Buffer | null
  readonly partition: number
}

/** A row of the store. The head of a key holds its subscribers, or, when they are many, says over how many rows they are spread. */
export interface SubscriberRow {
  /** 0: they are in `list`. Else they are in 2^depth further rows, by a hash of their id. */
  depth: number
  /** All subscribers of the key; of the head only. */
  count: number
  /** By row id of the left row. */
  list: Map<string, Subscriber>
}

/** A row with more is spread: it is written anew whenever one of its subscribers changes. */
const MOST = 256
const STEP = 3 // bits: eight times as many rows
const DEEPEST = 12

const headId = (key: string): string => `\u0000${key}`

/** Keys have any length, so their length stands in front: no key begins as another's bucket does. */
function bucketId(key: string, depth: number, bucket: number): string {
  const head = Buffer.allocUnsafe(8)
  head[0] = 1
  head.writeUInt32BE(key.length, 1)
  head[5] = depth
  head.writeUInt16BE(bucket, 6)
  return latin1(head, 0, 5) + key + latin1(head, 5, 8)
}

/** FNV-1a, the lowest bits. */
function bucketOf(id: string, depth: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) & ((1 << depth) - 1)
}

const empty = (): SubscriberRow => ({ depth: 0, count: 0, list: new Map() })

export class Subscribers {
  readonly #store: RowStore<SubscriberRow>

  constructor(store: RowStore<SubscriberRow>) {
    this.#store = store
  }

  prefetch(keys: Iterable<string>): MaybePromise<void> {
    return this.#store.prefetch(heads(keys))
  }

  put(key: string, id: string, subscriber: Subscriber, timestamp: number): MaybePromise<void> {
    const head = this.#store.row(headId(key))
    if (head instanceof Promise) return head.then((row) => this.#put(row, key, id, subscriber, timestamp))
    return this.#put(head, key, id, subscriber, timestamp)
  }

  remove(key: string, id: string, timestamp: number): MaybePromise<void> {
    const head = this.#store.row(headId(key))
    if (head instanceof Promise) return head.then((row) => this.#remove(row, key, id, timestamp))
    return this.#remove(head, key, id, timestamp)
  }

  /** By their ids, in order. */
  all(key: string): MaybePromise<[id: string, Subscriber][]> {
    const head = this.#store.row(headId(key))
    if (head instanceof Promise) return head.then((row) => this.#all(row, key))
    return this.#all(head, key)
  }

  #all(head: Row<SubscriberRow>, key: string): MaybePromise<[id: string, Subscriber][]> {
    const value = head.value
    if (value === null) return []
    if (value.depth === 0) return sorted(value.list)
    return this.#buckets(key, value.depth).then((rows) => sorted(rows.flatMap((row) => [...(row.value?.list ?? [])])))
  }

  #put(
    head: Row<SubscriberRow>,
    key: string,
    id: string,
    subscriber: Subscriber,
    timestamp: number
  ): MaybePromise<void> {
    const value = head.value ?? empty()
    if (value.depth > 0) return this.#putBelow(head, value, key, id, subscriber, timestamp)
    value.list.set(id, subscriber)
    value.count = value.list.size
    this.#store.set(head, value, Math.max(timestamp, head.timestamp), NO_HEADERS)
    if (value.count > MOST) return this.#spread(head, key, timestamp)
  }

  async #putBelow(
    head: Row<SubscriberRow>,
    value: SubscriberRow,
    key: string,
    id: string,
    subscriber: Subscriber,
    timestamp: number
  ): Promise<void> {
    const row = await this.#store.row(bucketId(key, value.depth, bucketOf(id, value.depth)))
    const bucket = row.value ?? empty()
    if (!bucket.list.has(id)) {
      value.count++
      this.#store.set(head, value, Math.max(timestamp, head.timestamp), NO_HEADERS)
    }
    bucket.list.set(id, subscriber)
    this.#store.set(row, bucket, Math.max(timestamp, row.timestamp), NO_HEADERS)
    if (value.count > MOST << value.depth && value.depth < DEEPEST) await this.#spread(head, key, timestamp)
  }

  #remove(head: Row<SubscriberRow>, key: string, id: string, timestamp: number): MaybePromise<void> {
    const value = head.value
    if (value === null) return
    if (value.depth > 0) return this.#removeBelow(head, value, key, id, timestamp)
    if (!value.list.delete(id)) return
    value.count = value.list.size
    this.#store.set(head, value.count === 0 ? null : value, Math.max(timestamp, head.timestamp), NO_HEADERS)
  }

  async #removeBelow(
    head: Row<SubscriberRow>,
    value: SubscriberRow,
    key: string,
    id: string,
    timestamp: number
  ): Promise<void> {
    const row = await this.#store.row(bucketId(key, value.depth, bucketOf(id, value.depth)))
    const bucket = row.value
    if (bucket === null || !bucket.list.delete(id)) return
    value.count--
    this.#store.set(row, bucket.list.size === 0 ? null : bucket, Math.max(timestamp, row.timestamp), NO_HEADERS)
    this.#store.set(head, value.count === 0 ? null : value, Math.max(timestamp, head.timestamp), NO_HEADERS)
  }

  /** Eight times as many rows: done a few times in a key's life, each time for all its subscribers. */
  async #spread(head: Row<SubscriberRow>, key: string, timestamp: number): Promise<void> {
    const value = head.value!
    const time = Math.max(timestamp, head.timestamp)
    const entries = [...value.list]
    if (value.depth > 0) {
      for (const row of await this.#buckets(key, value.depth)) {
        if (row.value === null) continue
        entries.push(...row.value.list)
        this.#store.set(row, null, time, NO_HEADERS)
      }
    }
    const depth = value.depth + STEP
    const rows = await this.#buckets(key, depth)
    const buckets = rows.map(() => empty())
    for (const [id, subscriber] of entries) buckets[bucketOf(id, depth)]!.list.set(id, subscriber)
    for (const [i, bucket] of buckets.entries()) {
      if (bucket.list.size > 0) this.#store.set(rows[i]!, bucket, time, NO_HEADERS)
    }
    this.#store.set(head, { depth, count: value.count, list: new Map() }, time, NO_HEADERS)
  }

  async #buckets(key: string, depth: number): Promise<Row<SubscriberRow>[]> {
    const ids = Array.from({ length: 1 << depth }, (_, bucket) => bucketId(key, depth, bucket))
    await this.#store.prefetch(ids)
    return Promise.all(ids.map((id) => this.#store.row(id)))
  }
}

function* heads(keys: Iterable<string>): Generator<string> {
  for (const key of keys) yield headId(key)
}

const sorted = (list: Iterable<[string, Subscriber]>): [string, Subscriber][] =>
  [...list].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

/** depth(1) ‖ count(4) ‖ (partition(4) ‖ hash?(1) ‖ hash(16, if any) ‖ length(4) ‖ id)*. */
export const subscriberSerde: Serde<SubscriberRow> = {
  name: 'subscribers',
  encode: ({ depth, count, list }) => {
    let length = 5
    for (const [id, { hash }] of list) length += 9 + (hash === null ? 0 : 16) + id.length
    const bytes = Buffer.allocUnsafe(length)
    bytes[0] = depth
    bytes.writeUInt32BE(count, 1)
    let at = 5
    for (const [id, { hash, partition }] of list) {
      at = bytes.writeInt32BE(partition, at)
      bytes[at++] = hash === null ? 0 : 1
      if (hash !== null) {
        bytes.set(hash, at)
        at += 16
      }
      at = bytes.writeUInt32BE(id.length, at)
      at += bytes.write(id, at, 'latin1')
    }
    return bytes
  },
  decode: (bytes, start, end) => {
    const row: SubscriberRow = { depth: bytes[start]!, count: bytes.readUInt32BE(start + 1), list: new Map() }
    for (let at = start + 5; at < end; ) {
      const partition = bytes.readInt32BE(at)
      const hashed = bytes[at + 4] === 1
      at += 5
      const hash = hashed ? Buffer.from(bytes.subarray(at, at + 16)) : null
      if (hashed) at += 16
      const length = bytes.readUInt32BE(at)
      at += 4
      row.list.set(latin1(bytes, at, at + length), { hash, partition })
      at += length
    }
    return row
  }
}
