/** The typed way to a topology: streams and tables from topics, everything else from them. */
import { refuseUnknown } from '../check.ts'
import { TopologyError } from '../errors.ts'
import { TableSourceOperator } from '../operators/tableSource.ts'
import type { StoreSpec } from '../store/port.ts'
import type { Rule } from '../supervise/rules.ts'
import type { Buildable, BuiltTopology } from '../topology/built.ts'
import { Topology } from '../topology/graph.ts'
import { callSite, deriveName } from '../topology/names.ts'
import { patternLabel } from '../topology/patterns.ts'
import { GlobalTable } from './globalTable.ts'
import type { Part } from './part.ts'
import { Stream } from './stream.ts'
import { addTable, type LivingTableOptions, type Table } from './table.ts'
import type { Topic, TopicPattern } from './topic.ts'

/**
 * Collects streams and tables; give it to `createRuntime` or to `drive`.
 * @example
 * const t = topology()
 * t.stream(flights).groupByKey().count({ name: 'flights-per-airport' }).toStream().to(counts)
 */
export class TopologyBuilder implements Buildable {
  /** The graph below, for nodes of your own. */
  readonly graph = new Topology()
  readonly #topics = new Map<string, { readonly topic: Read; readonly node: string }>()

  /**
   * The records of a topic, or of every topic that matches a pattern: those that are made later are found within `metadataInterval`. The same topic used again is the same source.
   * @throws TopologyError ERR_TOPOLOGY_SOURCE when the topic is already read with other serdes or options
   * @example t.stream(flights).filter(({ value }) => value.delay > 15).to('late-flights')
   */
  stream<K, V>(topic: Topic<K, V> | TopicPattern<K, V>): Stream<K, V> {
    return new Stream(this.#source(topic))
  }

  /**
   * The latest value of each key of a topic; null values delete. Its rows are kept where a join needs them, or when it has a name.
   * @throws TopologyError as `stream`
   * @example t.stream(flights).join(t.table(airports), (flight, airport) => ({ ...flight, airport: airport.name }))
   */
  table<K, V>(topic: Topic<K, V>, options: LivingTableOptions = {}): Table<NonNullable<K>, NonNullable<V>> {
    refusePattern('A table', topic)
    return addTable(this.#source(topic), 'table', options, (store, key) => new TableSourceOperator(store, key))
  }

  /**
   * All rows of a topic in every process, whatever its partitions: joined with streams and tables by any key of theirs. Read to its end before the first
   * task starts, then kept up. Its rows are bound to no time: a join sees what is there now. Its topic, best a compacted one, is its changelog.
   * @throws TopologyError ERR_TOPOLOGY_DUPLICATE when the name is taken, ERR_TOPOLOGY_SOURCE when the topic is a global table already
   * @example
   * const everywhere = t.globalTable(airports, { name: 'airports-everywhere' })
   * stream.processValues(async (record, context) => {
   *   const airport = await context.store('airports-everywhere').get(record.value.origin)
   *   await context.forward({ value: airport?.state ?? 'unknown' })
   * }, { stores: [everywhere], value: string() })
   */
  globalTable<K, V, const N extends string = string>(
    topic: Topic<K, V>,
    options: { readonly name?: N } = {}
  ): GlobalTable<NonNullable<K>, NonNullable<V>, N> {
    refusePattern('A global table', topic)
    type Row = StoreSpec<NonNullable<K>, NonNullable<V>>
    const { key, value } = topic as unknown as Pick<Row, 'key' | 'value'>
    const name = options.name ?? deriveName(topic.name, 'global', (n) => this.graph.hasName(n))
    const spec: Row = { name, kind: 'keyValue', key, value, caching: false, logged: false }
    this.graph.addGlobal({ topic: topic.name, store: spec as unknown as StoreSpec })
    return new GlobalTable(this.graph, spec)
  }

  build(applicationId: string): BuiltTopology {
    return this.graph.build(applicationId)
  }

  /** The topology as readable text: sub-topologies, nodes with arrows to their children, stores, internal topics. */
  describe(applicationId = 'app'): string {
    return this.graph.describe(applicationId)
  }

  #source<K, V>(topic: Topic<K, V> | TopicPattern<K, V>): Part<K, V> {
    const { key, value, timestamp, offsetReset } = topic
    const pattern = 'pattern' in topic ? topic.pattern : undefined
    const label = 'pattern' in topic ? patternLabel(topic.pattern) : topic.name
    const anchor = 'pattern' in topic ? `${wordsOf(topic.pattern)}-pattern` : topic.name
    const known = this.#topics.get(label)
    // '-source' so that a table may have its topic's name
    const free = (): string =>
      pattern ? deriveName(anchor, 'source', (n) => this.graph.hasName(n)) : `${anchor}-source`
    const node = known?.node ?? free()
    if (!known) {
      this.graph.addSource({
        name: node,
        topics: [label],
        key,
        value,
        ...(pattern ? { pattern } : {}),
        ...(timestamp ? { timestamp } : {}),
        ...(offsetReset ? { offsetReset } : {})
      })
      this.#topics.set(label, { topic: topic as unknown as Read, node })
    } else if (
      known.topic.key !== key ||
      known.topic.value !== value ||
      known.topic.timestamp !== timestamp ||
      known.topic.offsetReset !== offsetReset
    ) {
      throw new TopologyError(
        `Topic "${label}" is read twice, with different serdes or options: at ${this.graph.placeOf(node)} and at ${callSite()}. ` +
          `Make one topic(…) value and use it in both places.`,
        { code: 'ERR_TOPOLOGY_SOURCE', details: { topic: label } }
      )
    }
    return { graph: this.graph, node, anchor, key, value, rekeyed: false }
  }
}

type Read = Pick<Topic<unknown, unknown>, 'key' | 'value' | 'timestamp' | 'offsetReset'>

/** What of a pattern can be part of a name. */
const wordsOf = ({ source }: RegExp): string => source.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'topic'

/** Types refuse it; JavaScript does not. */
function refusePattern(what: string, topic: object): void {
  if (!('pattern' in topic)) return
  throw new TopologyError(
    `${what} (${callSite()}) cannot be made of ${topic.pattern}: rows of a key would come from several topics. Read it as a stream: stream(…).toTable().`,
    { code: 'ERR_TOPOLOGY_SOURCE' }
  )
}

/**
 * A new, empty topology.
 * @param options `supervise`: rules for records that fail, behind those of each node and before the runtime's
 * @throws ConfigError for a rule that cannot hold here
 * @example
 * const t = topology()
 * t.stream(flights).filter(({ value }) => value.delay > 15).to('late-flights')
 */
export function topology(options: { readonly supervise?: readonly Rule[] } = {}): TopologyBuilder {
  refuseUnknown(options, ['supervise'], 'topology.')
  const builder = new TopologyBuilder()
  if (options.supervise) builder.graph.supervise(options.supervise)
  return builder
}
