/** The broker that integration specs share, names nobody else uses, and a plain look into the log. */
import { isDeepStrictEqual } from 'node:util'
import { after } from 'mocha'
import { Cluster } from '../../lib/kafka/cluster.ts'
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import type { Isolation, PartitionWriter } from '../../lib/kafka/port.ts'
import { decodeBatches } from '../../lib/kafka/protocol/recordBatch.ts'
import type { Wire } from '../../lib/kafka/wire.ts'
import { type KafkaHandle, startKafka } from '../../lib/testing/kafka.ts'
import { until } from '../../lib/testing/until.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { FaultyWire } from '../kafka/faultyWire.ts'

let started: Promise<KafkaHandle> | undefined

/** One real Kafka for all spec files of this run; ended when they are through. */
export function broker(): Promise<KafkaHandle> {
  started ??= startKafka()
  return started
}

after(async () => {
  await (await started?.catch(() => undefined))?.stop()
})

let count = 0

/** A topic, group or transactional id that no other spec and no earlier run has used. */
export const uniqueName = (prefix: string): string =>
  `${prefix}-${Date.now().toString(36)}-${process.pid.toString(36)}-${count++}`

/** Connections of its own to the shared broker, with faults on order. */
export async function openCluster(): Promise<{ wire: FaultyWire; cluster: Cluster; close(): Promise<void> }> {
  const { brokers } = await broker()
  const wire = new FaultyWire(kafkajsWire({ brokers }))
  return {
    wire,
    cluster: new Cluster(wire, { clock: systemClock, random: systemRandom }),
    close: () => wire.close()
  }
}

/** Creates a topic and resolves when its partitions have leaders. */
export async function createTopic(
  cluster: Cluster,
  partitions: number,
  config: Record<string, string> = {}
): Promise<string> {
  const topic = uniqueName('topic')
  const answer = await cluster.wire.lane('control').call('controller', 'CreateTopics', {
    timeoutMs: 10_000,
    topics: [{ topic, partitions, replication: -1, config }]
  })
  if (answer.topics[0]?.error !== 0) throw new Error(`creating ${topic}: ${JSON.stringify(answer)}`)
  for (let partition = 0; partition < partitions; partition++) await cluster.leader(topic, partition)
  return topic
}

export interface Seen {
  offset: number
  timestamp: number
  key: string | null
  value: string | null
  headers: readonly (readonly [string, string | null])[]
}

/** Everything a partition holds from an offset on, read by plain Fetch requests. */
export async function readAll(
  wire: Wire,
  leader: number,
  topic: string,
  partition = 0,
  isolation: Isolation = 'committed',
  from = 0,
  keys: BufferEncoding = 'utf8'
): Promise<Seen[]> {
  const lane = wire.lane('spec-reader')
  const ends = await lane.call(leader, 'ListOffsets', {
    isolation,
    topics: [{ topic, partitions: [{ partition, timestamp: -1 }] }]
  })
  const end = ends.topics[0]!.partitions[0]!.offset
  const seen: Seen[] = []
  for (let offset = from; offset < end; ) {
    const answer = await lane.call(leader, 'Fetch', {
      maxWaitMs: 100,
      minBytes: 1,
      maxBytes: 50_000_000,
      isolation,
      topics: [{ topic, partitions: [{ partition, offset, maxBytes: 10_000_000 }] }]
    })
    const { records, aborted } = answer.topics[0]!.partitions[0]!
    const decoded = decodeBatches(records, { offset, committed: isolation === 'committed', aborted })
    if (decoded.error) throw decoded.error
    for (const { records: set } of decoded.pieces) {
      for (let i = 0; i < set.count; i++) {
        seen.push({
          offset: set.offsets[i]!,
          timestamp: set.timestamps[i]!,
          key: set.key(i)?.toString(keys) ?? null,
          value: set.value(i)?.toString() ?? null,
          headers: set.headers(i).map(([name, value]) => [name, value?.toString() ?? null])
        })
      }
    }
    offset = decoded.next
  }
  return seen
}

/** The values a partition holds, in order. */
export async function values(cluster: Cluster, topic: string, partition = 0, isolation?: Isolation): Promise<string[]> {
  const leader = await cluster.leader(topic, partition)
  return (await readAll(cluster.wire, leader, topic, partition, isolation)).map((r) => r.value ?? '∅')
}

/**
 * Waits until committed readers see exactly these values. After EndTxn the markers are still being written: for some milliseconds the
 * last stable offset lies before what is committed already.
 */
export async function expectValues(cluster: Cluster, topic: string, expected: string[], partition = 0): Promise<void> {
  let seen: string[] = []
  await until(
    async () => {
      seen = await values(cluster, topic, partition)
      return isDeepStrictEqual(seen, expected)
    },
    { timeoutMs: 5_000, what: () => `${topic}-${partition} holds [${expected}]; it holds [${seen}]` }
  )
}

/** Appends a value without a key. */
export function put(writer: PartitionWriter, value: string, timestamp = 1): void {
  const bytes = Buffer.from(value)
  writer.append(timestamp, null, 0, 0, bytes, 0, bytes.length, [])
}
