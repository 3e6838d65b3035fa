/** Builds the join of a stream and a table, with a buffer in front where the table is to have time. */
import { TopologyError } from '../errors.ts'
import { bufferedSerde } from '../operators/bufferedSerde.ts'
import { rawId } from '../operators/rawId.ts'
import { StreamTableGraceJoinOperator } from '../operators/streamTableGraceJoin.ts'
import { type StreamTableJoiner, StreamTableJoinOperator } from '../operators/streamTableJoin.ts'
import type { Serde } from '../record.ts'
import { callSite } from '../topology/names.ts'
import { keySerde, type Part, repartition, stateName, step, valueSerde } from './part.ts'
import { specOf } from './store.ts'
import type { JoinOptions } from './streamOptions.ts'
import type { Table } from './table.ts'
import { idleOf, whole } from './windows.ts'

/** @internal @returns the place that the results come out of */
export function joinTable<K, V, T, V2>(
  stream: Part<K, V>,
  table: Table<NonNullable<K>, T>,
  left: boolean,
  joiner: StreamTableJoiner<K, V, T | null, V2>,
  options: JoinOptions<K, V, V2>
): Part<K, V2> {
  const what = left ? 'leftJoin' : 'join'
  const { graph } = stream
  if (table.part.graph !== graph) {
    throw new TopologyError(
      `${what} (${callSite()}) takes a table of another topology: build both from one topology().`
    )
  }
  const grace = graceOf(table, what, options)
  const part = settled(stream, options, what, left)
  const view = table.view()
  const key = keySerde(table.part, undefined, what) as Serde<K>
  const name = grace === undefined ? options.name : stateName(part, what, options.name)
  const stores = [...view.stores]
  if (grace !== undefined) {
    const buffer = `${name}-buffer`
    const value = bufferedSerde(valueSerde(part, undefined))
    const { logged, topicConfig } = options
    graph.addStore(specOf({ name: buffer, kind: 'keyValue', key: rawId, value, caching: false, logged, topicConfig }))
    stores.push(buffer)
  }
  const idleMs = idleOf(`${what} (${callSite()})`, options)
  const node = step(part, what, { name, stores, keepsKey: true, supervise: options.supervise }, () =>
    grace === undefined
      ? new StreamTableJoinOperator(view, key, left, joiner)
      : new StreamTableGraceJoinOperator(view, `${name}-buffer`, key, grace, left, joiner, idleMs)
  )
  graph.copartition(node, [part.node, table.part.node])
  return { ...part, node, anchor: options.name ?? part.anchor, value: options.result }
}

function settled<K, V>(
  part: Part<K, V>,
  { name, key, value }: JoinOptions<K, V, unknown>,
  what: string,
  keepNullKeys: boolean
): Part<K, V> {
  if (!part.rekeyed) return { ...part, key: key ?? part.key, value: value ?? part.value }
  return repartition(part, { name: name && `${name}-input`, key, value, keepNullKeys }, what)
}

function graceOf(
  table: { readonly history: number | undefined },
  what: string,
  options: Pick<JoinOptions<never, never, never>, 'grace'>
): number | undefined {
  if (options.grace === undefined) return undefined
  const grace = whole(`grace of ${what} (${callSite()})`, options.grace, 0)
  const { history } = table
  if (history === undefined) {
    throw new TopologyError(
      `${what} (${callSite()}) has a grace period, for which the table must be versioned: it would join with what the table has by then, not with what it had. ` +
        `Make it one: table(topic, { versioned: '${options.grace}' }), or leave the grace out.`,
      { code: 'ERR_TOPOLOGY_WINDOW' }
    )
  }
  if (history < grace) {
    throw new TopologyError(
      `${what} (${callSite()}) waits ${grace} ms, but the table's history is ${history} ms: what it is to join with would be gone. Raise \`versioned\` of the table to at least the grace period.`,
      { code: 'ERR_TOPOLOGY_WINDOW' }
    )
  }
  return grace
}
