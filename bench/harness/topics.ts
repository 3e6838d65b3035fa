/** Topics of a bench: made, filled once, watched, and read back. */
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import type { Tp } from '../../lib/record.ts'
import { delay, systemClock } from '../../lib/time.ts'
import type { Expected } from './expected.ts'
import { type Job, PARTITIONS, type Workload } from './types.ts'

export async function createTopic(transport: Transport, topic: string, partitions = PARTITIONS): Promise<void> {
  // The event times of the input are not of today: no retention by time.
  const config = { 'retention.ms': '-1' }
  await transport.admin.create([{ topic, partitions, replication: -1, config }])
}

export interface Filled {
  /** Records per input. */
  readonly counts: readonly number[]
  readonly expected: Expected
}

/** Writes a workload's input, on the partitions a Java producer would choose. */
export async function fill(
  transport: Transport,
  workload: Workload,
  topics: readonly string[],
  records: number
): Promise<Filled> {
  const producer = await transport.producer({ lane: 0 })
  const writers = topics.map((topic) => Array.from({ length: PARTITIONS }, (_, p) => producer.writer(topic, p)))
  const counts = topics.map(() => 0)
  const expected = workload.data(records, (input, timestamp, key, value) => {
    const partition = partitionFor(key, 0, key.length, PARTITIONS)
    writers[input]![partition]!.append(timestamp, key, 0, key.length, value, 0, value.length, [])
    counts[input]!++
  })
  await producer.flush()
  await producer.close()
  return { counts, expected }
}

const partitionsOf = (topic: string): Tp[] =>
  Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }))
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

/** Input records that are done for good: their offsets are committed, and with them what came of them. */
export async function committed(
  transport: Transport,
  { group, inputs }: Pick<Job, 'group' | 'inputs'>
): Promise<number> {
  const offsets = await transport.committed(group, inputs.flatMap(partitionsOf))
  return sum([...offsets.values()].map(({ offset }) => offset))
}

/** Without a look at the clock: for what comes before a measurement. */
export async function untilCommitted(
  transport: Transport,
  job: Pick<Job, 'group' | 'inputs' | 'records'>
): Promise<void> {
  while ((await committed(transport, job)) < job.records) await delay(systemClock, 50)
}

export async function ends(transport: Transport, topic: string): Promise<number[]> {
  const tps = partitionsOf(topic)
  const offsets = await transport.offsets(tps, 'lso')
  return tps.map((tp) => offsets.get(`${tp.topic}-${tp.partition}`) ?? 0)
}

export const written = async (transport: Transport, { output }: Job): Promise<number> =>
  sum(await ends(transport, output))

/** Reads a topic to its end as a committed reader does. @throws Error when it is not what it must be */
export async function verify(transport: Transport, topic: string, expected: Expected): Promise<void> {
  const limits = await ends(transport, topic)
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
