/** What a stream or table is within the graph, and the steps that the typed classes share. */
import { TopologyError } from '../errors.ts'
import { RepartitionOperator } from '../operators/repartition.ts'
import { withRetries } from '../operators/retries.ts'
import type { Serde } from '../record.ts'
import { json } from '../serde/json.ts'
import type { Rule } from '../supervise/rules.ts'
import type { Topology } from '../topology/graph.ts'
import { callSite, deriveName } from '../topology/names.ts'
import type { Operator, SinkNode } from '../topology/node.ts'

/** A place in the graph that records of one type come out of. */
export interface Part<K, V> {
  readonly graph: Topology
  /** The node they come out of. */
  readonly node: string
  /** The nearest topic or named stateful node upstream: what derived names begin with. */
  readonly anchor: string
  /** undefined after a change of the key without a serde for the new one. */
  readonly key: Serde<K> | undefined
  readonly value: Serde<V> | undefined
  /** The key was changed since the last topic: records may lie in the wrong partition for it. */
  readonly rekeyed: boolean
  /** Behind windows: a window is closed once stream time has passed its end by so much, ms: the grace; an inclusive end: 1 more; sessions: the gap too. */
  readonly closesAfter?: number
  /** Behind windows that close by wall clock: after so long without a record, ms. */
  readonly idleMs?: number | undefined
}

export interface StepOptions {
  readonly name?: string | undefined
  readonly stores?: readonly string[]
  readonly globals?: readonly string[]
  readonly keepsKey?: boolean
  readonly supervise?: readonly Rule[] | undefined
}

interface Named {
  readonly name?: string | undefined
  readonly supervise?: readonly Rule[] | undefined
}

/** What every node may be told. */
export const nodeOf = ({ name, supervise }: Named): Named => ({ name, supervise })
export const superviseOf = ({ supervise }: Named): { supervise?: readonly Rule[] } => (supervise ? { supervise } : {})

/** Adds a processor behind a part. @returns its name */
export function step(part: Part<unknown, unknown>, what: string, options: StepOptions, create: () => Operator): string {
  const { graph } = part
  const name = options.name ?? deriveName(part.anchor, what, (n) => graph.hasName(n))
  const draft = {
    name,
    parents: [part.node],
    stores: options.stores ?? [],
    ...(options.globals?.length ? { globals: options.globals } : {}),
    what,
    create,
    keepsKey: options.keepsKey ?? false,
    supervise: options.supervise
  }
  const value = valueSerde(part, undefined)
  // mapAsync keeps the order of each key by itself, and what it calls ends after `process` has returned.
  const kept =
    what === 'mapAsync'
      ? draft
      : withRetries(
          graph,
          draft,
          () => keySerde(part, undefined, what),
          () => value
        )
  graph.addProcessor(kept)
  return name
}

/** The name of a stateful node: the user's, or derived and remembered for a warning. */
export function stateName(part: Part<unknown, unknown>, what: string, name: string | undefined): string {
  if (name !== undefined) return name
  const derived = deriveName(part.anchor, what, (n) => part.graph.hasName(n))
  part.graph.unnamed(derived)
  return derived
}

/**
 * Keys have no default serde: a guess (JSON puts quotes around text) would silently send equal keys to different partitions.
 * @throws TopologyError ERR_TOPOLOGY_SERDE
 */
export function keySerde<K>(part: Part<K, unknown>, given: Serde<K> | undefined, what: string): Serde<K> {
  const serde = given ?? part.key
  if (serde) return serde
  throw new TopologyError(
    `${what} (${callSite()}) needs the serde of the key, which was changed upstream at "${part.node}" (${part.graph.placeOf(part.node)}). ` +
      `Add it there, or here: { key: string() }.`,
    { code: 'ERR_TOPOLOGY_SERDE', details: { part: 'key', node: part.node } }
  )
}

/** Values that only travel between our own parts default to JSON. */
export const valueSerde = <V>(part: Part<unknown, V>, given: Serde<V> | undefined): Serde<V> =>
  given ?? part.value ?? json<V>()

export interface RepartitionParts<K, V> {
  readonly name?: string | undefined
  readonly key?: Serde<K> | undefined
  readonly value?: Serde<V> | undefined
  /** Null keys pass, to any partition: behind it stands a left or outer join, which joins them with nothing. Default false. */
  readonly keepNullKeys?: boolean | undefined
}

const repartitioned = new WeakMap<Topology, Map<string, Part<unknown, unknown>>>() // by parent node and name

/** The same records behind an internal topic, in the partitions of their present keys. Used twice, it is one topic. */
export function repartition<K, V>(part: Part<K, V>, options: RepartitionParts<K, V>, what: string): Part<K, V> {
  const { graph } = part
  const known = repartitioned.get(graph) ?? new Map<string, Part<unknown, unknown>>()
  repartitioned.set(graph, known)
  const id = `${part.node} ${options.name ?? ''}${options.keepNullKeys ? ' with null keys' : ''}`
  const made = known.get(id)
  if (made) return made as Part<K, V>
  const result = through(part, options, 'by', what)
  known.set(id, result as unknown as Part<unknown, unknown>)
  return result
}

/** A new internal topic, whatever was made before. @param suffix of the derived name */
export function through<K, V>(
  part: Part<K, V>,
  options: RepartitionParts<K, V> & {
    readonly partitions?: number | undefined
    readonly partitioner?: SinkNode['partitioner'] | undefined
  },
  suffix: string,
  what: string
): Part<K, V> {
  const { graph } = part
  const { partitions, partitioner } = options
  const key = keySerde(part, options.key, what)
  const value = valueSerde(part, options.value)
  const name = stateName(part, suffix, options.name)
  graph.checkRepartition(name)
  let parent = part.node
  if (!options.keepNullKeys) {
    parent = `${name}-repartition-keys`
    graph.addProcessor({
      name: parent,
      parents: [part.node],
      what: 'drop null keys',
      create: () => new RepartitionOperator(key),
      keepsKey: true
    })
  }
  const node = graph.addRepartition({ name, parent, key, value, partitions, partitioner })
  return { graph, node, anchor: name, key, value, rekeyed: false }
}
