/** Several behaviours and topologies as one. */
import type { Behaviour } from '../behaviour/keyed.ts'
import { TopologyBuilder } from '../dsl/builder.ts'
import { ConfigError } from '../errors.ts'
import type { Buildable } from '../topology/built.ts'
import { Topology } from '../topology/graph.ts'

/** What a runtime runs, alone or together with others. */
export type TopologyPart = Behaviour | TopologyBuilder | Topology

/**
 * A topic that several parts read has one source, and they share its tasks; a topic that one writes and another reads goes through Kafka.
 * @throws TopologyError ERR_TOPOLOGY_DUPLICATE for a name used twice, ERR_TOPOLOGY_SOURCE for a topic read in two ways; ConfigError ERR_OPTION
 */
export function combine(parts: readonly TopologyPart[]): Buildable {
  const whole = new Topology()
  for (const part of parts) {
    if (part instanceof Topology) whole.include(part)
    else if (part instanceof TopologyBuilder) whole.include(part.graph)
    else if (typeof part?.addTo === 'function') part.addTo(whole)
    else {
      throw new ConfigError('Option "topology" has a part that is no behaviour, no Topology and no builder of one.', {
        details: { option: 'topology' }
      })
    }
  }
  return whole
}
