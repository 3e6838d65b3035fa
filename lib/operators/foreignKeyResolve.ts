/** Where the responses of a foreign-key join become results, if the left row is still the one that asked. */
import { type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { MaybePromise, Row, RowStore } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import { type AskAgain, Asked } from './foreignKeyAsk.ts'
import { ANSWER, hashOf, type Response, type Subscription } from './foreignKeyMessages.ts'
import { latestOf } from './latest.ts'
import { rawId } from './rawId.ts'
import { RowIds } from './rowIds.ts'
import { toldOf } from './told.ts'

/**
 * A response whose hash is not that of the left row's value, as the right side was told of it, is late: another one is on its way. It is left out.
 *
 * Not so a null in an inner join, where the right side is silent about a row that is not there:
 *
 *     left p=1|a, right a=x        the result is 1|a-x
 *     right a=null                 null for 1|a leaves the right side
 *     left p=2|a                   "answer if there is a row": there is none, so nothing will come
 *     null for 1|a arrives         late; left out, it leaves 1|a-x for ever
 *
 * Nor the farewell that a right row of an inner join gives to a left row which moves away, if that one refers to it again:
 *
 *     left p=1|a, right a=x        x for 1|a is on its way
 *     left p=1|b, then none        b answers twice, and both answers are there first
 *     left p=1|a                   as it was
 *     right a=null                 between the two subscriptions; to the second there is no answer
 *     x for 1|a arrives            not late by its hash
 *     the farewell of a arrives    left out, it leaves 1|a-x for ever
 *
 * So it asks again, by a subscription to what the row refers to now that is answered in any case, behind all that is on its way from there; a row
 * that refers to nothing, or is gone, has no result at once. Whoever was told last of the row's value has subscribed already: asking changes no
 * subscriber. (Kafka Streams 4.3 leaves all of them out, and loses such deletions.)
 * @example
 * t.table(orders).joinByForeignKey(t.table(airports), (order) => order.lines[0]?.sku ?? null, pair, { name: 'order-airports' })
 */
export class ForeignKeyResolveOperator<K, V, F, V2, R> implements Operator {
  readonly #name: string
  readonly #key: RowIds<K>
  readonly #value: Serde<V>
  readonly #joiner: (left: V, right: V2 | null, key: K) => R
  readonly #again: AskAgain<K, V, F> | undefined
  readonly #asked = new Asked()
  readonly #ids = new RowIds(rawId)
  #store!: RowStore<unknown>
  #context!: OperatorContext

  /** @param value the serde that the left rows are kept with; @param again of an inner join; left out: a left join */
  constructor(
    store: string,
    key: Serde<K>,
    value: Serde<V>,
    joiner: (left: V, right: V2 | null, key: K) => R,
    again?: AskAgain<K, V, F>
  ) {
    this.#name = store
    this.#key = new RowIds(key)
    this.#value = value
    this.#joiner = joiner
    this.#again = again
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#store = context.store(this.#name) as RowStore<unknown>
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#store.prefetch(ids)
  }

  process(record: StreamRecord<string, Response<V2>>): MaybePromise<void> {
    const row = this.#store.row(record.key)
    return row instanceof Promise ? row.then((r) => this.#apply(record, r)) : this.#apply(record, row)
  }

  #apply(record: StreamRecord<string, Response<V2>>, row: Row<unknown>): MaybePromise<void> {
    const { hash, value: right, farewell } = record.value
    const again = this.#again
    const left = toldOf<V>(this.#store, row)
    const present = left === null ? null : hashOf(this.#value.encode(left))
    if (!farewell) this.#asked.heard(record.key, hash)
    const late = farewell || (present === null ? hash !== null : !hash?.equals(present))
    if (late && (again === undefined || right !== null)) return
    const key = this.#key.key(record.key)
    if (late && again !== undefined) {
      const foreign = left === null ? null : (again.select(left, key) ?? null)
      if (farewell && (foreign === null || !hash?.equals(hashOf(again.foreign.encode(foreign))))) return
      if (foreign !== null) return this.#ask(record, row, foreign, present!)
    }
    const joined = left !== null && (right !== null || again === undefined)
    const change: Change<R> = { value: joined ? (this.#joiner(left, right, key) ?? null) : null, old: null }
    return this.#context.forward(new StreamRecord(key, change, record.timestamp, record.headers), again?.results)
  }

  #ask(record: StreamRecord<string, unknown>, row: Row<unknown>, foreign: F, hash: Buffer): MaybePromise<void> {
    const id = record.key
    if (!this.#asked.begin(id, hash)) return
    const question: Subscription = { instruction: ANSWER, hash, id, partition: this.#context.partition }
    const time = Math.max(record.timestamp, latestOf(this.#store, row).timestamp)
    return this.#context.forward(new StreamRecord(foreign, question, time, record.headers), this.#again!.questions)
  }
}
