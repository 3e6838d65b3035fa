/** The right end of a foreign-key join: keeps who has subscribed, and answers when they do and when a row changes. */
import { type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { present } from './aggregate.ts'
import {
  ANSWER,
  ANSWER_IF_FOUND,
  hashOf,
  type Response,
  type Subscription,
  UNSUBSCRIBE,
  UNSUBSCRIBE_AND_ANSWER
} from './foreignKeyMessages.ts'
import { latestOf } from './latest.ts'
import { RowIds } from './rowIds.ts'
import { type Subscriber, type SubscriberRow, Subscribers } from './subscribers.ts'
import { toldOf } from './told.ts'

/**
 * Takes subscriptions. An answer has what the table has told of the row, and the higher time of subscription and row; a change that waits in the
 * cache comes after it, to all subscribers. In an inner join a row that is there bids farewell to those that leave it: see the resolving end.
 * @example
 * t.table(orders).joinByForeignKey(t.table(airports), (order) => order.lines[0]?.sku ?? null, pair, { name: 'order-airports' })
 */
export class ForeignKeyRegisterOperator<F, V> implements Operator {
  readonly #names: { readonly subscribers: string; readonly right: string }
  readonly #ids: RowIds<F>
  readonly #left: boolean
  #subscribers!: Subscribers
  #right!: RowStore<unknown>
  #context!: OperatorContext

  constructor(stores: { readonly subscribers: string; readonly right: string }, key: Serde<F>, left: boolean) {
    this.#names = stores
    this.#ids = new RowIds(key)
    this.#left = left
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#subscribers = new Subscribers(context.store(this.#names.subscribers) as RowStore<SubscriberRow>)
    this.#right = context.store(this.#names.right) as RowStore<unknown>
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (!ids) return
    const rows = this.#right.prefetch(present(ids))
    const subscribers = this.#subscribers.prefetch(present(ids))
    if (rows && subscribers) return Promise.all([rows, subscribers]).then(() => {})
    return rows ?? subscribers
  }

  process(record: StreamRecord<F | null, Subscription>): MaybePromise<void> {
    const key = this.#ids.of(record as StreamRecord<F, Subscription>)
    const { instruction, hash, id, partition } = record.value
    // A null key is a left row that refers to nothing: it is answered, but nothing will ever change for it.
    if (key === undefined) {
      return instruction === ANSWER ? this.#answer(record, null, record.timestamp) : undefined
    }
    const leaves = instruction === UNSUBSCRIBE || instruction === UNSUBSCRIBE_AND_ANSWER
    const kept = leaves
      ? this.#subscribers.remove(key, id, record.timestamp)
      : this.#subscribers.put(key, id, { hash, partition }, record.timestamp)
    if (kept !== undefined) return kept.then(() => this.#look(record, key))
    return this.#look(record, key)
  }

  #look(record: StreamRecord<F | null, Subscription>, key: string): MaybePromise<void> {
    if (record.value.instruction === UNSUBSCRIBE && this.#left) return
    const row = this.#right.row(key)
    return row instanceof Promise ? row.then((r) => this.#found(record, key, r)) : this.#found(record, key, row)
  }

  #found(record: StreamRecord<F | null, Subscription>, key: string, row: Row<unknown>): MaybePromise<void> {
    const { instruction } = record.value
    const value = toldOf<V>(this.#right, row)
    if (value === null && (instruction === ANSWER_IF_FOUND || instruction === UNSUBSCRIBE)) return
    const time = value === null ? record.timestamp : Math.max(record.timestamp, latestOf(this.#right, row).timestamp)
    if (instruction === UNSUBSCRIBE) return this.#answer(record, null, time, hashOf(Buffer.from(key, 'latin1')))
    return this.#answer(record, instruction === UNSUBSCRIBE_AND_ANSWER ? null : value, time)
  }

  /** @param gone hash of the foreign key, for a farewell */
  #answer(record: StreamRecord<unknown, Subscription>, row: V | null, time: number, gone?: Buffer): MaybePromise<void> {
    const { id, hash, partition } = record.value
    const response: Response<V> = { hash: gone ?? hash, value: row, farewell: gone !== undefined, partition }
    return this.#context.forward(new StreamRecord(id, response, time, record.headers))
  }
}

/**
 * Tells all subscribers of a row that it has changed: one response each, in the order of their keys, at the time of the change.
 * @example
 * t.table(orders).leftJoinByForeignKey(t.table(airports), (order) => order.lines[0]?.sku ?? null, pair, { name: 'order-airports' })
 */
export class ForeignKeyNotifyOperator<F, V> implements Operator {
  readonly #name: string
  readonly #ids: RowIds<F>
  #subscribers!: Subscribers
  #context!: OperatorContext

  constructor(subscribers: string, key: Serde<F>) {
    this.#name = subscribers
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#subscribers = new Subscribers(context.store(this.#name) as RowStore<SubscriberRow>)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#subscribers.prefetch(present(ids))
  }

  process(record: StreamRecord<F, Change<V>>): MaybePromise<void> {
    if (record.value.latest === false) return
    const all = this.#subscribers.all(this.#ids.of(record)!)
    return all instanceof Promise ? all.then((list) => this.#tell(record, list, 0)) : this.#tell(record, all, 0)
  }

  #tell(record: StreamRecord<F, Change<V>>, list: [string, Subscriber][], from: number): MaybePromise<void> {
    const { timestamp, headers } = record
    const { value } = record.value
    for (let i = from; i < list.length; i++) {
      const [id, { hash, partition }] = list[i]!
      const response: Response<V> = { hash, value, farewell: false, partition }
      const told = this.#context.forward(new StreamRecord(id, response, timestamp, headers))
      if (told !== undefined) return told.then(() => this.#tell(record, list, i + 1))
    }
  }
}
