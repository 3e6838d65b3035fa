/**
 * Question: how fast is a whole job on a real Kafka in one process: four tasks, every output and changelog record acknowledged, commits
 * every 100 ms? `raw` is Reader and Producer without the engine, in the same process and run.
 *
 *   node --import tsx bench/pump/kafka.ts HOST:PORT [records] [jobs]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { changelogConfig, changelogTopic } from '../../lib/changelog/topics.ts'
import { topic, topology } from '../../lib/dsl/index.ts'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Batch, Group, Offset } from '../../lib/kafka/port.ts'
import { tpKey } from '../../lib/record.ts'
import { json } from '../../lib/serde/index.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { Guarantee, TaskEnv } from '../../lib/task/port.ts'
import { routedReader } from '../../lib/task/readerRouter.ts'
import { createTask } from '../../lib/task/task.ts'
import { stopwatch, systemClock, systemRandom } from '../../lib/time.ts'

const brokers = [process.argv[2] ?? '127.0.0.1:9092']
const RECORDS = Number(process.argv[3] ?? 1_000_000)
const PARTITIONS = 4
const KEYS = 10_000
const transport = kafkaTransport({ brokers })
const run = `bench-pump-${systemClock.now().toString(36)}`
const input = `${run}-in`
const made: string[] = []
const quiet = { debug() {}, info() {}, warn: console.warn, error: console.error }

async function create(name: string, config: Record<string, string> = { 'retention.ms': '-1' }): Promise<void> {
  made.push(name)
  await transport.admin.create([{ topic: name, partitions: PARTITIONS, replication: -1, config }])
}

async function fill(): Promise<void> {
  const producer = await transport.producer({ lane: 0 })
  const start = Date.UTC(2024, 0)
  for (let i = 0; i < RECORDS; i++) {
    const key = Buffer.from(String(i % KEYS))
    const value = Buffer.from(`{"id":${1_000_000_000 + i},"text":"${'x'.repeat(73)}"}`)
    producer.writer(input, i % PARTITIONS).append(start + i, key, 0, key.length, value, 0, value.length, [])
    if (i % 1_000 === 0) await producer.room(16_000_000)
  }
  await producer.flush()
  await producer.close()
}

/** Reader, queue, Producer: what is left when the engine is taken away. */
async function raw(output: string): Promise<number> {
  const producer = await transport.producer({ lane: 0 })
  const queue: Batch[] = []
  let wake = (): void => {}
  const reader = transport.reader({
    isolation: 'committed',
    lane: 'source',
    onError: (error) => {
      throw error
    }
  })
  const began = stopwatch()
  for (let partition = 0; partition < PARTITIONS; partition++) {
    reader.add({ topic: input, partition }, 0, (batch) => {
      queue.push(batch)
      wake()
    })
  }
  for (let done = 0; done < RECORDS; ) {
    const batch = queue.shift()
    if (batch === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
      continue
    }
    const writer = producer.writer(output, batch.partition)
    const { bytes, timestamps, keyStart, keyEnd, valueStart, valueEnd, count } = batch.records
    for (let i = 0; i < count; i++) {
      writer.append(timestamps[i]!, bytes, keyStart[i]!, keyEnd[i]!, bytes, valueStart[i]!, valueEnd[i]!, [])
    }
    done += count
    await producer.room(8 << 20)
  }
  await producer.flush()
  const ms = stopwatch() - began
  await reader.close()
  await producer.close()
  return ms
}

const events = topic(input, json<{ id: number; text: string }>())
const jobs = {
  pass: (output: string) => {
    const t = topology()
    t.stream(events).to({ ...events, name: output })
    return t
  },
  json: (output: string) => {
    const t = topology()
    t.stream(events)
      .mapValues((value) => ({ id: value.id + 1, text: value.text }))
      .to({ ...events, name: output })
    return t
  },
  count: (output: string) => {
    const t = topology()
    t.stream(events).groupByKey().count({ name: 'counts' }).toStream().to(topic(output, json<number>()))
    return t
  }
}

async function engine(name: keyof typeof jobs, guarantee: Guarantee): Promise<number> {
  const application = `${run}-${name}-${guarantee}`
  const output = `${application}-out`
  await create(output)
  if (name === 'count') await create(changelogTopic(application, 'counts'), changelogConfig({}))
  const directory = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const [subtopology] = jobs[name](output).build(application).subtopologies
  const fail = (error: unknown): void => {
    throw error
  }
  const source = routedReader(transport, { isolation: 'committed', lane: 'source' }, fail)
  const restore = routedReader(transport, { isolation: 'committed', lane: 'restore' }, fail)
  let seen = 0
  let done = (): void => {}
  const finished = new Promise<void>((resolve) => {
    done = resolve
  })
  const env: TaskEnv = {
    applicationId: application,
    guarantee,
    transport,
    readers: { source, restore },
    group: () =>
      ({ commit: (_: unknown, o: Offset[]) => transport.admin.resetOffsets(application, o) }) as unknown as Group,
    partitionCount: () => PARTITIONS,
    driver: databaseDriver('rocksdb-native'),
    stateDirectory: directory,
    clock: systemClock,
    random: systemRandom,
    logger: quiet,
    commitIntervalMs: 100,
    transactionTimeoutMs: 60_000,
    maxTaskIdleMs: 0,
    queueBytes: 8 << 20,
    outboxBytes: 8 << 20,
    cache: { limit: 64 << 20, used: 0 },
    events: {
      dropped() {},
      restored() {},
      committed(_task, _offsets, records) {
        seen += records
        if (seen >= RECORDS) done()
      }
    }
  }
  const signal = new AbortController().signal
  const tasks = Array.from({ length: PARTITIONS }, (_, partition) =>
    createTask(
      { id: `0_${partition}`, subtopology: subtopology!, partition, sources: [{ topic: input, partition }] },
      env
    )
  )
  await Promise.all(tasks.map(async (task) => task.open(signal).then(() => task.restore(signal))))
  const began = stopwatch()
  const running = Promise.all(
    tasks.map((task) => task.run({ groupId: application, generation: -1, memberId: '' }, signal))
  )
  await Promise.race([finished, running])
  const ms = stopwatch() - began
  for (const task of tasks) task.drain()
  await running
  for (const task of tasks) await task.close({ clean: true })
  await source.close()
  await restore.close()
  rmSync(directory, { recursive: true, force: true })
  if (name !== 'count') await check(output)
  return ms
}

async function check(output: string): Promise<void> {
  const tps = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: output, partition }))
  const ends = await transport.offsets(tps, 'lso')
  let written = 0
  for (const tp of tps) written += ends.get(tpKey(tp.topic, tp.partition)) ?? 0
  // Exactly-once adds markers.
  if (written < RECORDS) throw new Error(`${output} holds ${written} of ${RECORDS} records`)
}

const rate = (ms: number): string =>
  Math.round((RECORDS / ms) * 1_000)
    .toLocaleString('en')
    .padStart(10)

try {
  await create(input)
  await fill()
  const output = `${run}-raw`
  await create(output)
  await raw(output)
  console.log(`raw                  ${rate(await raw(output))} records/s`)
  const wanted = (process.argv[4]?.split(',') ?? Object.keys(jobs)) as (keyof typeof jobs)[]
  for (const name of wanted) {
    for (const guarantee of ['at-least-once', 'exactly-once'] as const) {
      console.log(`${name.padEnd(6)} ${guarantee.padEnd(13)} ${rate(await engine(name, guarantee))} records/s`)
    }
  }
} finally {
  await transport.admin.deleteTopics(made)
  await transport.close()
}
