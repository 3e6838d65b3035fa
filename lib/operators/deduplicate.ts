/** Passes the first of equal records and drops the others, within a time. */
import type { RecordSet, Serde, StreamRecord } from '../record.ts'
import { latin1, windowId } from '../store/bytes.ts'
import type { MaybePromise, Row } from '../store/port.ts'
import type { WindowRowStore } from '../store/windowRows.ts'
import type { Operator, OperatorContext } from '../topology/node.ts'
import { RowIds } from './rowIds.ts'

export interface Deduplication<K, V> {
  /** Two records that are at most so far apart are equal when their ids are, ms. */
  readonly within: number
  /** A record that comes later than this after `within` cannot be checked any more, ms. */
  readonly grace: number
  /** What makes records equal. undefined = the key. */
  readonly by: ((record: StreamRecord<K, V>) => string | null) | undefined
}

/** Rows are kept as long as a record that is still taken can ask for them. */
export const deduplicateRetention = ({ within, grace }: Deduplication<never, never>): number => 3 * within + grace + 1

/**
 * The record that comes first passes, whatever its event time; one that lies within the time of it, before or behind, is dropped as
 * 'duplicate'. The times of the records that passed lie in rows per id and bucket of time, at most one in each: a record asks for three.
 * Records without id pass.
 * @example
 * t.stream(flights).deduplicate({ within: '10m', name: 'flights-once' })
 */
export class DeduplicateOperator<K, V> implements Operator {
  readonly prefetchByTime = true
  readonly #name: string
  readonly #options: Deduplication<K, V>
  readonly #width: number
  readonly #ids: RowIds<K>
  #store!: WindowRowStore<number>
  #context!: OperatorContext
  #time = -1 // highest time seen here; kept over restarts by context.save

  constructor(store: string, key: Serde<K>, options: Deduplication<K, V>) {
    this.#name = store
    this.#options = options
    this.#width = Math.max(1, options.within)
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#time = context.saved('time') ?? -1
    this.#store = context.store(this.#name) as unknown as WindowRowStore<number>
    this.#store.resume(this.#time)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#options.by ? undefined : this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#store.prefetch(this.#rows(set, from, ids))
  }

  *#rows(set: RecordSet, from: number, ids: readonly (string | undefined)[]): Generator<string> {
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]
      const time = set.timestamps[from + i]!
      if (id === undefined || time < 0) continue
      const bucket = time - (time % this.#width)
      if (bucket > 0) yield windowId(bucket - this.#width, id)
      yield windowId(bucket, id)
      if (bucket + this.#width <= this.#time) yield windowId(bucket + this.#width, id)
    }
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const time = record.timestamp
    if (time > this.#time) {
      this.#time = time
      this.#context.save('time', time)
      this.#store.observe(time)
    }
    const id = this.#id(record)
    if (id === undefined) return this.#context.forward(record)
    const { within, grace } = this.#options
    if (time + within < this.#time - grace) return this.#context.drop('late')
    const width = this.#width
    const bucket = time - (time % width)
    const own = this.#store.row(windowId(bucket, id))
    const before = bucket > 0 ? this.#store.row(windowId(bucket - width, id)) : undefined
    const behind = bucket + width <= this.#time ? this.#store.row(windowId(bucket + width, id)) : undefined
    if (own instanceof Promise || before instanceof Promise || behind instanceof Promise) {
      return Promise.all([own, before, behind]).then(([a, b, c]) => this.#check(record, a, b, c))
    }
    return this.#check(record, own, before, behind)
  }

  #id(record: StreamRecord<K, V>): string | undefined {
    const { by } = this.#options
    if (by === undefined) return this.#ids.of(record as StreamRecord<K, unknown>)
    const id = by(record)
    return id == null ? undefined : latin1(Buffer.from(String(id)))
  }

  #check(
    record: StreamRecord<K, V>,
    own: Row<number>,
    before: Row<number> | undefined,
    behind: Row<number> | undefined
  ): MaybePromise<void> {
    if (this.#near(record, own) || this.#near(record, before) || this.#near(record, behind)) {
      return this.#context.drop('duplicate')
    }
    this.#store.set(own, record.timestamp, record.timestamp, record.headers)
    return this.#context.forward(record)
  }

  #near({ timestamp }: StreamRecord<K, V>, row: Row<number> | undefined): boolean {
    return row !== undefined && row.value !== null && Math.abs(row.value - timestamp) <= this.#options.within
  }
}
