/**
 * Question: how many machine transitions a second, end to end on the embedded log (read, decode, transition, state with changelog, timers, output,
 * commit), against XState's own actor per key, which keeps everything in memory and survives nothing?
 *
 *   npm run bench -- transitions [--records 1000000] [--keys 10000] [--pairs 3] [--timers off]
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createActor } from 'xstate'
import { createRuntime, embeddedTransport, json, machineBehaviour, topic } from '../actors/index.ts'
import { partitionFor } from '../lib/kafka/partitioner.ts'
import type { Transport } from '../lib/kafka/port.ts'
import { NO_HEADERS, type Tp } from '../lib/record.ts'
import { delay, stopwatch, systemClock } from '../lib/time.ts'
import { machine as host } from './harness/report.ts'
import { eventAt, type Invoice, type OrderEvent, orderMachine } from './workloads/order.ts'

const TARGET = 100_000
const PARTITIONS = 4
const HELP = `npm run bench -- transitions [options]
  --records N   transitions (default 1000000)
  --keys N      machines (default 10000)
  --pairs N     runs of each side, alternately (default 3)
  --timers off  without the timer of each round (default on)`

interface Options {
  readonly records: number
  readonly keys: number
  readonly timers: boolean
}

interface Side {
  readonly seconds: number
  readonly cpuSeconds: number
  /** Records out, and the sum of what they say: equal on both sides. */
  readonly out: number
  readonly sum: number
}

/** All transitions by an actor for each key, in memory; events are objects already. Timers cost it nothing but the call. */
function actors(options: Options): Side {
  const machine = orderMachine(options.timers)
  let [out, sum, timer] = [0, 0, 0]
  const clock = { setTimeout: () => ++timer, clearTimeout() {} }
  const all = Array.from({ length: options.keys }, () => {
    const actor = createActor(machine, { clock: clock as never }).start()
    actor.on('invoice', ({ paid }) => {
      out++
      sum += paid
    })
    return actor
  })
  const events = Array.from({ length: options.records }, (_, n) => eventAt(n, options.keys))
  const measured = measure()
  for (let n = 0; n < options.records; n++) all[n % options.keys]!.send(events[n]!)
  return { ...measured(), out, sum }
}

/** The same through a job on the embedded log, at-least-once: from the start of the job to its last commit. */
async function behaviour(options: Options): Promise<Side> {
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
  const transport = embeddedTransport()
  try {
    const topics = ['events', 'invoices']
    await transport.admin.create(
      topics.map((name) => ({ topic: name, partitions: PARTITIONS, replication: 1, config: { 'retention.ms': '-1' } }))
    )
    await fill(transport, options)
    const orders = machineBehaviour(orderMachine(options.timers), {
      input: { events: topic('events', json<OrderEvent>()) },
      output: { invoice: topic('invoices', json<Invoice>()) }
    })
    const runtime = createRuntime({ id: 'bench', topology: orders, transport, stateDir })
    const measured = measure()
    const app = await runtime.run({ signals: false })
    const inputs = partitionsOf('events')
    const ends = await transport.offsets(inputs, 'lso')
    for (;;) {
      const committed = await transport.committed('bench', inputs)
      if ([...ends].every(([tp, end]) => (committed.get(tp)?.offset ?? 0) >= end)) break
      await delay(systemClock, 10)
    }
    const figures = measured()
    await app.drain()
    return { ...figures, ...(await counted(transport)) }
  } finally {
    await transport.close()
    await rm(stateDir, { recursive: true, force: true })
  }
}

const partitionsOf = (name: string): Tp[] =>
  Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: name, partition }))

async function fill(transport: Transport, options: Options): Promise<void> {
  const producer = await transport.producer({ lane: 0 })
  const keys = Array.from({ length: options.keys }, (_, i) => Buffer.from(`order-${i}`))
  const writers = keys.map((key) => producer.writer('events', partitionFor(key, 0, key.length, PARTITIONS)))
  for (let n = 0; n < options.records; n++) {
    const key = keys[n % options.keys]!
    const value = Buffer.from(JSON.stringify(eventAt(n, options.keys)))
    writers[n % options.keys]!.append(1_000_000 + n, key, 0, key.length, value, 0, value.length, NO_HEADERS)
    if (n % 10_000 === 0) await producer.room(8 << 20)
  }
  await producer.flush()
  await producer.close()
}

