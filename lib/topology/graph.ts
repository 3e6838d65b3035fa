/** The graph of sources, processors, sinks and stores, checked as it grows; `build` gives it an application id. */
import { changelogTopic } from '../changelog/topics.ts'
import { nearest, TopologyError } from '../errors.ts'
import type { Serde } from '../record.ts'
import type { StoreSpec } from '../store/port.ts'
import { checkRules, NO_RULES, type Rule } from '../supervise/rules.ts'
import type { Buildable, BuiltTopology, ChangelogTopic, GlobalTopic, RepartitionTopic } from './built.ts'
import { describeTopology } from './describe.ts'
import { callSite, checkName, repartitionTopic, shapesTopic } from './names.ts'
import type { Node, ProcessorNode, SinkNode, SourceNode, SubTopology } from './node.ts'
import { isPatternLabel, matcher, patternLabel } from './patterns.ts'
import { connectedParts } from './subtopologies.ts'

export type { Buildable, BuiltTopology, ChangelogTopic, GlobalTopic, RepartitionTopic } from './built.ts'

export interface ProcessorDraft extends Omit<ProcessorNode, 'kind' | 'stores' | 'keepsKey' | 'supervise'> {
  readonly supervise?: readonly Rule[] | undefined
  /** It keeps records that a rule retries by key. Default false: such rules are refused. */
  readonly keepsRetries?: boolean
  readonly stores?: readonly string[]
  /** Global tables that were added. */
  readonly globals?: readonly string[]
  /** Default false. */
  readonly keepsKey?: boolean
}

export interface RepartitionDraft {
  /** Without application id and suffix. */
  readonly name: string
  readonly parent: string
  // biome-ignore lint/suspicious/noExplicitAny: the typed builders above guarantee that the parts fit
  readonly key: Serde<any>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly value: Serde<any>
  /** Enforced count. Default: that of the topics it is joined with, else the highest upstream. */
  readonly partitions?: number | undefined
  readonly partitioner?: SinkNode['partitioner'] | undefined
}

interface Placed<T> {
  readonly it: T
  readonly place: string
}

/** The low-level builder; the typed DSL stands on it. Parents must be added before their children. */
export class Topology implements Buildable {
  #nodes = new Map<string, Placed<Node>>()
  #stores = new Map<string, Placed<StoreSpec>>()
  #globals = new Map<string, Placed<GlobalTopic>>()
  #topics = new Map<string, string>() // topic → source node that reads it
  #repartitions = new Map<string, RepartitionDraft>() // by the name of their sink and source nodes' topic
  #copartitioned: { node: string; members: readonly string[] }[] = []
  #rules: readonly Rule[] = NO_RULES
  #unnamed = new Map<string, string>() // derived names of stores and repartitions → place

  /** @throws TopologyError when the name or a topic is taken. */
  addSource(source: Omit<SourceNode, 'kind'>): void {
    for (const topic of source.topics) {
      if (!source.pattern) checkName('topic', topic, callSite())
      const other = this.#topics.get(topic)
      if (other !== undefined) {
        throw new TopologyError(
          `Topic "${topic}" is read by source "${other}" (${this.#nodes.get(other)!.place}) and by "${source.name}" (${callSite()}): ` +
            `a topic has one source. Use the same stream twice.`,
          { code: 'ERR_TOPOLOGY_SOURCE', details: { topic } }
        )
      }
    }
    this.#refuseMatch(source)
    this.#add({ ...source, kind: 'source' })
    for (const topic of source.topics) this.#topics.set(topic, source.name)
  }

  /**
   * Rules for records, behind those of each node and before the runtime's.
   * @throws ConfigError ERR_OPTION
   */
  supervise(rules: readonly Rule[]): void {
    this.#rules = checkRules(rules, 'supervise', 'outer')
  }

