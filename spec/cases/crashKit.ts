/** A small job whose every output can be counted, run as one task over any transport, and killed where a spec wants. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { changelogConfig, changelogTopic } from '../../lib/changelog/topics.ts'
import { type Topic, topic } from '../../lib/dsl/topic.ts'
import type { Group, GroupMeta, Transport } from '../../lib/kafka/port.ts'
import { tpKey } from '../../lib/record.ts'
import { json } from '../../lib/serde/index.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { KeyValueStore } from '../../lib/store/port.ts'
import type { Guarantee, TaskEnv, TaskPlan, TaskRun, TaskStep } from '../../lib/task/port.ts'
import { type RoutedReader, routedReader } from '../../lib/task/readerRouter.ts'
import { createTask } from '../../lib/task/task.ts'
import { until } from '../../lib/testing/until.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import type { BuiltTopology } from '../../lib/topology/built.ts'
import { silent } from '../task/fakes.ts'
import { type Kind, START } from './crashKinds.ts'

export const KEYS = ['a', 'b', 'c', 'd', 'e']
let jobs = 0

export interface Life {
  readonly task: TaskRun
  /** Of the store of counts: where its restore began and how many offsets it passed. */
  readonly restored: { from: number; end: number }[]
  /** Settles as `run`, after open and restore. */
  readonly done: Promise<void>
  readonly committed: () => number
  /** What the extractor was told first. */
  readonly partitionTimes: number[]
}

export type Probe = (step: TaskStep) => void | Promise<void>

/** Numbers in, the same numbers out, and a count of each key in a store; its kind says by what. */
export class Job {
  readonly id: string
  readonly guarantee: Guarantee
  readonly #kind: Kind
  readonly #transport: Transport
  readonly #directories: string[] = []
  readonly #readers: RoutedReader[] = []
  readonly #errors: unknown[] = []
  #group: Group | undefined
  #meta: GroupMeta | undefined
  #numbers = 0
  #sent = 0

  constructor(transport: Transport, guarantee: Guarantee, kind: Kind) {
    this.#transport = transport
    this.guarantee = guarantee
    this.#kind = kind
    this.id = `crash-${systemClock.now().toString(36)}-${process.pid}-${jobs++}`
  }

  /** Each life has its own, as processes have: a zombie must not take its successor's partition out of a shared reader. */
  #reader(lane: 'source' | 'restore'): RoutedReader {
    const options = { isolation: 'committed', lane, maxWaitMs: 100 } as const
    const reader = routedReader(this.#transport, options, (error) => this.#errors.push(error))
    this.#readers.push(reader)
    return reader
  }

  name(what: string): string {
    return `${this.id}-${what}`
  }

  get meta(): GroupMeta {
    return this.#meta!
  }

