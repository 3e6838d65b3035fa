/** Topics of a bench: made, filled, counted, and compared record by record. */
import { crc32c } from '@node-rs/crc32'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import type { Job } from './types.ts'

export async function createTopic(transport: Transport, topic: string, partitions: number): Promise<void> {
  // The event times of the input are not of today: no retention by time.
  await transport.admin.create([{ topic, partitions, replication: -1, config: { 'retention.ms': '-1' } }])
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

/** Records of the input whose one output each is visible: by the output's end, or in transactions, whose markers take offsets too, by what was committed. */
export async function passed(transport: Transport, job: Job): Promise<number> {
  const { input, output, partitions, group } = job
  if (job.guarantee === 'at-least-once') return sum(await endsOf(transport, output, partitions))
  const tps = Array.from({ length: partitions }, (_, partition) => ({ topic: input, partition }))
  return sum([...(await transport.committed(group, tps)).values()].map(({ offset }) => offset))
}

async function endsOf(transport: Transport, topic: string, partitions: number): Promise<number[]> {
  const tps = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
  const offsets = await transport.offsets(tps, 'lso')
  return tps.map((tp) => offsets.get(`${tp.topic}-${tp.partition}`) ?? 0)
}

/** Values of 100 bytes, keys over `keys`, a millisecond apart, on the partitions a Java producer would choose. */
export async function fillJson(
  transport: Transport,
  topic: string,
  options: { records: number; keys: number; partitions: number }
): Promise<void> {
  const producer = await transport.producer({ lane: 0 })
  const start = Date.UTC(2024, 0)
  for (let i = 0; i < options.records; i++) {
    const value = Buffer.from(`{"id":${1_000_000_000 + i},"text":"${'x'.repeat(73)}"}`)
    const key = Buffer.from(String(i % options.keys))
    const partition = partitionFor(key, 0, key.length, options.partitions)
    producer.writer(topic, partition).append(start + i, key, 0, key.length, value, 0, value.length, [])
    if (i % 1_000 === 0) await producer.room(16_000_000)
  }
  await producer.flush()
  await producer.close()
}

/** What a topic holds: the number of its records and, per partition, a checksum over all of them in order. */
export interface Contents {
  readonly records: number
  readonly checksums: readonly number[]
}

/** Reads a topic to its end as a committed reader does. Every key, value and event time counts, in order. */
export async function contents(transport: Transport, topic: string, partitions: number): Promise<Contents> {
  const limits = await endsOf(transport, topic, partitions)
  const checksums = new Array<number>(partitions).fill(0)
  let records = 0
  await new Promise<void>((resolve, reject) => {
    const open = new Set<number>()
    const times = Buffer.alloc(8)
    const reader = transport.reader({ isolation: 'committed', lane: 'restore', onError: reject })
    for (let partition = 0; partition < partitions; partition++) {
      if (limits[partition] === 0) continue
      open.add(partition)
      reader.add({ topic, partition }, 0, ({ records: set, next }) => {
        let checksum = checksums[partition]!
        for (let i = 0; i < set.count; i++) {
          times.writeDoubleLE(set.timestamps[i]!)
          checksum = crc32c(times, checksum)
          checksum = crc32c(set.key(i) ?? 'null', checksum)
          checksum = crc32c(set.value(i) ?? 'null', checksum)
        }
        checksums[partition] = checksum
        records += set.count
        if (next < limits[partition]! || !open.delete(partition) || open.size > 0) return
        reader.close().then(resolve, reject)
      })
    }
    if (open.size === 0) reader.close().then(resolve, reject)
  })
  return { records, checksums }
}
