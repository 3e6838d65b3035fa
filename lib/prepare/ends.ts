/** Where the input of a batch run ends, taken once when it starts. */
import { ConfigError } from '../errors.ts'
import type { Transport } from '../kafka/port.ts'
import type { Until } from '../options/until.ts'
import { type Tp, tpKey } from '../record.ts'
import type { PreparedTopology } from './prepare.ts'

export interface Ends {
  /** By `tpKey`: of the topics that others write. Records from there on are not taken. */
  readonly input: ReadonlyMap<string, number>
  readonly inputs: readonly Tp[]
  /** Partitions that the job both writes and reads: repartition topics, and topics of its own in between. */
  readonly between: readonly Tp[]
}

/** @throws ConfigError ERR_OPTION for a partition that the job does not read from outside; TransportError of the broker */
export async function captureEnds(
  transport: Pick<Transport, 'offsets'>,
  { built, sourceTopics, partitions: partitionCount }: PreparedTopology,
  until: Until
): Promise<Ends> {
  const written = new Set(
    built.subtopologies.flatMap((sub) => sub.nodes.flatMap((node) => (node.kind === 'sink' ? [node.topic] : [])))
  )
  const partitions = (topic: string): Tp[] =>
    Array.from({ length: partitionCount(topic) }, (_, partition) => ({ topic, partition }))
  const inputs = sourceTopics.filter((topic) => !written.has(topic)).flatMap(partitions)
  const between = sourceTopics.filter((topic) => written.has(topic)).flatMap(partitions)
  const input = new Map(await transport.offsets(inputs, 'lso'))
  if (until !== 'caught-up') {
    const asked =
      'timestamp' in until
        ? await transport.offsets(inputs, { timestamp: until.timestamp })
        : named(until.offsets, input)
    for (const [tp, offset] of asked) if (offset >= 0) input.set(tp, offset)
  }
  return { input, inputs, between }
}

function named(offsets: Readonly<Record<string, number>>, known: ReadonlyMap<string, number>): [string, number][] {
  const strange = Object.keys(offsets).filter((tp) => !known.has(tp))
  if (strange.length > 0) {
    throw new ConfigError(
      `"until.offsets" names ${strange.join(', ')}, which is no input of this job. Name partitions of its source topics, as in "orders-0".`,
      { details: { option: 'until.offsets', partitions: strange, inputs: [...known.keys()] } }
    )
  }
  return Object.entries(offsets)
}

/** Those of `tps` that have not got to their end. */
export const short = (tps: readonly Tp[], ends: ReadonlyMap<string, number>, at: ReadonlyMap<string, number>): Tp[] =>
  tps.filter(({ topic, partition }) => {
    const key = tpKey(topic, partition)
    return (ends.get(key) ?? 0) > (at.get(key) ?? 0)
  })
