/** The left end of a foreign-key join: tells the right side which of its rows a changed left row refers to. */
import { type Serde, StreamRecord } from '../record.ts'
import { latin1 } from '../store/bytes.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import {
  ANSWER,
  ANSWER_IF_FOUND,
  hashOf,
  type Subscription,
  UNSUBSCRIBE,
  UNSUBSCRIBE_AND_ANSWER
} from './foreignKeyMessages.ts'
import { RowIds } from './rowIds.ts'

/**
 * One or two subscriptions for each change. A row that moves to another foreign key first leaves the old one. Inner join: a null foreign
 * key is dropped ('null-foreign-key'), and takes back what was there before.
 * @example
 * t.table(orders).joinByForeignKey(t.table(airports), (order) => order.lines[0]?.sku ?? null, pair, { name: 'order-airports' })
 */
export class ForeignKeySubscribeOperator<K, V, F> implements Operator {
  readonly #select: (value: V, key: K) => F | null
  readonly #foreign: Serde<F>
  readonly #value: Serde<V>
  readonly #left: boolean
  readonly #ids: RowIds<K>
  #context!: OperatorContext

  /** @param value the serde that the left rows are kept with; @param foreign that of the right table's keys */
  constructor(
    key: Serde<K>,
    value: Serde<V>,
    foreign: Serde<F>,
    select: (value: V, key: K) => F | null,
    left: boolean
  ) {
    this.#ids = new RowIds(key)
    this.#value = value
    this.#foreign = foreign
    this.#select = select
    this.#left = left
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  process(record: StreamRecord<K, Change<V>>): MaybePromise<void> {
    const { value, old, latest } = record.value
    if ((value === null && old === null) || latest === false) return
    const before = old === null ? null : (this.#select(old, record.key) ?? null)
    const now = value === null ? null : (this.#select(value, record.key) ?? null)
    const moves = before !== null && (now === null || !this.#same(before, now))
    if (this.#left) {
      const left = moves ? this.#send(record, before, UNSUBSCRIBE) : undefined
      if (left !== undefined) return left.then(() => this.#send(record, now, ANSWER))
      return this.#send(record, now, ANSWER)
    }
    if (now === null) {
      if (value !== null) this.#context.drop('null-foreign-key')
      return before === null ? undefined : this.#send(record, before, UNSUBSCRIBE_AND_ANSWER)
    }
    if (!moves) return this.#send(record, now, ANSWER_IF_FOUND)
    const left = this.#send(record, before, UNSUBSCRIBE)
    if (left !== undefined) return left.then(() => this.#send(record, now, ANSWER))
    return this.#send(record, now, ANSWER)
  }

  #same(a: F, b: F): boolean {
    return latin1(this.#foreign.encode(a)) === latin1(this.#foreign.encode(b))
  }

  #send(record: StreamRecord<K, Change<V>>, key: F | null, instruction: number): MaybePromise<void> {
    const { value } = record.value
    const subscription: Subscription = {
      instruction,
      hash: value === null ? null : hashOf(this.#value.encode(value)),
      id: this.#ids.of(record)!,
      partition: this.#context.partition
    }
    return this.#context.forward(new StreamRecord(key, subscription, record.timestamp, record.headers))
  }
}
