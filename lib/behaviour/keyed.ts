/** Adds a keyed behaviour to a topology: a source for each input, one node with state and timers, a sink for each output. */
import type { Target, Topic } from '../dsl/topic.ts'
import { TopologyError } from '../errors.ts'
import { withRetries } from '../operators/retries.ts'
import type { Serde } from '../record.ts'
import type { Rule } from '../supervise/rules.ts'
import type { Buildable } from '../topology/built.ts'
import { Topology } from '../topology/graph.ts'
import { KeyedOperator, stateName, timersName } from './keyedOperator.ts'
import { keyedSerde, type StateVersion } from './keyedRow.ts'
import type { KeyedLogic } from './port.ts'
import type { Questionable, Questions } from './questions.ts'
import { markIds, markSerde } from './timers.ts'

/** A behaviour as a frozen value: give it to `createRuntime` or `drive` as the topology. */
// biome-ignore lint/suspicious/noExplicitAny: what may be asked is not known where it is not said
export interface Behaviour<K = unknown, Q extends Questions = any> extends Buildable, Questionable<K, Q> {
  readonly name: string
  /** Serde of its keys: routes questions to the task that has the key. */
  readonly key: Serde<K>
  /** @internal Into a topology with others. */
  addTo(topology: Topology): void
}

export interface KeyedParts<K, S> {
  // biome-ignore lint/suspicious/noExplicitAny: the typed makers above guarantee that the parts fit
  readonly inputs: Readonly<Record<string, Topic<K, any>>>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly outputs: Readonly<Record<string, Target<any, any>>>
  readonly key: Serde<K>
  readonly state: Serde<S>
  /** Of the state's form. Default: rows carry none. */
  readonly version?: StateVersion | undefined
  readonly logic: () => KeyedLogic<K, S>
  /** What follows when a record or a timer fails. */
  readonly supervise?: readonly Rule[] | undefined
}

/** @throws TopologyError ERR_TOPOLOGY_EMPTY without inputs */
// biome-ignore lint/suspicious/noExplicitAny: as above
export function keyedBehaviour<K, S, Q extends Questions = any>(
  name: string,
  parts: KeyedParts<K, S>
): Behaviour<K, Q> {
  if (Object.keys(parts.inputs).length === 0) {
    throw new TopologyError(`Behaviour "${name}" has no inputs: name a topic in "input".`, {
      code: 'ERR_TOPOLOGY_EMPTY'
    })
  }
  const topics = Object.entries(parts.inputs).map(([input, { name: topic }]) => ({ input, topic }))
  for (const [i, { input, topic }] of topics.entries()) {
    const other = topics.slice(0, i).find((earlier) => earlier.topic === topic)
    if (!other) continue
    throw new TopologyError(
      `Behaviour "${name}" reads the topic "${topic}" as "${other.input}" and as "${input}": give it one input.`,
      { code: 'ERR_TOPOLOGY_SOURCE' }
    )
  }
  const addTo = (topology: Topology): void => addKeyed(topology, name, parts)
  return Object.freeze({
    name,
    key: parts.key,
    addTo,
    build(applicationId: string) {
      const topology = new Topology()
      addTo(topology)
      return topology.build(applicationId)
    }
  })
}

function addKeyed<K, S>(topology: Topology, name: string, parts: KeyedParts<K, S>): void {
  const { key, state, logic } = parts
  const inputs = Object.entries(parts.inputs)
  const outputs = Object.entries(parts.outputs)
  const parents = inputs.map(([input, topic]) => source(topology, `${name}-${input}`, topic))
  const spec = { kind: 'keyValue', key, caching: true } as const
  const [rows, marks] = [stateName(name), timersName(name)]
  const value = keyedSerde(state, name, parts.version)
  topology.addStore({ ...spec, name: rows, value, logged: true, index: { store: marks, ids: markIds } })
  topology.addStore({ ...spec, name: marks, value: markSerde, logged: false })
  const sinks = new Map(outputs.map(([output]) => [output, `${name}-to-${output}`]))
  const node = { name, inputs: new Map(inputs.map(([input, { name: t }]) => [t, input])), outputs: sinks, key, logic }
  const draft = {
    name,
    parents,
    stores: [rows, marks],
    create: () => new KeyedOperator(node),
    what: 'behaviour',
    supervise: parts.supervise
  }
  const values = new Map(inputs.map(([, topic]) => [topic.name, topic.value as Serde<unknown>]))
  topology.addProcessor(
    withRetries(
      topology,
      draft,
      () => key as Serde<unknown>,
      (topic) => values.get(topic)!
    )
  )
  topology.copartition(name, parents)
  for (const [output, target] of outputs) {
    const { name: to, key: ofKey, value } = target as unknown as Topic<unknown, unknown>
    topology.addSink({ name: sinks.get(output)!, parents: [name], topic: to, key: ofKey, value })
  }
}

/** One topic that several parts read has one source. */
// biome-ignore lint/suspicious/noExplicitAny: as above
function source(topology: Topology, name: string, topic: Topic<any, any>): string {
  const { timestamp, offsetReset } = topic
  const known = topology.sourceOf(topic.name)
  if (known) {
    topology.refuseOther(known, topic)
    return known.name
  }
  topology.addSource({
    name,
    topics: [topic.name],
    key: topic.key,
    value: topic.value,
    ...(timestamp ? { timestamp } : {}),
    ...(offsetReset ? { offsetReset } : {})
  })
  return name
}
