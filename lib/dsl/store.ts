/** Stores that `process` may use, as values: the definition carries the types to where the store is asked for. */

import { expiryIds, markSerde } from '../operators/expiry.ts'
import type { TableAccess } from '../operators/tableFace.ts'
import type { Serde } from '../record.ts'
import { expiryName, type KeyValueStore, type StoreSpec, type WindowStore } from '../store/port.ts'
import { type Duration, ms } from '../time.ts'
import type { Topology } from '../topology/graph.ts'
import { checkRetention, whole } from './windows.ts'

export interface StoreDefinition<N extends string, F> {
  readonly name: N
  /** Undefined: it is the rows of a table, which has its store. */
  readonly spec?: StoreSpec
  /** @internal The store that lies beside it. */
  readonly beside?: StoreSpec
  /** @internal The rows of a table: what reads them, and the node that keeps them. */
  readonly table?: { readonly access: () => TableAccess; readonly graph: Topology; readonly node: string }
  /** @internal It is a global table. */
  readonly global?: { readonly graph: Topology; readonly spec: StoreSpec }
  /** @internal Types only: what `context.store(name)` gives. */
  readonly _face?: F
}

export interface StoreParts<K, V> {
  readonly key: Serde<K>
  readonly value: Serde<V>
  /** Written to a changelog topic and restored from it. Default true. */
  readonly logged?: boolean
  /** Settings of the changelog topic that differ from Millrace's. */
  readonly topicConfig?: Readonly<Record<string, string>>
}

/**
 * A key-value store for `process`.
 * @param parts `ttl`: a row is there until stream time has passed its own time (of its last put) by this; then it is deleted. Default: for ever
 * @throws TopologyError ERR_TOPOLOGY_WINDOW for a ttl that is not at least 1 ms
 * @example const totals = keyValueStore('totals', { key: string(), value: json<Totals>() })
 * @example const seen = keyValueStore('seen', { key: string(), value: int(), ttl: '24h' })
 */
export function keyValueStore<const N extends string, K, V>(
  name: N,
  { key, value, logged, topicConfig, ttl }: StoreParts<K, V> & { readonly ttl?: Duration }
): StoreDefinition<N, KeyValueStore<K, V>> {
  const [spec, beside] = keyValueSpecs({ name, key, value, caching: true, logged, topicConfig }, ttl)
  return { name, spec, ...(beside ? { beside } : {}) }
}

/**
 * A window store for `process`: rows by key and window start, kept for `retention` of stream time.
 * @param parts size of the windows and retention (at least the size), in ms or as '5m'
 * @throws TopologyError ERR_TOPOLOGY_WINDOW when the retention is below the size
 * @example const days = windowStore('days', { key: string(), value: long(), size: '1d', retention: '7d' })
 */
export function windowStore<const N extends string, K, V>(
  name: N,
  parts: StoreParts<K, V> & { readonly size: Duration; readonly retention: Duration }
): StoreDefinition<N, WindowStore<K, V>> {
  const { key, value, logged, topicConfig } = parts
  const windowMs = ms(parts.size)
  const retentionMs = checkRetention(name, parts.retention, windowMs, 'the size of its windows')
  const kind = 'window' as const
  return { name, spec: specOf({ name, kind, key, value, caching: true, logged, topicConfig, windowMs, retentionMs }) }
}

interface SpecParts extends Omit<StoreSpec, 'key' | 'value' | 'logged' | 'topicConfig'> {
  // biome-ignore lint/suspicious/noExplicitAny: types are kept by the definitions
  readonly key: Serde<any>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly value: Serde<any>
  readonly logged: boolean | undefined
  readonly topicConfig: Readonly<Record<string, string>> | undefined
}

/** @internal A key-value store; one with a time to live has a store of marks beside it. */
export function keyValueSpecs(
  parts: Omit<SpecParts, 'kind'>,
  ttl: Duration | undefined
): [spec: StoreSpec, beside: StoreSpec | undefined] {
  const { name, key } = parts
  if (ttl === undefined) return [specOf({ ...parts, kind: 'keyValue' }), undefined]
  const ttlMs = whole(`ttl of store "${name}"`, ttl, 1)
  const marks = { name: expiryName(name), kind: 'buffer' as const, key, value: markSerde, caching: true, logged: false }
  const index = { store: marks.name, ids: expiryIds(ttlMs) }
  return [specOf({ ...parts, kind: 'keyValue', ttlMs, index }), marks]
}

/** @internal Adds a key-value store to the graph. @returns the stores that its node needs */
export function addKeyValue(graph: Topology, parts: Omit<SpecParts, 'kind'>, ttl: Duration | undefined): string[] {
  const specs = keyValueSpecs(parts, ttl).filter((spec) => spec !== undefined)
  for (const spec of specs) graph.addStore(spec)
  return specs.map((spec) => spec.name)
}

/** @internal */
export const specOf = ({ logged, topicConfig, ...rest }: SpecParts): StoreSpec => ({
  ...rest,
  logged: logged ?? true,
  ...(topicConfig ? { topicConfig } : {})
})
