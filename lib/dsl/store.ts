/** Stores that `process` may use, as values: the definition carries the types to where the store is asked for. */
import type { Serde } from '../record.ts'
import type { KeyValueStore, StoreSpec, WindowStore } from '../store/port.ts'
import { type Duration, ms } from '../time.ts'
import { checkRetention } from './windows.ts'

export interface StoreDefinition<N extends string, F> {
  readonly name: N
  readonly spec: StoreSpec
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
 * @example const totals = keyValueStore('totals', { key: string(), value: json<Totals>() })
 */
export function keyValueStore<const N extends string, K, V>(
  name: N,
  { key, value, logged, topicConfig }: StoreParts<K, V>
): StoreDefinition<N, KeyValueStore<K, V>> {
  return { name, spec: specOf({ name, kind: 'keyValue', key, value, caching: true, logged, topicConfig }) }
}

/**
 * A window store for `process`: rows by key and window start, kept for `retention` of stream time.
 * @param parts size of the windows and retention (at least the size), in ms or as '5m'
 * @throws TopologyError ERR_TOPOLOGY_WINDOW when the retention is below the size
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

/** @internal */
export const specOf = ({ logged, topicConfig, ...rest }: SpecParts): StoreSpec => ({
  ...rest,
  logged: logged ?? true,
  ...(topicConfig ? { topicConfig } : {})
})
