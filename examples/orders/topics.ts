/** The shop's topics: made, written by a plain producer, read back as any consumer would. */
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { NO_HEADERS, type Tp, tpKey } from '../../lib/record.ts'
import { until } from '../../lib/testing/until.ts'
import { line } from './expected.ts'
import { INPUTS, type Input, type Name, OUTPUTS } from './job.ts'

const PARTITIONS = 3

export const partitionsOf = (topics: readonly string[], name: Name): Tp[] =>
  topics.flatMap((topic) => Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: name(topic), partition })))

/** Event times may be any: with `retention.ms=-1` no broker deletes them as old. */
export const createTopics = (transport: Transport, name: Name): Promise<void> =>
  transport.admin.create(
    [...INPUTS, ...OUTPUTS].map((topic) => ({
      topic: name(topic),
      partitions: PARTITIONS,
      replication: -1,
      config: { 'retention.ms': '-1' }
    }))
  )

interface Written {
  readonly topic: Input
  readonly key: string
  readonly value: unknown
  readonly at: number
  /** Default: by the key. */
  readonly partition?: number
}

export async function publish(transport: Transport, name: Name, records: readonly Written[]): Promise<void> {
  const producer = await transport.producer({ lane: 0 })
  for (const { topic, key, value, at, partition } of records) {
    const k = Buffer.from(key)
    const v = Buffer.from(JSON.stringify(value))
    const writer = producer.writer(name(topic), partition ?? partitionFor(k, 0, k.length, PARTITIONS))
    writer.append(at, k, 0, k.length, v, 0, v.length, NO_HEADERS)
  }
  await producer.flush()
  await producer.close()
}

/** Time passes where nothing happens: a payment for no order, on each partition. */
export const passTime = (transport: Transport, name: Name, at: number): Promise<void> =>
  publish(
    transport,
    name,
    Array.from({ length: PARTITIONS }, (_, partition) => ({
      topic: 'payments' as const,
      key: 'nobody',
      value: { order: 'nobody', amount: 0 },
      at,
      partition
    }))
  )

/** Resolves when the job has committed everything that was published. */
export async function caughtUp(transport: Transport, name: Name, group: string): Promise<void> {
  const inputs = partitionsOf(INPUTS, name)
  const ends = await transport.offsets(inputs, 'lso')
  const behind = async (): Promise<string[]> => {
    const committed = await transport.committed(group, inputs)
    return [...ends].filter(([key, end]) => (committed.get(key)?.offset ?? 0) < end).map(([key]) => key)
  }
  await until(async () => (await behind()).length === 0, {
    what: 'the job to be through with its input',
    timeoutMs: 60_000
  })
}

/** Everything on the outputs that is committed, as lines; in the order of partitions and offsets. */
export async function readOutputs(transport: Transport, name: Name): Promise<string[]> {
  const tps = partitionsOf(OUTPUTS, name)
  // A commit is answered before its markers are written: until they are, the end for committed readers lags behind.
  const ends = await until(
    async () => {
      const [stable, all] = await Promise.all([transport.offsets(tps, 'lso'), transport.offsets(tps, 'hw')])
      return [...all].every(([key, offset]) => stable.get(key) === offset) ? stable : undefined
    },
    { what: 'the last transactions to be settled' }
  )
  const lines: string[] = []
  const left = new Set([...ends].filter(([, end]) => end > 0).map(([key]) => key))
  let failed: Error | undefined
  const onError = (error: Error): void => {
    failed = error
  }
  const reader = transport.reader({ isolation: 'committed', lane: 'source', maxWaitMs: 100, onError })
  for (const tp of tps) {
    const id = tpKey(tp.topic, tp.partition)
    const topic = OUTPUTS.find((output) => name(output) === tp.topic)!
    reader.add(tp, 0, ({ records, next }) => {
      for (let i = 0; i < records.count; i++) {
        const value: unknown = JSON.parse(records.value(i)!.toString())
        lines.push(line(topic, records.key(i)!.toString(), records.timestamps[i]!, value))
      }
      if (next >= ends.get(id)!) left.delete(id)
    })
  }
  await until(() => failed !== undefined || left.size === 0, { what: 'the outputs to be read', timeoutMs: 30_000 })
  await reader.close()
  if (failed) throw failed
  return lines
}
