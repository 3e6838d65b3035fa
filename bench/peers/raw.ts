/** The floor: a loop on Millrace's Reader and Producer with a queue bounded in bytes between them, and no engine. */
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Batch } from '../../lib/kafka/port.ts'
import { began, job, stopped } from '../harness/child.ts'
import { PARTITIONS } from '../harness/types.ts'

const QUEUE_BYTES = 16 << 20
const PENDING_BYTES = 8 << 20

const { brokers, inputs, output, records } = job()
const input = inputs[0]!
const partitions = PARTITIONS
const transport = kafkaTransport({ brokers: [...brokers] })
const producer = await transport.producer({ lane: 0 })
const writers = Array.from({ length: partitions }, (_, p) => producer.writer(output, p))

const queue: Batch[] = []
let queued = 0
let paused = false
let wake = (): void => {}
const reader = transport.reader({
  isolation: 'committed',
  lane: 'source',
  onError: (error) => {
    throw error
  }
})
const each = (fn: (tp: { topic: string; partition: number }) => void): void => {
  for (let partition = 0; partition < partitions; partition++) fn({ topic: input, partition })
}

began()
each((tp) =>
  reader.add(tp, 0, (batch) => {
    queue.push(batch)
    queued += batch.bytes
    if (queued > QUEUE_BYTES && !paused) {
      paused = true
      each((p) => reader.pause(p))
    }
    wake()
  })
)

for (let copied = 0; copied < records; ) {
  const batch = queue.shift()
  if (!batch) {
    await new Promise<void>((resolve) => {
      wake = resolve
    })
    continue
  }
  const writer = writers[batch.partition]!
  const { bytes, timestamps, keyStart, keyEnd, valueStart, valueEnd, count } = batch.records
  for (let i = 0; i < count; i++) {
    const [key, value] = [keyEnd[i]!, valueEnd[i]!]
    writer.append(
      timestamps[i]!,
      key < 0 ? null : bytes,
      keyStart[i]!,
      key,
      value < 0 ? null : bytes,
      valueStart[i]!,
      value,
      batch.records.headersAt[i]! < 0 ? [] : batch.records.headers(i)
    )
  }
  copied += count
  queued -= batch.bytes
  if (paused && queued < QUEUE_BYTES / 2) {
    paused = false
    each((p) => reader.resume(p))
  }
  await producer.room(PENDING_BYTES)
}
await producer.flush()
await stopped()
await reader.close()
await producer.close()
await transport.close()