async function counted(transport: Transport): Promise<{ out: number; sum: number }> {
  let [out, sum, left] = [0, 0, PARTITIONS]
  const ends = await transport.offsets(partitionsOf('invoices'), 'lso')
  await new Promise<void>((resolve, reject) => {
    const reader = transport.reader({ isolation: 'committed', lane: 'source', onError: reject })
    for (const tp of partitionsOf('invoices')) {
      reader.add(tp, 0, ({ records, next }) => {
        for (let i = 0; i < records.count; i++) sum += (JSON.parse(records.value(i)!.toString()) as Invoice).paid
        out += records.count
        if (next >= ends.get(`${tp.topic}-${tp.partition}`)! && --left === 0) void reader.close().then(resolve)
      })
    }
  })
  return { out, sum }
}

function measure(): () => { seconds: number; cpuSeconds: number } {
  const began = stopwatch()
  const before = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return { seconds: (stopwatch() - began) / 1_000, cpuSeconds: (user + system) / 1e6 }
  }
}

// Each side runs in a process of its own, one after the other.

if (process.argv[2]?.startsWith('{')) {
  const { side, ...options } = JSON.parse(process.argv[2]) as Options & { side: string }
  console.log(JSON.stringify(side === 'actors' ? actors(options) : await behaviour(options)))
} else pairs()

function wanted(): Options & { pairs: number } {
  try {
    const { values } = parseArgs({
      allowPositionals: true,
      options: {
        records: { type: 'string', default: '1000000' },
        keys: { type: 'string', default: '10000' },
        pairs: { type: 'string', default: '3' },
        timers: { type: 'string', default: 'on' },
        help: { type: 'boolean', short: 'h' }
      }
    })
    if (values.help) {
      console.log(HELP)
      process.exit(0)
    }
    if (!['on', 'off'].includes(values.timers)) throw new Error(`--timers is on or off, not "${values.timers}".`)
    const [records, keys, pairs] = (['records', 'keys', 'pairs'] as const).map((name) => {
      const value = Number(values[name])
      if (!Number.isInteger(value) || value < 1)
        throw new Error(`--${name} takes a whole number, not "${values[name]}".`)
      return value
    }) as [number, number, number]
    return { records, keys, pairs, timers: values.timers === 'on' }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`)
    process.exit(2)
  }
}

function pairs(): void {
  const { pairs, ...options } = wanted()
  console.log(
    `${host()}\nmachine: ${options.records.toLocaleString('en')} transitions of ${options.keys.toLocaleString('en')} keys, timers ${options.timers ? 'on' : 'off'}`
  )
  const ratios: number[] = []
  const rates: number[] = []
  for (let pair = 0; pair < pairs; pair++) {
    const [theirs, ours] = [run('actors', options), run('behaviour', options)]
    if (theirs.out !== ours.out || theirs.sum !== ours.sum || ours.out === 0) {
      throw new Error(`The sides differ: ${ours.out} records of ${ours.sum}, against ${theirs.out} of ${theirs.sum}.`)
    }
    ratios.push(theirs.cpuSeconds / ours.cpuSeconds)
    rates.push(options.records / ours.cpuSeconds)
  }
  const [rate, ratio] = [median(rates), median(ratios)]
  console.log(
    `${whole(rate)} transitions per second of one core (target ≥ ${whole(TARGET)}: ${rate >= TARGET ? 'met' : 'MISSED'}), ` +
      `${ratio.toFixed(2)} times an actor per key (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`
  )
  if (rate < TARGET) process.exitCode = 1
}

function run(side: string, options: Options): Side {
  const flags = process.env.MILLRACE_BENCH_NODE?.split(' ') ?? []
  const self = fileURLToPath(import.meta.url)
  const args = [...flags, '--import', 'tsx', self, JSON.stringify({ ...options, side })]
  const env = { ...process.env, NODE_ENV: 'production' }
  const { stdout, status } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  if (status !== 0) throw new Error(`${side} ended with status ${status}`)
  const result = JSON.parse(stdout) as Side
  const { seconds, cpuSeconds } = result
  console.log(
    `  ${side.padEnd(10)} ${whole(options.records / seconds).padStart(9)} transitions/s  ${((cpuSeconds / options.records) * 1e6).toFixed(2)} µs of CPU each`
  )
  return result
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en')
}
