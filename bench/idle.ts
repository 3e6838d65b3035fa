/**
 * Questions: what do idle tasks cost, and how long does a process with several tasks take from its start to its first output?
 *
 *   node --import tsx bench/idle.ts [tasks=64] [seconds=20] [brokers]
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createRuntime } from '../actors/index.ts'
import { topic, topology } from '../lib/dsl/index.ts'
import { kafkaTransport } from '../lib/kafka/kafkajs.ts'
import { partitionFor } from '../lib/kafka/partitioner.ts'
import { bytes, long, string } from '../lib/serde/index.ts'
import type { Guarantee } from '../lib/task/port.ts'
import { startKafka } from '../lib/testing/kafka.ts'
import { delay, stopwatch, systemClock } from '../lib/time.ts'
import { createTopic } from './harness/topics.ts'
import { keyOf, order, START } from './workloads/data.ts'

interface Job {
  brokers: string[]
  name: string
  guarantee: Guarantee
  stateDir: string
  tasks: number
  seconds: number
}

const self = fileURLToPath(import.meta.url)
if (process.argv[2]?.startsWith('{')) await job(JSON.parse(process.argv[2]) as Job)
else await measure(Number(process.argv[2] ?? 64), Number(process.argv[3] ?? 20), process.argv[4])

/** A count with a store a task, so that everything a task can have is there. */
async function job({ brokers, name, guarantee, stateDir, tasks, seconds }: Job): Promise<void> {
  const t = topology()
  t.stream(topic(`${name}-in`, { key: string(), value: bytes() }))
    .groupByKey()
    .count({ name: 'counts' })
    .toStream()
    .to(topic(`${name}-out`, { key: string(), value: long() }))
  const runtime = createRuntime({ id: name, topology: t, kafka: { brokers }, stateDir, guarantee })
  const app = await runtime.run()
  if (seconds === 0) {
    await app.stopped
    return
  }
  while (Object.values(app.tasks).filter((task) => task.state === 'running').length < tasks)
    await delay(systemClock, 100)
  await delay(systemClock, 3_000) // the records of the start are committed
  const before = process.cpuUsage()
  await delay(systemClock, seconds * 1_000)
  const { user, system } = process.cpuUsage(before)
  const percent = (user + system) / 1e4 / seconds
  const memory = Math.round(process.memoryUsage().rss / 1_048_576)
  console.log(`${tasks} idle tasks, ${guarantee}: ${percent.toFixed(2)} % of one CPU, ${memory} MiB`)
  await app.drain()
}

async function measure(tasks: number, seconds: number, given: string | undefined): Promise<void> {
  const own = given ? undefined : await startKafka({ jvm: 'steady' })
  const brokers = given?.split(',') ?? own!.brokers
  const transport = kafkaTransport({ brokers })
  try {
    for (const guarantee of ['at-least-once', 'exactly-once'] as const) {
      await withJob(tasks, seconds, guarantee, async (child) => {
        createInterface(child.stdout!).on('line', (line) => console.log(line))
        await new Promise((resolve) => child.once('exit', resolve))
      })
      await withJob(12, 0, guarantee, async (child, name, spawned) => {
        const tps = Array.from({ length: 12 }, (_, partition) => ({ topic: `${name}-out`, partition }))
        for (;;) {
          const ends = await transport.offsets(tps, 'lso')
          if ([...ends.values()].some((end) => end > 0)) break
          await delay(systemClock, 5)
        }
        console.log(
          `12 tasks, ${guarantee}: ${Math.round(stopwatch() - spawned)} ms from the process's start to its first output`
        )
        const exit = new Promise((resolve) => child.once('exit', resolve))
        child.kill('SIGTERM')
        await exit
      })
    }
  } finally {
    await transport.close()
    await own?.stop()
  }

  async function fill(name: string, partitions: number): Promise<void> {
    const producer = await transport.producer({ lane: 0 })
    for (let i = 0; i < 10_000; i++) {
      const [key, value] = [keyOf(i % 1_000), order(i, 1)]
      const partition = partitionFor(key, 0, key.length, partitions)
      producer.writer(name, partition).append(START + i, key, 0, key.length, value, 0, value.length, [])
    }
    await producer.flush()
    await producer.close()
  }

  async function withJob(
    count: number,
    idleSeconds: number,
    guarantee: Guarantee,
    watch: (child: ReturnType<typeof spawn>, name: string, spawned: number) => Promise<void>
  ): Promise<void> {
    const name = `bench-idle-${Date.now().toString(36)}`
    const stateDir = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
    try {
      for (const end of ['in', 'out']) await createTopic(transport, `${name}-${end}`, count)
      await fill(`${name}-in`, count)
      const work: Job = { brokers, name, guarantee, stateDir, tasks: count, seconds: idleSeconds }
      const spawned = stopwatch()
      const flags = process.env.MILLRACE_BENCH_NODE?.split(' ') ?? []
      const child = spawn(process.execPath, [...flags, '--import', 'tsx', self, JSON.stringify(work)], {
        stdio: ['ignore', 'pipe', 'inherit']
      })
      await watch(child, name, spawned)
    } finally {
      await rm(stateDir, { recursive: true, force: true })
      const ours = (await transport.admin.topics()).filter((other) => other.startsWith(name))
      await transport.admin.deleteTopics(ours)
    }
  }
}
