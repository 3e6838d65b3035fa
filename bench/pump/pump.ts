/**
 * Question: what does the pump cost per record, without a broker? Batches as the Reader gives them go through a whole task (queue, pump,
 * operators, outbox) into real record batches, which are thrown away; `raw` is the same loop without a task.
 *
 *   node --import tsx bench/pump/pump.ts [records]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { topic, topology } from '../../lib/dsl/index.ts'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Batch, Group, GroupMeta, PartitionWriter, Producer, Transport } from '../../lib/kafka/port.ts'
import { RecordBatchWriter } from '../../lib/kafka/protocol/recordBatchWriter.ts'
import { RecordSet } from '../../lib/record.ts'
import { json, string } from '../../lib/serde/index.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { TaskEnv } from '../../lib/task/port.ts'
import { createTask } from '../../lib/task/task.ts'
import { stopwatch, systemClock, systemRandom } from '../../lib/time.ts'

const RECORDS = Number(process.argv[2] ?? 1_000_000)
const ROWS = 7_000 // of 100 bytes and a key: about the megabyte that a fetch brings for a partition
const KEYS = 10_000
const PARTITIONS = 4

const meta: GroupMeta = { groupId: 'bench', generation: 1, memberId: 'bench' }
const quiet = { debug() {}, info() {}, warn: console.warn, error: console.error }

/** A dozen batches are enough: they are only read. */
const sets = Array.from({ length: 12 }, (_, n) => recordSet(n))

function recordSet(n: number): RecordSet {
  const bytes = Buffer.alloc(ROWS * 120)
  const set = new RecordSet(bytes, ROWS)
  let at = 0
  for (let i = 0; i < ROWS; i++) {
    const id = n * ROWS + i
    set.offsets[i] = id
    set.timestamps[i] = 1_700_000_000_000 + id
    set.keyStart[i] = at
    at += bytes.write(String((id * 7919) % KEYS), at)
    set.keyEnd[i] = at
    set.valueStart[i] = at
    at += bytes.write(`{"id":${1_000_000_000 + id},"text":"${'x'.repeat(73)}"}`, at)
    set.valueEnd[i] = at
    set.headersAt[i] = -1
  }
  set.count = ROWS
  return set
}

/** Encodes as the producer does, and forgets full batches. */
function discardingProducer(): Producer {
  const writers = new Map<string, PartitionWriter>()
  let appended = 0
  return {
    pendingBytes: 0,
    writer(name, partition) {
      const key = `${name}-${partition}`
      let writer = writers.get(key)
      if (writer === undefined) {
        const batch = new RecordBatchWriter(1_000_000)
        writer = {
          topic: name,
          partition,
          get ackedNext() {
            return appended
          },
          append(timestamp, k, ks, ke, v, vs, ve, headers) {
            appended++
            if (batch.append(timestamp, k, ks, ke, v, vs, ve, headers) > 0) return
            batch.reset()
            batch.append(timestamp, k, ks, ke, v, vs, ve, headers)
          }
        }
        writers.set(key, writer)
      }
      return writer
    },
    kick() {},
    room: async () => {},
    flush: async () => {},
    seal: async () => {},
    unseal() {},
    close: async () => {}
  }
}

function raw(): number {
  const producer = discardingProducer()
  const writers = Array.from({ length: PARTITIONS }, (_, partition) => producer.writer('out', partition))
  const began = stopwatch()
  for (let done = 0, n = 0; done < RECORDS; done += ROWS, n++) {
    const { bytes, timestamps, keyStart, keyEnd, valueStart, valueEnd, count } = sets[n % sets.length]!
    for (let i = 0; i < count; i++) {
      const partition = partitionFor(bytes, keyStart[i]!, keyEnd[i]!, PARTITIONS)
      writers[partition]!.append(
        timestamps[i]!,
        bytes,
        keyStart[i]!,
        keyEnd[i]!,
        bytes,
        valueStart[i]!,
        valueEnd[i]!,
        []
      )
    }
  }
  return stopwatch() - began
}

const events = topic('in', { key: string(), value: json<{ id: number; text: string }>() })
const jobs = {
  pass: () => {
    const t = topology()
    t.stream(events).to({ ...events, name: 'out' })
    return t
  },
  filter: () => {
    const t = topology()
    t.stream(events)
      .filter((record) => record.key !== '17')
      .to({ ...events, name: 'out' })
    return t
  },
  json: () => {
    const t = topology()
    t.stream(events)
      .mapValues((value) => ({ id: value.id + 1, text: value.text }))
      .to({ ...events, name: 'out' })
    return t
  },
  count: () => {
    const t = topology()
    t.stream(events).groupByKey().count({ name: 'counts' }).toStream().to(topic('out', json<number>()))
    return t
  }
}

async function run(name: keyof typeof jobs): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const [subtopology] = jobs[name]().build('bench').subtopologies
  let seen = 0
  let done = (): void => {}
  const finished = new Promise<void>((resolve) => {
    done = resolve
  })
  let paused = false
  let pump = (): void => {}
  const transport = {
    producer: async () => discardingProducer(),
    committed: async () => new Map(),
    offsets: async () =>
      new Map([
        ['in-0', 0],
        ['bench-counts-changelog-0', 0]
      ])
  } as unknown as Transport
  const env: TaskEnv = {
    applicationId: 'bench',
    guarantee: 'at-least-once',
    transport,
    readers: {
      restore: { add() {}, pause() {}, resume() {}, remove() {}, close: async () => {} },
      source: {
        add(tp, _offset, sink) {
          let sent = 0
          let n = 0
          // As the Reader: answers come in turns of the event loop, until the queue says stop.
          pump = () => {
            if (paused || sent >= RECORDS) return
            const records = sets[n++ % sets.length]!
            sent += ROWS
            const batch: Batch = { ...tp, records, next: sent, lso: RECORDS, hw: RECORDS, bytes: records.bytes.length }
            sink(batch)
            setImmediate(pump)
          }
          pump()
        },
        pause: () => {
          paused = true
        },
        resume: () => {
          paused = false
          setImmediate(pump)
        },
        remove() {},
        close: async () => {}
      }
    },
    group: () => ({ commit: async () => {} }) as unknown as Group,
    partitionCount: () => PARTITIONS,
    driver: databaseDriver('rocksdb-native'),
    stateDirectory: directory,
    clock: systemClock,
    random: systemRandom,
    logger: quiet,
    commitIntervalMs: 100,
    transactionTimeoutMs: 60_000,
    maxTaskIdleMs: 0,
    queueBytes: 16 << 20,
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
  const task = createTask(
    { id: '0_0', subtopology: subtopology!, partition: 0, sources: [{ topic: 'in', partition: 0 }] },
    env
  )
  const signal = new AbortController().signal
  await task.open(signal)
  await task.restore(signal)
  const began = stopwatch()
  const running = task.run(meta, signal)
  await Promise.race([finished, running])
  const ms = stopwatch() - began
  task.drain()
  await running
  await task.close({ clean: true })
  rmSync(directory, { recursive: true, force: true })
  return ms
}

const rate = (ms: number): string =>
  Math.round((RECORDS / ms) * 1_000)
    .toLocaleString('en')
    .padStart(10)

raw()
console.log(`raw     ${rate(raw())} records/s`)
const wanted = (process.argv[3]?.split(',') ?? Object.keys(jobs)) as (keyof typeof jobs)[]
for (const name of wanted) {
  await run(name)
  console.log(`${name.padEnd(7)} ${rate(await run(name))} records/s`)
}