  /** @throws TopologyError when the name is taken, a parent is unknown or a sink, or a store is not added. */
  addProcessor(draft: ProcessorDraft): void {
    this.#checkParents(draft.name, draft.parents)
    const stores = draft.stores ?? []
    for (const store of stores) this.#checkStore(store, draft.name)
    for (const name of draft.globals ?? []) {
      if (this.#globals.has(name)) continue
      throw new TopologyError(
        `Node "${draft.name}" reads the global table "${name}", which was not added: add it first.`,
        {
          code: 'ERR_TOPOLOGY_STORE'
        }
      )
    }
    const { supervise, keepsRetries, ...rest } = draft
    const rules = checkRules(supervise, `${draft.name}.supervise`, keepsRetries ? 'node' : 'outer')
    const kept = { stores: [...stores], keepsKey: draft.keepsKey ?? false }
    this.#add({ ...rest, ...kept, ...(rules.length > 0 ? { supervise: rules } : {}), kind: 'processor' })
  }

  /** @throws TopologyError when the name is taken or a parent is unknown or a sink. */
  addSink(sink: Omit<SinkNode, 'kind'>): void {
    this.#checkParents(sink.name, sink.parents)
    if (typeof sink.topic === 'string') checkName('topic', sink.topic, callSite())
    checkRules(sink.supervise, `${sink.name}.supervise`, 'outer')
    this.#add({ ...sink, kind: 'sink' })
  }

  /** Adds a store, and connects it to processors that exist. @throws TopologyError when the name is taken. */
  addStore<K, V>(spec: StoreSpec<K, V>, ...processors: string[]): void {
    const place = callSite()
    checkName('store', spec.name, place)
    const known = this.#stores.get(spec.name) ?? this.#globals.get(spec.name)
    if (known) throw duplicate('store', spec.name, known.place, place)
    this.#stores.set(spec.name, { it: spec as unknown as StoreSpec, place })
    for (const processor of processors) this.connect(processor, spec.name)
  }

  /** A table of which every process holds all rows, from a topic. @throws TopologyError when the name is taken */
  addGlobal(global: GlobalTopic): void {
    const place = callSite()
    const { name } = global.store
    checkName('topic', global.topic, place)
    checkName('store', name, place)
    const known = this.#stores.get(name) ?? this.#globals.get(name)
    if (known) throw duplicate('store', name, known.place, place)
    for (const other of this.#globals.values()) {
      if (other.it.topic !== global.topic) continue
      throw new TopologyError(
        `Topic "${global.topic}" is made a global table twice: at ${other.place} and at ${place}. Use the one table in both places.`,
        { code: 'ERR_TOPOLOGY_SOURCE', details: { topic: global.topic } }
      )
    }
    this.#globals.set(name, { it: global, place })
  }

  /** `addStore`, unless this very store was added before. */
  shareStore(spec: StoreSpec): void {
    if (this.#stores.get(spec.name)?.it !== spec) this.addStore(spec)
  }

  /** Gives a processor access to a store that was added. */
  connect(processor: string, store: string): void {
    this.#checkStore(store, processor)
    const node = this.#nodes.get(processor)?.it
    if (node?.kind !== 'processor') {
      throw new TopologyError(`Store "${store}" cannot be connected to "${processor}": there is no such processor.`, {
        code: 'ERR_TOPOLOGY_STORE'
      })
    }
    if (!node.stores.includes(store)) (node.stores as string[]).push(store)
  }

  /**
   * Ends the part above `parent` in an internal topic and starts a new one behind it. Its nodes are `<name>-repartition` (source)
   * and `<name>-repartition-sink`.
   * @returns the name of the new source node
   * @throws TopologyError when the name is taken, the parent is unknown or a sink, or the count is no whole number of at least 1
   */
  addRepartition(draft: RepartitionDraft): string {
    const place = callSite()
    this.checkRepartition(draft.name)
    const source = `${draft.name}-repartition`
    this.#checkParents(source, [draft.parent])
    const { key, value, partitions, partitioner } = draft
    if (partitions !== undefined && !(Number.isInteger(partitions) && partitions >= 1)) {
      throw new TopologyError(
        `The repartition topic "${draft.name}" (${place}) asks for ${partitions} partitions: it must be a whole number of at least 1. Leave it out to let it follow from the topics around it.`,
        { code: 'ERR_TOPOLOGY_PARTITIONS', details: { name: draft.name, partitions } }
      )
    }
    const name = `${source}-sink`
    const way = partitioner ? { partitioner } : {}
    this.#add({ kind: 'sink', name, parents: [draft.parent], topic: source, key, value, ...way })
    this.#add({ kind: 'source', name: source, topics: [source], key, value })
    this.#repartitions.set(source, draft)
    return source
  }

  /**
   * A second way into a repartition topic, for a node that stands behind it.
   * @param what the sink is `<name>-repartition-<what>`
   * @returns the name of the sink
   * @throws TopologyError when the name is taken or the parent is unknown or a sink
   */
  feedRepartition(name: string, what: string, parent: string): string {
    const topic = `${name}-repartition`
    const { key, value, partitioner } = this.#repartitions.get(topic)!
    const sink = `${topic}-${what}`
    this.#checkParents(sink, [parent])
    const way = partitioner ? { partitioner } : {}
    this.#add({ kind: 'sink', name: sink, parents: [parent], topic, key, value, ...way })
    return sink
  }

  /** Before the nodes around a repartition topic are added. @throws TopologyError when its name is not valid or taken */
  checkRepartition(name: string): void {
    const place = callSite()
    checkName('repartition', name, place)
    const known = this.#nodes.get(`${name}-repartition`)
    if (this.#repartitions.has(`${name}-repartition`)) throw duplicate('repartition', name, known!.place, place)
  }

  /** The topics behind these nodes must have equal partition counts, or `node` would not see matching keys in one task. */
  copartition(node: string, members: readonly string[]): void {
    this.#copartitioned.push({ node, members })
  }

  /** Remembers that a store or repartition has a derived name: a warning of `build`. */
  unnamed(name: string): void {
    this.#unnamed.set(name, callSite())
  }

  /** The node and all above it, up to the topics that its sub-topology reads. */
  upstream(name: string): string[] {
    const node = this.#nodes.get(name)?.it
    if (node === undefined || node.kind === 'source') return [name]
    return [...new Set([name, ...node.parents.flatMap((parent) => this.upstream(parent))])]
  }

  /** @throws TopologyError ERR_TOPOLOGY_SOURCE when the source is not what a reader of its topic wants it to be */
  refuseOther(known: SourceNode, wanted: Pick<SourceNode, 'key' | 'value' | 'timestamp' | 'offsetReset'>): void {
    for (const part of ['key', 'value', 'timestamp', 'offsetReset'] as const) {
      if (known[part] === wanted[part]) continue
      throw new TopologyError(
        `Topic "${known.topics[0]}" is read twice, with different serdes or options: at ${this.placeOf(known.name)} and at ${callSite()}. ` +
          'Make one topic(…) value and use it in both places.',
        { code: 'ERR_TOPOLOGY_SOURCE', details: { topic: known.topics[0] } }
      )
    }
  }

  /**
   * Takes over what another has. A topic that both read has one source; rules of the other hold for its own nodes.
   * @throws TopologyError ERR_TOPOLOGY_DUPLICATE, ERR_TOPOLOGY_SOURCE
   */
  include(other: Topology): void {
    const renamed = new Map<string, string>()
    for (const [name, { it, place }] of other.#nodes) {
      const known = it.kind === 'source' ? this.sourceOf(it.topics[0]!) : undefined
      if (it.kind === 'source' && known) {
        this.refuseOther(known, it)
        renamed.set(name, known.name)
        continue
      }
      const taken = this.#nodes.get(name)
      if (taken) throw duplicate('node', name, taken.place, place)
      if (it.kind === 'source') {
        this.#refuseMatch(it)
        for (const topic of it.topics) this.#topics.set(topic, name)
        this.#nodes.set(name, { it, place })
      } else {
        const parents = it.parents.map((parent) => renamed.get(parent) ?? parent)
        const rules = [...(it.supervise ?? []), ...other.#rules]
        this.#nodes.set(name, { it: { ...it, parents, ...(rules.length > 0 ? { supervise: rules } : {}) }, place })
      }
    }
    take('store', other.#stores, this.#stores, this.#globals)
    take('store', other.#globals, this.#globals, this.#stores)
    for (const [topic, draft] of other.#repartitions) {
      this.#repartitions.set(topic, { ...draft, parent: renamed.get(draft.parent) ?? draft.parent })
    }
    for (const { node, members } of other.#copartitioned)
      this.copartition(
        node,
        members.map((member) => renamed.get(member) ?? member)
      )
    for (const [name, place] of other.#unnamed) this.#unnamed.set(name, place)
  }

  storeSpec(name: string): StoreSpec | undefined {
    return this.#stores.get(name)?.it
  }

  hasName(name: string): boolean {
    return (
      this.#nodes.has(name) ||
      this.#stores.has(name) ||
      this.#globals.has(name) ||
      this.#repartitions.has(`${name}-repartition`)
    )
  }

  /** The source node that reads a topic. */
  sourceOf(topic: string): SourceNode | undefined {
    const name = this.#topics.get(topic)
    return name === undefined ? undefined : (this.#nodes.get(name)!.it as SourceNode)
  }

  placeOf(name: string): string {
    return this.#nodes.get(name)?.place ?? this.#stores.get(name)?.place ?? 'unknown place'
  }

  /**
   * Fixes the names of internal topics and cuts the graph into sub-topologies.
   * @throws TopologyError when nothing is read, a store is not used, or a full topic name is too long or taken.
   */
  build(applicationId: string): BuiltTopology {
    checkName('application id', applicationId, callSite())
    const parts = connectedParts([...this.#nodes.values()].map((p) => p.it))
    if (parts.length === 0) {
      throw new TopologyError('The topology is empty: read a topic with stream(…) or table(…).', {
        code: 'ERR_TOPOLOGY_EMPTY'
      })
    }
    const used = new Set<string>()
    const subtopologies = parts.map((nodes, id) => this.#sub(id, nodes, applicationId, used))
    for (const [name, { place }] of this.#stores) {
      if (used.has(name)) continue
      throw new TopologyError(`Store "${name}" (${place}) is connected to no processor: connect it, or leave it out.`, {
        code: 'ERR_TOPOLOGY_STORE'
      })
    }
    const repartition: RepartitionTopic[] = [...this.#repartitions.values()].map((draft) => ({
      topic: repartitionTopic(applicationId, draft.name),
      name: draft.name,
      partitions: draft.partitions,
      key: draft.key.name,
      value: draft.value.name,
      upstream: this.#sourceTopics(draft.parent, applicationId)
    }))
    const changelogs: ChangelogTopic[] = subtopologies.flatMap((sub) =>
      sub.stores
        .filter((store) => store.logged)
        .map((store) => ({ topic: changelogTopic(applicationId, store.name), store, subtopology: sub.id }))
    )
    const seen = new Map<string, string>([...this.#topics.keys()].map((topic) => [topic, 'your own topic']))
    seen.set(shapesTopic(applicationId), 'the record of the topology')
    for (const { topic } of [...repartition, ...changelogs]) {
      checkName('internal topic', topic, 'application id and node name together')
      if (seen.has(topic)) throw duplicate('topic', topic, seen.get(topic)!, 'internal topic')
      seen.set(topic, 'internal topic')
    }
    this.#refusePatterns(applicationId)
    const built: BuiltTopology = {
      applicationId,
      subtopologies,
      globals: [...this.#globals.values()].map(({ it }) => it),
      internalTopics: { repartition, changelogs },
      copartitioned: this.#copartitioned.map(({ node, members }) => ({
        node,
        topics: [...new Set(members.flatMap((m) => this.#sourceTopics(m, applicationId)))]
      })),
      derived: [...this.#unnamed.keys()],
      warnings: [...this.#unnamed].map(
        ([name, place]) =>
          `"${name}" (${place}) has a derived name: give it one of your own, so that it keeps its state when the topology around it changes.`
      ),
      describe: () => describeTopology(built)
    }
    return built
  }

  /** The topology for people. */
  describe(applicationId = 'app'): string {
    return this.build(applicationId).describe()
  }

  /** A topic has one source: it must not be read by its name and by a pattern. */
  #refuseMatch(source: Omit<SourceNode, 'kind'>): void {
    for (const { it, place } of this.#nodes.values()) {
      if (it.kind !== 'source') continue
      const [by, named] = source.pattern ? [source, it] : [it, source]
      if (!by.pattern || named.pattern) continue
      const topic = named.topics.find(matcher(by.pattern))
      if (topic === undefined) continue
      throw new TopologyError(
        `Topic "${topic}" is read by its name and by the pattern ${patternLabel(by.pattern)}: at ${place} and at ${callSite()}. A topic has one source: make the pattern narrower.`,
        { code: 'ERR_TOPOLOGY_SOURCE', details: { topic } }
      )
    }
  }

  /** How many partitions a pattern's topics have is not known, and may change: they cannot be joined by the partitions of their keys. */
  #refusePatterns(applicationId: string): void {
    for (const { node, members } of this.#copartitioned) {
      const pattern = members.flatMap((m) => this.#sourceTopics(m, applicationId)).find(isPatternLabel)
      if (pattern === undefined) continue
      throw new TopologyError(
        `"${node}" joins what is read from ${pattern}: topics that are found by a pattern need not have equal partition counts. Put repartition() in front of the join.`,
        { code: 'ERR_TOPOLOGY_SOURCE', details: { node, pattern } }
      )
    }
  }

  #sub(id: number, nodes: readonly Node[], applicationId: string, used: Set<string>): SubTopology {
    const topics: string[] = []
    const repartitions = new Set<string>()
    const stores = new Map<string, StoreSpec>()
    const resolved = nodes.map((node): Node => {
      if (node.kind === 'processor') {
        for (const name of node.stores) {
          used.add(name)
          stores.set(name, this.#stores.get(name)!.it)
        }
        return node
      }
      const own = node.kind === 'source' ? node.topics[0]! : typeof node.topic === 'string' ? node.topic : ''
      const draft = this.#repartitions.get(own)
      const internal = draft !== undefined && node.name.startsWith(own)
      const full = internal ? repartitionTopic(applicationId, draft.name) : own
      if (internal) repartitions.add(full)
      if (node.kind === 'source') topics.push(...(internal ? [full] : node.topics))
      if (!internal) return node
      return node.kind === 'source' ? { ...node, topics: [full] } : { ...node, topic: full }
    })
    return {
      id,
      nodes: resolved,
      stores: [...stores.values()],
      sourceTopics: topics,
      ...(this.#rules.length > 0 ? { supervise: this.#rules } : {}),
      repartitionTopics: [...repartitions]
    }
  }

  /** Full names of the topics that feed a node within its sub-topology. */
  #sourceTopics(name: string, applicationId: string): string[] {
    const node = this.#nodes.get(name)!.it
    if (node.kind !== 'source') return [...new Set(node.parents.flatMap((p) => this.#sourceTopics(p, applicationId)))]
    const draft = this.#repartitions.get(node.name)
    return draft ? [repartitionTopic(applicationId, draft.name)] : [...node.topics]
  }

  #add(node: Node): void {
    const place = callSite()
    checkName('name', node.name, place)
    const known = this.#nodes.get(node.name)
    if (known) throw duplicate('node', node.name, known.place, place)
    this.#nodes.set(node.name, { it: node, place })
  }

  #checkParents(child: string, parents: readonly string[]): void {
    if (parents.length === 0) {
      throw new TopologyError(`Node "${child}" has no parent: name the node it reads from.`, {
        code: 'ERR_TOPOLOGY_PARENT'
      })
    }
    for (const parent of parents) {
      const known = this.#nodes.get(parent)
      if (!known) {
        const near = nearest(parent, [...this.#nodes.keys()])
        throw new TopologyError(
          `Node "${child}" (${callSite()}) has the parent "${parent}", which does not exist${near ? `: did you mean "${near}"?` : '. Add parents before children.'}`,
          { code: 'ERR_TOPOLOGY_PARENT' }
        )
      }
      if (known.it.kind === 'sink') {
        throw new TopologyError(
          `Node "${child}" (${callSite()}) has the sink "${parent}" (${known.place}) as parent: nothing comes out of a sink. Read its topic instead.`,
          { code: 'ERR_TOPOLOGY_PARENT' }
        )
      }
    }
  }

  #checkStore(store: string, node: string): void {
    if (this.#stores.has(store)) return
    const near = nearest(store, [...this.#stores.keys()])
    throw new TopologyError(
      `Node "${node}" (${callSite()}) uses the store "${store}", which was not added${near ? `: did you mean "${near}"?` : ': add it first.'}`,
      { code: 'ERR_TOPOLOGY_STORE' }
    )
  }
}

function take<T>(
  what: string,
  from: Map<string, Placed<T>>,
  to: Map<string, Placed<T>>,
  beside: Map<string, Placed<unknown>>
): void {
  for (const [name, placed] of from) {
    const known = to.get(name) ?? beside.get(name)
    if (known) throw duplicate(what, name, known.place, placed.place)
    to.set(name, placed)
  }
}

const duplicate = (what: string, name: string, first: string, second: string): TopologyError =>
  new TopologyError(
    `The ${what} name "${name}" is used twice: at ${first} and at ${second}. Give one of them another name.`,
    {
      code: 'ERR_TOPOLOGY_DUPLICATE',
      details: { name, places: [first, second] }
    }
  )
