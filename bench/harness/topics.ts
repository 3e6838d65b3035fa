/** Topics of a bench: made, filled once, watched, and read back. */
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Producer, Transport } from '../../lib/kafka/port.ts'
import type { Tp } from '../../lib/record.ts'
import { delay, stopwatch, systemClock } from '../../lib/time.ts'
import type { Expected } from './expected.ts'
import { type Job, PARTITIONS, type Workload } from './types.ts'

/** Longer than the transactions of any side last when their process is gone. */
const MARKERS_WITHIN_MS = 30_000

export async function createTopic(transport: Transport, topic: string, partitions = PARTITIONS): Promise<void> {
  // The event times of the input are not of today: no retention by time.
  const config = { 'retention.ms': '-1' }
  await transport.admin.create([{ topic, partitions, replication: -1, config }])
}

/** Those whose names begin so: the broker shall not carry the logs of all runs before. */
export async function removeTopics(transport: Transport, prefix: string): Promise<void> {
  const topics = (await transport.admin.topics()).filter((topic) => topic.startsWith(prefix))
  await transport.admin.deleteTopics(topics)
}

export interface Filled {
  /** Records per input. */
  readonly counts: readonly number[]
  readonly expected: Expected
}

/** Writes a workload's input, on the partitions a Java producer would choose. */
export async function fill(
  transport: Transport,
  workload: Pick<Workload, 'data'>,
  topics: readonly string[],
  records: number
): Promise<Filled> {
  const producer = await transport.producer({ lane: 0 })
  const counts = topics.map(() => 0)
  const puts = topics.map((topic) => putter(producer, topic))
  const expected = workload.data(records, (input, timestamp, key, value) => {
    puts[input]!(timestamp, key, value)
    counts[input]!++
  })
  await producer.flush()
  await producer.close()
  return { counts, expected }
}

/** Appends records of one topic, each to the partition that a Java producer would choose. */
export function putter(producer: Producer, topic: string, partitions = PARTITIONS) {
  const writers = Array.from({ length: partitions }, (_, p) => producer.writer(topic, p))
  return (timestamp: number, key: Buffer, value: Buffer): void =>
    writers[partitionFor(key, 0, key.length, partitions)]!.append(
      timestamp,
      key,
      0,
      key.length,
      value,
      0,
      value.length,
      []
    )
}

const partitionsOf = (topic: string, partitions = PARTITIONS): Tp[] =>
  Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

/** Input records that are done for good: their offsets are committed, and with them what came of them. */
export async function committed(
  transport: Transport,
  { group, inputs, partitions }: Pick<Job, 'group' | 'inputs' | 'partitions'>
): Promise<number> {
  const tps = inputs.flatMap((input) => partitionsOf(input, partitions))
  const offsets = await transport.committed(group, tps)
  return sum([...offsets.values()].map(({ offset }) => offset))
}

/** Without a look at the clock: for what comes before a measurement. */
export async function untilCommitted(
  transport: Transport,
  job: Pick<Job, 'group' | 'inputs' | 'records' | 'partitions'>
): Promise<void> {
  while ((await committed(transport, job)) < job.records) await delay(systemClock, 50)
}

export async function ends(transport: Transport, topic: string, partitions = PARTITIONS): Promise<number[]> {
  const tps = partitionsOf(topic, partitions)
  const offsets = await transport.offsets(tps, 'lso')
  return tps.map((tp) => offsets.get(`${tp.topic}-${tp.partition}`) ?? 0)
}

export const written = async (transport: Transport, { output, partitions }: Job): Promise<number> =>
  sum(await ends(transport, output, partitions))

/**
 * The ends once no transaction is open. Offsets are committed as soon as their own marker is written, while that of another partition may be
 * on its way: its records would be missing.
 */
async function settledEnds(transport: Transport, topic: string, partitions: number): Promise<number[]> {
  const began = stopwatch()
  for (;;) {
    const highs = await transport.offsets(partitionsOf(topic, partitions), 'hw')
    const limits = await ends(transport, topic, partitions)
    if (limits.every((limit, partition) => limit >= (highs.get(`${topic}-${partition}`) ?? 0))) return limits
    if (stopwatch() - began > MARKERS_WITHIN_MS)
      throw new Error(`WRONG RESULT: ${topic}: a transaction is open ${MARKERS_WITHIN_MS} ms after the end`)
    await delay(systemClock, 20)
  }
}

/** Reads a topic to its end as a committed reader does. @throws Error when it is not what it must be */
export async function verify(
  transport: Transport,
  topic: string,
  expected: Expected,
  partitions = PARTITIONS
): Promise<void> {
  const limits = await settledEnds(transport, topic, partitions)
  const check = expected.check()
  const open = new Set(limits.keys())
  await new Promise<void>((resolve, reject) => {
    const reader = transport.reader({ isolation: 'committed', lane: 'restore', onError: reject })
    const end = (partition: number): void => {
      open.delete(partition)
      if (open.size === 0) reader.close().then(resolve, reject)
    }
    for (const [partition, limit] of limits.entries()) {
      if (limit === 0) end(partition)
      else
        reader.add({ topic, partition }, 0, ({ records, next }) => {
          if (!open.has(partition)) return
          for (let i = 0; i < records.count; i++)
            check.take(partition, records.timestamps[i]!, records.key(i), records.value(i))
          if (next >= limit) end(partition)
        })
    }
  })
  const wrong = check.verdict()
  if (wrong !== undefined) throw new Error(`WRONG RESULT: ${topic}: ${wrong}`)
}
