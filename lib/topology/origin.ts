/** Where a record came from, with the bytes it came in: what a dead letter is made of. */
import type { Headers, RecordSet } from '../record.ts'
import type { RecordContext } from './node.ts'

/** The record as it stood on its topic. Bytes are views: copy what is kept. */
export interface OriginalRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestamp: number
  readonly headers: Headers
}

export class Origin implements RecordContext {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly #set: RecordSet
  readonly #row: number
  readonly #headers: Headers | undefined

  /** @param headers where they do not lie in the set */
  constructor(topic: string, partition: number, set: RecordSet, row: number, headers?: Headers) {
    this.topic = topic
    this.partition = partition
    this.offset = set.offsets[row]!
    this.#set = set
    this.#row = row
    this.#headers = headers
  }

  /** Of a context as an operator was given it; undefined when that is none of ours. */
  static original(source: RecordContext | undefined): OriginalRecord | undefined {
    if (!(source instanceof Origin)) return undefined
    const set = source.#set
    const row = source.#row
    const headers = source.#headers ?? set.headers(row)
    return { key: set.key(row), value: set.value(row), timestamp: set.timestamps[row]!, headers }
  }

  /** The set and row it lies in; undefined as above. */
  static place(source: RecordContext | undefined): { readonly set: RecordSet; readonly row: number } | undefined {
    return source instanceof Origin ? { set: source.#set, row: source.#row } : undefined
  }
}
