/** Builds the join of two streams: two sides over shared stores, and the node that their results come out of. */
import { TopologyError } from '../errors.ts'
import { pendingSerde } from '../operators/joinRows.ts'
import { MergeOperator } from '../operators/merge.ts'
import { rawId } from '../operators/rawId.ts'
import type { JoinSpan, StreamJoinState } from '../operators/streamJoinState.ts'
import { type StreamJoinPlan, StreamStreamJoinOperator } from '../operators/streamStreamJoin.ts'
import type { Serde } from '../record.ts'
import { entriesSerde } from '../store/join/entries.ts'
import { type Duration, ms } from '../time.ts'
import { callSite } from '../topology/names.ts'
import { keySerde, type Part, repartition, stateName, valueSerde } from './part.ts'
import { specOf } from './store.ts'
import { idleOf } from './windows.ts'

/**
 * How near in time: a left record takes right ones from `before` earlier to `after` later, both ends included. Either may be a negative
 * number of ms ("only from 5 s later on": `{ before: -5000, after: '1m' }`). A duration alone stands for both. `grace` is for how long
 * after that late records still find partners, and left or outer results wait; default 0.
 */
export type Within =
  | Duration
  | { readonly before: Duration; readonly after: Duration; readonly grace?: Duration | undefined }

export interface StreamJoinOptions<K, V, V2, R> {
  readonly within: Within
  /**
   * Left and outer joins: while a task gets no record of either side for so long, at least 100 ms, time goes on as the wall clock does, and what waits
   * for a partner in vain comes out. Default: time is that of records only.
   */
  readonly closeIdleAfter?: Duration
  /** Names the join and its stores `<name>-left`, `<name>-right`, `<name>-pending`. Without one it is derived, with a warning. */
  readonly name?: string
  /** Serde of the keys, where they were changed without one. */
  readonly key?: Serde<K>
  /** Serde of this stream's values, for store and repartition topic. Default: the stream's, or json(). */
  readonly value?: Serde<V>
  /** As `value`, of the other stream. */
  readonly otherValue?: Serde<V2>
  /** Serde of the results, where they are written without one of their own. */
  readonly result?: Serde<R>
  /** Stores are written to changelog topics and restored from them. Default true. */
  readonly logged?: boolean
  /** Settings of the changelog topics that differ from Millrace's. */
  readonly topicConfig?: Readonly<Record<string, string>>
}

export type JoinKind = 'join' | 'leftJoin' | 'outerJoin'

