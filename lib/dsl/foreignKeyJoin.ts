/** Builds a foreign-key join: subscriptions to the right table's partitions, responses back to the left one's. */
import { TopologyError } from '../errors.ts'
import type { AskAgain } from '../operators/foreignKeyAsk.ts'
import { type Response, responseSerde, subscriptionSerde } from '../operators/foreignKeyMessages.ts'
import { ForeignKeyResolveOperator } from '../operators/foreignKeyResolve.ts'
import { ForeignKeyNotifyOperator, ForeignKeyRegisterOperator } from '../operators/foreignKeyRight.ts'
import { ForeignKeySubscribeOperator } from '../operators/foreignKeySubscribe.ts'
import { MergeOperator } from '../operators/merge.ts'
import { rawId } from '../operators/rawId.ts'
import { subscriberSerde } from '../operators/subscribers.ts'
import type { Serde, StreamRecord } from '../record.ts'
import { callSite } from '../topology/names.ts'
import { keySerde, stateName, valueSerde } from './part.ts'
import { specOf } from './store.ts'
import { resultTable, type TableJoinOptions, type TableParts } from './tableJoin.ts'

export interface ForeignKeyOptions<F, R> extends TableJoinOptions<R> {
  /**
   * Names the join, its store `<name>-subscribers` and its topics `<name>-subscription` and `<name>-response`. Without one it is derived,
   * with a warning.
   */
  readonly name?: string
  /** Serde of the foreign key: its bytes must be those of the right table's keys. Default: the right table's. */
  readonly key?: Serde<F>
}

/** @internal */
export function joinByForeignKey<K, V, F, V2, R>(
  left: TableParts<K, V>,
  right: TableParts<F, V2>,
  isLeft: boolean,
  select: (value: V, key: K) => F | null,
  joiner: (left: V, right: V2 | null, key: K) => R,
  options: ForeignKeyOptions<F, R>
): TableParts<K, R> {
  const { graph } = left.part
  const what = isLeft ? 'leftJoinByForeignKey' : 'joinByForeignKey'
  if (right.part.graph !== graph) {
    throw new TopologyError(
      `${what} (${callSite()}) takes a table of another topology: build both from one topology().`
    )
  }
  const name = stateName(left.part, what, options.name)
  const key = keySerde(left.part, undefined, what)
  const foreign = keySerde(right.part, options.key, what)
  const leftValue = valueSerde(left.part, undefined)
  const rightValue = valueSerde(right.part, undefined)
  const stores = { left: left.materialise(), right: right.materialise(), subscribers: `${name}-subscribers` }
  const { logged, topicConfig } = options
  const kept = { name: stores.subscribers, kind: 'keyValue' as const, caching: false, logged, topicConfig }
  graph.addStore(specOf({ ...kept, key: rawId, value: subscriberSerde }))

  const subscribe = `${name}-subscribe`
  graph.addProcessor({
    name: subscribe,
    parents: [stores.left],
    stores: [stores.left],
    what: `${what}: subscriptions`,
    create: () => new ForeignKeySubscribeOperator(key, leftValue, foreign, select, isLeft)
  })
  const subscriptions = graph.addRepartition({
    name: `${name}-subscription`,
    parent: subscribe,
    key: foreign,
    value: subscriptionSerde
  })

  const register = `${name}-register`
  graph.addProcessor({
    name: register,
    parents: [subscriptions],
    stores: [stores.subscribers, stores.right],
    what: `${what}: answers`,
    create: () => new ForeignKeyRegisterOperator<F, V2>(stores, foreign, isLeft)
  })
  graph.addProcessor({
    name: `${name}-notify`,
    parents: [stores.right],
    stores: [stores.subscribers],
    what: `${what}: changes`,
    create: () => new ForeignKeyNotifyOperator<F, V2>(stores.subscribers, foreign)
  })
  graph.addProcessor({
    name: `${name}-respond`,
    parents: [register, `${name}-notify`],
    what: `${what}: responses`,
    create: () => new MergeOperator()
  })
  graph.copartition(register, [subscriptions, stores.right])
  const responses = graph.addRepartition({
    name: `${name}-response`,
    parent: `${name}-respond`,
    key: rawId,
    value: responseSerde(rightValue),
    partitioner: (record: StreamRecord<string, Response<V2>>) => record.value.partition
  })

  const resolve = `${name}-resolve`
  let again: AskAgain<K, V, F> | undefined
  graph.addProcessor({
    name: resolve,
    parents: [responses],
    stores: [stores.left],
    what: `${what}: results`,
    create: () => new ForeignKeyResolveOperator(stores.left, key, leftValue, joiner, again)
  })
  if (!isLeft) {
    const questions = graph.feedRepartition(`${name}-subscription`, 'questions', resolve)
    again = { select, foreign, results: name, questions }
  }
  graph.copartition(resolve, [responses, stores.left])
  return resultTable<K, R>(left.part, name, [resolve], what, key, options)
}
