/** From the moment a record is produced until a committed reader has what came of it, at 10,000 records/s. */
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { delay, stopwatch, systemClock } from '../../lib/time.ts'
import { PARTITIONS } from '../harness/types.ts'
import { keyOf, scattered } from '../workloads/data.ts'
import { byTurns, endless, type Figures, withSide } from './runs.ts'
import type { Special } from './types.ts'

const PER_SECOND = 10_000
const SECONDS = 15
/** Of the first ones, while programs get warm, nothing is kept. */
const WARM = 5 * PER_SECOND
const EVERY_MS = 5

export const latency: Special = {
  name: 'latency',
  about: `produce to committed read through \`pass\`, ${PER_SECOND.toLocaleString('en')} records/s offered`,
  run: (transport, options) =>
    byTurns(transport, options, { name: 'latency', unit: 'ms', workload: 'pass' }, async (side, guarantee, prefix) => {
      const job = await endless(transport, options, { workload: 'pass', guarantee, prefix })
      return withSide(side, job, async ({ began }) => {
        await began
        return offer(transport, job.input, job.output)
      })
    })
}

async function offer(transport: Transport, input: string, output: string): Promise<Figures> {
  const total = PER_SECOND * SECONDS
  const sent = new Float64Array(total)
  const took = new Float64Array(total).fill(-1)
  let read = 0
  let all: () => void
  const done = new Promise<void>((resolve) => {
    all = resolve
  })
  const reader = transport.reader({
    isolation: 'committed',
    lane: 'source',
    onError: (error) => {
      throw error
    }
  })
  for (let partition = 0; partition < PARTITIONS; partition++) {
    reader.add({ topic: output, partition }, 0, ({ records }) => {
      const now = stopwatch()
      for (let i = 0; i < records.count; i++) {
        const n = records.value(i)!.readUInt32BE(0)
        if (took[n]! >= 0) throw new Error(`WRONG RESULT: ${output}: record ${n} came twice`)
        took[n] = now - sent[n]!
        if (++read === total) all()
      }
    })
  }
  const producer = await transport.producer({ lane: 1 })
  const began = stopwatch()
  for (let n = 0; n < total; ) {
    const due = Math.min(total, Math.floor(((stopwatch() - began) / 1_000) * PER_SECOND))
    for (; n < due; n++) {
      const key = keyOf(scattered(n, 10_000))
      const value = Buffer.alloc(100, 'x')
      value.writeUInt32BE(n)
      sent[n] = stopwatch()
      const writer = producer.writer(input, partitionFor(key, 0, key.length, PARTITIONS))
      writer.append(Date.now(), key, 0, key.length, value, 0, value.length, [])
    }
    producer.kick()
    await delay(systemClock, EVERY_MS)
  }
  await done
  await reader.close()
  await producer.close()
  const sorted = took.slice(WARM).sort()
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
  return { p50: at(0.5), p99: at(0.99), 'p99.9': at(0.999) }
}