/** @internal @returns the place that the results come out of */
export function joinStreams<K, V, V2, R>(
  left: Part<K, V>,
  right: Part<K, V2>,
  kind: JoinKind,
  joiner: StreamJoinPlan<K>['joiner'],
  options: StreamJoinOptions<K, V, V2, R>
): Part<K, R> {
  const { graph } = left
  if (right.graph !== graph) {
    throw new TopologyError(
      `${kind} (${callSite()}) takes a stream of another topology: build both from one topology().`
    )
  }
  const name = stateName(left, kind, options.name)
  const span = spanOf(name, options.within)
  const optional = { left: kind !== 'join', right: kind === 'outerJoin' }
  // Null keys of a right side that must be there end in the join: whether they are moved or not, their times move its time.
  const mine = settled(left, options.name && `${name}-left-input`, options.key, options.value, kind, optional.left)
  const theirs =
    left.node === right.node && !optional.left
      ? (mine as unknown as Part<K, V2>)
      : settled(right, options.name && `${name}-right-input`, options.key, options.otherValue, kind, optional.left)
  const key = keySerde(mine, options.key, kind)
  keySerde(theirs, options.key, kind)
  const self = mine.node === theirs.node
  const shared = self && !optional.left
  const stores = {
    left: shared ? `${name}-rows` : `${name}-left`,
    right: shared ? `${name}-rows` : `${name}-right`,
    pending: optional.left ? `${name}-pending` : undefined
  }
  const { logged, topicConfig } = options
  const common = { kind: 'join' as const, key, caching: false, logged, topicConfig, windowMs: span.bucket }
  // A row leaves when its last entry has left what looks can see.
  const retentionMs = span.before + span.after + span.grace + span.bucket
  const leftValue = valueSerde(mine, options.value)
  const rightValue = valueSerde(theirs, options.otherValue)
  graph.addStore(specOf({ ...common, name: stores.left, value: entriesSerde(leftValue), retentionMs }))
  if (!shared) graph.addStore(specOf({ ...common, name: stores.right, value: entriesSerde(rightValue), retentionMs }))
  if (stores.pending !== undefined) {
    const value = pendingSerde(leftValue as Serde<unknown>, rightValue as Serde<unknown>)
    const kind = 'keyValue' as const
    graph.addStore(specOf({ name: stores.pending, kind, key: rawId, value, caching: false, logged, topicConfig }))
  }
  const states = new WeakMap<object, StreamJoinState<K>>()
  const plan: StreamJoinPlan<K> = {
    key,
    span,
    ...stores,
    self,
    optional,
    joiner,
    states,
    idleMs: idleOf(`${kind} "${name}"`, options)
  }
  // At-least-once their changelogs are written in this order turned round. What has found a partner must have left the waiting ones first: entries that
  // are ahead of it may be past retention, and then the partner does not find it when it comes again.
  const used = [...new Set([stores.left, stores.right, stores.pending])].filter((s) => s !== undefined)
  for (const side of ['left', 'right'] as const) {
    graph.addProcessor({
      name: `${name}-${side}-side`,
      parents: [side === 'left' ? mine.node : theirs.node],
      stores: used,
      what: `${kind}, ${side} side`,
      create: () => new StreamStreamJoinOperator(plan, side === 'left'),
      keepsKey: true
    })
  }
  graph.addProcessor({
    name,
    parents: [`${name}-left-side`, `${name}-right-side`],
    what: kind,
    create: () => new MergeOperator(),
    keepsKey: true
  })
  graph.copartition(name, [mine.node, theirs.node])
  return { graph, node: name, anchor: options.name ?? left.anchor, key, value: options.result, rekeyed: false }
}

function settled<K, V>(
  part: Part<K, V>,
  name: string | undefined,
  key: Serde<K> | undefined,
  value: Serde<V> | undefined,
  what: string,
  keepNullKeys: boolean
): Part<K, V> {
  if (part.rekeyed) return repartition(part, { name, key, value, keepNullKeys }, what)
  return { ...part, key: key ?? part.key, value: value ?? part.value }
}

/** Rows hold half of what a look spans: a record touches three of them at most, and none grows by more than that. */
function spanOf(name: string, within: Within): JoinSpan {
  const parts: { before: Duration; after: Duration; grace?: Duration | undefined } =
    typeof within === 'object' ? within : { before: within, after: within }
  const before = offset(name, 'before', parts.before)
  const after = offset(name, 'after', parts.after)
  const grace = offset(name, 'grace', parts.grace ?? 0)
  if (before + after < 0 || grace < 0) {
    throw fault(
      `Join "${name}" (${callSite()}) takes records from ${parts.before} before to ${parts.after} after, with a grace of ${parts.grace ?? 0}: nothing can ever match. before + after must be at least 0, and grace too.`
    )
  }
  return { before, after, grace, bucket: Math.max(1, Math.ceil((before + after) / 2)) }
}

/** Whole milliseconds, negative ones too. */
function offset(name: string, part: string, duration: Duration): number {
  let value: number
  try {
    value = typeof duration === 'number' ? duration : ms(duration)
  } catch (cause) {
    throw new TopologyError(`Join "${name}" (${callSite()}) cannot work: ${(cause as Error).message}.`, {
      code: 'ERR_TOPOLOGY_WINDOW',
      cause
    })
  }
  if (!Number.isSafeInteger(value)) {
    throw fault(`Join "${name}" (${callSite()}) has ${part}: ${duration}, which is not whole milliseconds.`)
  }
  return value
}

const fault = (message: string): TopologyError => new TopologyError(message, { code: 'ERR_TOPOLOGY_WINDOW' })
