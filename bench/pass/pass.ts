/** Question: how fast is a read-and-write loop, every output acknowledged by all replicas, against the same loop on stock kafkajs? */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import type { BenchOptions } from '../main.ts'
import type { Job, Outcome } from './job.ts'

const PARTITIONS = 4
const TARGET = 5

/** A side is a program that does one `Job` and prints one `Outcome`; the engine's own job becomes a third one. */
const SIDES = { millrace: 'millrace.ts', kafkajs: 'stock.ts' } as const

export async function pass({ brokers, records, pairs }: BenchOptions): Promise<boolean> {
  console.log(
    `pass: ${records.toLocaleString('en')} values of 100 bytes, ${PARTITIONS} partitions → ${PARTITIONS} partitions, acks=all`
  )
  const transport = kafkaTransport({ brokers })
  const run = `bench-pass-${Date.now().toString(36)}`
  const input = `${run}-in`
  const topics = [input]
  const rates: Record<keyof typeof SIDES, number[]> = { millrace: [], kafkajs: [] }
  try {
    await createTopic(transport, input)
    await fill(transport, input, records)
    for (let pair = 0; pair < pairs; pair++) {
      // Alternately, and each in a process of its own: what the machine does besides hits both.
      for (const side of Object.keys(SIDES) as (keyof typeof SIDES)[]) {
        const output = `${run}-${side}-${pair}`
        topics.push(output)
        await createTopic(transport, output)
        const { ms } = await runSide(SIDES[side], { brokers, input, output, records, partitions: PARTITIONS })
        const written = await count(transport, output)
        if (written !== records) throw new Error(`${side} wrote ${written} of ${records} records`)
        rates[side].push((records / ms) * 1_000)
        console.log(`  ${side.padEnd(9)} ${format(rates[side].at(-1)!)} records/s`)
      }
    }
  } finally {
    await transport.admin.deleteTopics(topics)
    await transport.close()
  }
  return report(rates)
}

function report(rates: Record<keyof typeof SIDES, number[]>): boolean {
  const [ours, theirs] = [median(rates.millrace), median(rates.kafkajs)]
  const ratio = ours / theirs
  console.log(
    `\n  median    millrace ${format(ours)}/s   kafkajs ${format(theirs)}/s   ratio ${ratio.toFixed(1)} (target ≥ ${TARGET})`
  )
  return ratio >= TARGET
}

async function createTopic(transport: Transport, topic: string): Promise<void> {
  await transport.admin.create([{ topic, partitions: PARTITIONS, replication: -1, config: { 'retention.ms': '-1' } }])
}

async function fill(transport: Transport, topic: string, records: number): Promise<void> {
  const producer = await transport.producer({ lane: 0 })
  const start = Date.UTC(2024, 0)
  for (let i = 0; i < records; i++) {
    const value = Buffer.from(`{"id":${String(i).padStart(10, '0')},"text":"${'x'.repeat(73)}"}`)
    const key = Buffer.from(String(i % 10_000))
    producer.writer(topic, i % PARTITIONS).append(start + i, key, 0, key.length, value, 0, value.length, [])
    if (i % 1_000 === 0) await producer.room(16_000_000)
  }
  await producer.flush()
  await producer.close()
}

async function count(transport: Transport, topic: string): Promise<number> {
  const tps = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }))
  let sum = 0
  for (const end of (await transport.offsets(tps, 'lso')).values()) sum += end
  return sum
}

function runSide(file: string, job: Job): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const args = ['--import', 'tsx', fileURLToPath(new URL(file, import.meta.url)), JSON.stringify(job)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let outcome: Outcome | undefined
    createInterface(child.stdout).on('line', (line) => {
      if (line.startsWith('{')) outcome = JSON.parse(line) as Outcome
    })
    child.on('close', (code) => {
      if (code === 0 && outcome) resolve(outcome)
      else reject(new Error(`${file} ended with code ${code} and ${outcome ? 'an' : 'no'} outcome`))
    })
  })
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

const format = (rate: number): string => Math.round(rate).toLocaleString('en').padStart(9)
