/** Tables: the latest value per key, as it changes. */

import { SelectKeyOperator } from '../operators/selectKey.ts'
import { TableRowsOperator } from '../operators/tableRows.ts'
import { TableValuesOperator } from '../operators/tableValues.ts'
import { ToStreamOperator } from '../operators/toStream.ts'
import type { Serde, StreamRecord } from '../record.ts'
import type { Operator } from '../topology/node.ts'
import { keySerde, type Part, stateName, step, valueSerde } from './part.ts'
import { specOf } from './store.ts'
import { Stream } from './stream.ts'

export interface TableOptions {
  /** Names the node and its store; a named table keeps its rows. */
  readonly name?: string
  /** With the cache, updates of a key go on once per commit; without, each at once. Default true. */
  readonly caching?: boolean
  /** Rows are written to a changelog topic and restored from it. Default true. */
  readonly logged?: boolean
  /** Settings of the changelog topic that differ from Millrace's. */
  readonly topicConfig?: Readonly<Record<string, string>>
}

/** Made by `table`, `toTable` and the aggregations. Null stands for "no such row" everywhere, so V is never null. */
export class Table<K, V> {
  /** @internal */ readonly part: Part<K, V>
  /** @internal The store that has the rows; called when somebody needs them. */
  readonly materialise: () => string

  /** @internal */
  constructor(part: Part<K, V>, materialise: () => string) {
    this.part = part
    this.materialise = materialise
  }

  /** The changes as records; null is a deletion. */
  toStream(): Stream<K, V | null>
  /** As `toStream`, with new keys: a grouping or join behind it repartitions. */
  toStream<K2>(select: (record: StreamRecord<K, V | null>) => K2, options?: { key?: Serde<K2> }): Stream<K2, V | null>
  toStream(
    select?: (record: StreamRecord<K, V | null>) => unknown,
    options: { key?: Serde<never> } = {}
    // biome-ignore lint/suspicious/noExplicitAny: the overloads above say it exactly
  ): Stream<any, V | null> {
    const node = step(this.part, 'stream', { keepsKey: true }, () => new ToStreamOperator())
    const part = { ...this.part, node } as unknown as Part<K, V | null>
    if (!select) return new Stream(part)
    const rekeyed = step(part, 'key', {}, () => new SelectKeyOperator(select))
    return new Stream<unknown, V | null>({
      ...part,
      node: rekeyed,
      key: options.key as unknown as Serde<unknown> | undefined,
      rekeyed: true
    })
  }

  /** Rows that satisfy the predicate; a row that no longer does becomes a tombstone. */
  filter(wanted: (value: V, key: K) => boolean, options: TableOptions = {}): Table<K, V> {
    return this.#values('filter', options, this.part.value, (value, key) => (wanted(value, key) ? value : null))
  }

  /** Rows that do not satisfy the predicate. */
  filterNot(unwanted: (value: V, key: K) => boolean, options: TableOptions = {}): Table<K, V> {
    return this.#values('filterNot', options, this.part.value, (value, key) => (unwanted(value, key) ? null : value))
  }

  /** Each row with a new value; null leaves the row out. */
  mapValues<V2>(
    map: (value: V, key: K) => V2,
    options: TableOptions & { readonly value?: Serde<NonNullable<V2>> } = {}
  ): Table<K, NonNullable<V2>> {
    return this.#values('mapValues', options, options.value, (value, key) => map(value, key) ?? null)
  }

  #values<V2>(
    what: string,
    options: TableOptions,
    value: Serde<V2> | undefined,
    map: (value: V, key: K) => V2 | null
  ): Table<K, V2> {
    const node = step(this.part, what, { keepsKey: true }, () => new TableValuesOperator(map))
    const part: Part<K, V2> = { ...this.part, node, value }
    const keep = (name: string): string => {
      const key = keySerde(part, undefined, 'A table that keeps its rows')
      addStore(part, name, key, options)
      return step(part, 'rows', { name, stores: [name], keepsKey: true }, () => new TableRowsOperator(name, key))
    }
    if (options.name !== undefined) {
      const name = keep(options.name)
      return new Table({ ...part, node: name, anchor: name }, () => name)
    }
    let rows: string | undefined
    return new Table(part, () => {
      rows ??= keep(stateName(part, `${what}-rows`, undefined))
      return rows
    })
  }
}

function addStore<K, V>(part: Part<K, V>, name: string, key: Serde<K>, options: TableOptions): void {
  const { caching = true, logged, topicConfig } = options
  const value = valueSerde(part, undefined)
  part.graph.addStore(specOf({ name, kind: 'keyValue', key, value, caching, logged, topicConfig }))
}

/**
 * @internal A table node whose store comes into being with its name, or when somebody asks for the rows.
 * @param create the operator; it asks for the store at its init
 */
export function addTable<K, V>(
  part: Part<K, V>,
  what: string,
  options: TableOptions,
  create: (store: () => string | undefined, key: Serde<NonNullable<K>>) => Operator
): Table<NonNullable<K>, NonNullable<V>> {
  type Row = Part<NonNullable<K>, NonNullable<V>>
  const from = part as unknown as Row
  const { graph } = part
  let store: string | undefined
  const key = keySerde(from, undefined, 'A table')
  const node = step(part, what, { name: options.name, keepsKey: true }, () => create(() => store, key))
  const materialise = (): string => {
    if (store !== undefined) return store
    store = node
    if (options.name === undefined) graph.unnamed(node)
    addStore(from, node, key, options)
    graph.connect(node, node)
    return store
  }
  if (options.name !== undefined) materialise()
  return new Table<NonNullable<K>, NonNullable<V>>(
    { ...from, node, anchor: options.name ?? part.anchor, key, rekeyed: false },
    materialise
  )
}
