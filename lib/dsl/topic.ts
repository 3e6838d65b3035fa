/** Topics as values: name and serdes in one place, for sources and sinks. */
import { TopologyError } from '../errors.ts'
import type { Serde } from '../record.ts'
import { string } from '../serde/string.ts'
import { callSite } from '../topology/names.ts'
import type { TimestampExtractor } from '../topology/node.ts'

export interface TopicParts<K, V> {
  /** Default string(). Wrap it in nullable() when records may have no key. */
  readonly key?: Serde<K>
  /** Wrap it in nullable() when a stream of this topic has null values (a table's tombstones need no mark). */
  readonly value: Serde<V>
  /** Event time of a record, ms; negative skips it. Default: the record's own timestamp. */
  readonly timestamp?: TimestampExtractor<K, V>
  /** Where to start without a committed offset. Default 'earliest'. */
  readonly offsetReset?: 'earliest' | 'latest' | 'none'
}

/** What `to` needs of a topic: it only writes, so a topic of a wider type will do. */
export interface Target<K, V> {
  readonly name: string
  readonly key: Encoder<K>
  readonly value: Encoder<V>
}

interface Encoder<T> {
  readonly name: string
  // A property, not a method: only so do types refuse a topic of a narrower type.
  readonly encode: (value: T) => Buffer
}

export interface Topic<K, V> {
  readonly name: string
  readonly key: Serde<K>
  readonly value: Serde<V>
  readonly timestamp?: TimestampExtractor<K, V>
  readonly offsetReset?: 'earliest' | 'latest' | 'none'
}

/** Every topic whose name matches: source of streams only. Made by `topic(/…/, …)`. */
export interface TopicPattern<K, V> extends Omit<Topic<K, V>, 'name'> {
  readonly pattern: RegExp
}

/**
 * A topic: source of streams and tables, and target of `to`. Its types are what the serdes say; a null that arrives where the type has
 * none is handled by the null rules of each operator (docs/semantics.md), but your own functions may meet it: declare it with nullable().
 * @example
 * const flights = topic('flights', { key: string(), value: json<Flight>(), timestamp: (r) => Date.parse(r.value.date) })
 * const orders = topic('orders', json<Order>()) // keys are strings
 * @example
 * // Every topic whose whole name matches, also those that are made later
 * const perShop = topic(/orders-[a-z]+/, json<Order>())
 * t.stream(perShop).to('all-orders')
 * @throws TopologyError ERR_TOPOLOGY_SERDE without a serde of the values
 */
export function topic<V>(pattern: RegExp, value: Serde<V>): TopicPattern<string, V>
export function topic<K = string, V = unknown>(pattern: RegExp, parts: TopicParts<K, V>): TopicPattern<K, V>
export function topic<V>(name: string, value: Serde<V>): Topic<string, V>
export function topic<K = string, V = unknown>(name: string, parts: TopicParts<K, V>): Topic<K, V>
export function topic<K, V>(
  which: string | RegExp,
  parts: Serde<V> | TopicParts<K, V>
): Topic<K, V> | TopicPattern<K, V> {
  const keyed = typeof parts === 'object' && parts !== null && 'encode' in parts ? { value: parts } : parts
  if (typeof keyed?.value?.decode !== 'function') throw noSerde(which)
  const whole = { ...keyed, key: ('key' in keyed && keyed.key) || (string() as unknown as Serde<K>) }
  return typeof which === 'string' ? { name: which, ...whole } : { pattern: which, ...whole }
}

/** Only JavaScript gets here: types ask for the serde. */
const noSerde = (which: string | RegExp): TopologyError => {
  const name = typeof which === 'string' ? `'${which}'` : String(which)
  return new TopologyError(
    `topic(${name}) (${callSite()}) needs the serde of its values, e.g. topic(${name}, json()).`,
    {
      code: 'ERR_TOPOLOGY_SERDE',
      details: { part: 'value' }
    }
  )
}