  /** Topics, and a member of the group that all lives of the task share, as restarts in one process do. */
  async open(): Promise<void> {
    const plain = { partitions: 1, replication: -1, config: {} }
    await this.#transport.admin.create([
      ...['in', 'out', 'totals'].map((what) => ({ topic: this.name(what), ...plain })),
      ...this.changelogs.map((topic) => ({ topic, ...plain, config: changelogConfig({}) }))
    ])
    this.#group = await this.#transport.group(
      { groupId: this.id, topics: [this.name('in')], sessionMs: 10_000, rebalanceMs: 10_000, heartbeatMs: 1_000 },
      {
        userData: () => Buffer.alloc(0),
        assign: (members) =>
          members.map(({ memberId }, i) => ({
            memberId,
            partitions: i === 0 ? [{ topic: this.name('in'), partition: 0 }] : [],
            userData: Buffer.alloc(0)
          })),
        onRebalance: async () => {},
        onRevoked: async () => {},
        onAssigned: async (_added, _all, _userData, meta) => {
          this.#meta = meta
        },
        onLost: async (_tps, cause) => void this.#errors.push(cause),
        onError: (error) => void this.#errors.push(error)
      }
    )
    await until(() => this.#meta, { what: 'the member has its assignment' })
  }

  async close(): Promise<void> {
    await this.#group?.leave()
    for (const reader of this.#readers) await reader.close()
    for (const directory of this.#directories) rmSync(directory, { recursive: true, force: true })
  }

  directory(): string {
    const directory = mkdtempSync(join(tmpdir(), 'millrace-crash-'))
    this.#directories.push(directory)
    return directory
  }

  /** The next `count` numbers, keys in turn. `last`: then a word of another key, of a time when all timers are due. */
  async send(count: number, last = false): Promise<void> {
    const producer = await this.#transport.producer({ lane: 0 })
    const writer = producer.writer(this.name('in'), 0)
    const append = (at: number, key: Buffer, value: Buffer): void => {
      writer.append(at, key, 0, key.length, value, 0, value.length, [])
      this.#sent++
    }
    for (let i = 0; i < count; i++, this.#numbers++) {
      const key = KEYS[this.#numbers % KEYS.length]!
      append(START + this.#numbers, Buffer.from(key), Buffer.from(String(this.#numbers)))
    }
    if (last && this.#kind.timers) append(START * 1_000, Buffer.from('last'), Buffer.from('-1'))
    await producer.flush()
    await producer.close()
  }

  #built(partitionTimes: number[] = []): BuiltTopology {
    const numbers = (what: string): Topic<string, number> =>
      topic(this.name(what), {
        value: json<number>(),
        timestamp: (record, partitionTime) => {
          if (partitionTimes.length === 0) partitionTimes.push(partitionTime)
          return record.timestamp
        }
      })
    return this.#kind.topology(numbers).build(this.id)
  }

  get changelogs(): string[] {
    return this.#built().internalTopics.changelogs.map(({ topic }) => topic)
  }

  #plan(partitionTimes: number[]): TaskPlan {
    const subtopology = this.#built(partitionTimes).subtopologies[0]!
    return { id: '0_0', subtopology, partition: 0, sources: [{ topic: this.name('in'), partition: 0 }] }
  }

  /** Opens, restores and runs a task on that directory. */
  start(directory: string, probe: Probe = () => {}, signal: AbortSignal = new AbortController().signal): Life {
    const restored: Life['restored'] = []
    const partitionTimes: number[] = []
    let committed = -1
    const env: TaskEnv = {
      applicationId: this.id,
      guarantee: this.guarantee,
      transport: this.#transport,
      readers: { source: this.#reader('source'), restore: this.#reader('restore') },
      group: () => this.#group,
      partitionCount: () => 1,
      driver: databaseDriver('rocksdb-native'),
      stateDirectory: directory,
      clock: systemClock,
      random: systemRandom,
      logger: silent,
      commitIntervalMs: 20,
      transactionTimeoutMs: 30_000,
      maxTaskIdleMs: 0,
      queueBytes: 1 << 20,
      outboxBytes: 1 << 20,
      cache: { limit: 1 << 20, used: 0 },
      probe: (_task, step) => probe(step),
      events: {
        dropped() {},
        restored: (_task, { store, from, end }) => {
          if (store === this.#kind.store) restored.push({ from, end })
        },
        committed: (_task, offsets) => {
          committed = offsets.get(tpKey(this.name('in'), 0)) ?? -1
        }
      }
    }
    const task = createTask(this.#plan(partitionTimes), env)
    const done = (async () => {
      await task.open(signal)
      await task.restore(signal)
      await task.run(this.meta, signal)
    })()
    done.catch(() => {})
    return { task, restored, done, committed: () => committed, partitionTimes }
  }

  /** Waits until everything sent is committed, then drains and closes. @returns the store's counts by key */
  async finish(life: Life): Promise<Record<string, number>> {
    let failure: unknown
    life.done.catch((error) => {
      failure = error
    })
    await until(() => failure !== undefined || life.committed() >= this.#sent, {
      what: () => `offset ${this.#sent} is committed (now ${life.committed()})`,
      timeoutMs: 20_000
    })
    if (failure !== undefined) throw failure
    const counts = await life.task.inspect(async (store) => {
      const found: Record<string, number> = {}
      const rows = store(this.#kind.store) as KeyValueStore<string, never>
      for await (const [key, row] of rows.all()) found[key] = this.#kind.count(row)
      return found
    })
    life.task.drain()
    await life.done
    await life.task.close({ clean: true })
    if (this.#errors.length > 0) throw this.#errors[0]
    return counts
  }

  /** Committed values of a topic, in order. */
  async values(what: string): Promise<[key: string, value: number][]> {
    const tp = { topic: this.name(what), partition: 0 }
    const end = (await this.#transport.offsets([tp], 'lso')).get(tpKey(tp.topic, 0))!
    const seen: [string, number][] = []
    let next = 0
    const reader = this.#transport.reader({
      isolation: 'committed',
      lane: 'restore',
      maxWaitMs: 50,
      onError: (error) => this.#errors.push(error)
    })
    reader.add(tp, 0, (batch) => {
      for (let i = 0; i < batch.records.count; i++) {
        seen.push([batch.records.key(i)!.toString(), Number(batch.records.value(i))])
      }
      next = batch.next
    })
    await until(() => next >= end || this.#errors.length > 0, {
      what: () => `${tp.topic} is read from ${next} to ${end}`
    })
    await reader.close()
    if (this.#errors.length > 0) throw this.#errors[0]
    return seen
  }

  /** The changelog's end for committed readers. */
  async changelogEnd(): Promise<number> {
    const tp = { topic: changelogTopic(this.id, this.#kind.store), partition: 0 }
    return (await this.#transport.offsets([tp], 'lso')).get(tpKey(tp.topic, 0))!
  }
}
