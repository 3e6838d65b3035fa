/** What end-to-end specs need beside a runtime: topics, input, and a committed reader that sees each output once. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime, type MillraceOptions, type Runtime } from '../../actors/index.ts'
import { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Reader, Transport } from '../../lib/kafka/port.ts'
import { NO_HEADERS, tpKey } from '../../lib/record.ts'
import { until } from '../../lib/testing/until.ts'

export async function createTopics(transport: Transport, topics: Record<string, number>): Promise<void> {
  await transport.admin.create(
    Object.entries(topics).map(([topic, partitions]) => ({ topic, partitions, replication: -1, config: {} }))
  )
}

/** By the default partitioner, with the index as event time; resolves when acknowledged. */
export async function publish(
  transport: Transport,
  topic: string,
  entries: Iterable<readonly [key: string, value: string]>,
  from = 0
): Promise<void> {
  const partitions = (await transport.admin.partitions([topic])).get(topic)!
  const producer = await transport.producer({ lane: 9 })
  let at = from
  for (const [key, value] of entries) {
    const k = Buffer.from(key)
    const v = Buffer.from(value)
    const writer = producer.writer(topic, partitionFor(k, 0, k.length, partitions))
    writer.append(at++, k, 0, k.length, v, 0, v.length, NO_HEADERS)
  }
  await producer.flush()
  await producer.close()
}

export interface Seen {
  readonly partition: number
  readonly offset: number
  readonly key: string
  readonly value: string
  readonly timestamp: number
  /** The last of each name. */
  readonly headers: Readonly<Record<string, string>>
  /** When it was delivered to us, ms. */
  readonly at: number
}

/** Reads a topic from its start, committed only, until closed. */
export class Watcher {
  readonly seen: Seen[] = []
  readonly #transport: Transport
  readonly #topic: string
  #reader: Reader | undefined
  #next = new Map<string, number>()

  constructor(transport: Transport, topic: string) {
    this.#transport = transport
    this.#topic = topic
  }

  async start(now: () => number = Date.now): Promise<this> {
    const count = (await this.#transport.admin.partitions([this.#topic])).get(this.#topic)!
    this.#reader = this.#transport.reader({
      isolation: 'committed',
      lane: 'source',
      maxWaitMs: 50,
      onError: (error) => {
        throw error
      }
    })
    for (let partition = 0; partition < count; partition++) {
      this.#reader.add({ topic: this.#topic, partition }, 0, ({ records, next }) => {
        for (let i = 0; i < records.count; i++) {
          this.seen.push({
            partition,
            offset: records.offsets[i]!,
            key: records.key(i)?.toString() ?? '',
            value: records.value(i)?.toString() ?? '',
            timestamp: records.timestamps[i]!,
            headers: Object.fromEntries(records.headers(i).map(([name, bytes]) => [name, bytes?.toString() ?? ''])),
            at: now()
          })
        }
        this.#next.set(tpKey(this.#topic, partition), next)
      })
    }
    return this
  }

  /** Everything that is committed now has been seen. */
  async toEnd(): Promise<void> {
    const count = (await this.#transport.admin.partitions([this.#topic])).get(this.#topic)!
    const tps = Array.from({ length: count }, (_, partition) => ({ topic: this.#topic, partition }))
    const ends = await this.#transport.offsets(tps, 'lso')
    await until(() => [...ends].every(([tp, end]) => (this.#next.get(tp) ?? 0) >= end), {
      what: `all of ${this.#topic} is read`
    })
  }

  /** Highest value per key, as numbers: what running totals end with. */
  latest(): Record<string, number> {
    const result: Record<string, number> = {}
    for (const { key, value } of this.seen) result[key] = Number(value)
    return result
  }

  async close(): Promise<void> {
    await this.#reader?.close()
  }
}

export async function stateDirectory(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-spec-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** A log in process, and jobs on it. */
export class EmbeddedJobs {
  /** The spec's own. */
  transport!: Transport
  /** Called after the spec, the last one first. */
  readonly closers: (() => Promise<unknown>)[] = []
  #broker!: EmbeddedBroker

  async open(topics: Record<string, number>): Promise<void> {
    this.#broker = embeddedBroker({})
    this.transport = embeddedTransport({ broker: this.#broker, client: 'spec' })
    await createTopics(this.transport, topics)
  }

  /** A job that is quick to commit, by a transport of its own. */
  runtime(client: string, options: Pick<MillraceOptions, 'topology'> & Partial<MillraceOptions>): Runtime {
    const transport = embeddedTransport({ broker: this.#broker, client })
    this.closers.push(() => transport.close())
    return createRuntime({
      id: 'job',
      transport,
      store: 'memory',
      commitInterval: 20,
      heartbeatInterval: 50,
      ...options
    })
  }

  async watch(topic: string): Promise<Watcher> {
    const watcher = await new Watcher(this.transport, topic).start()
    this.closers.push(() => watcher.close())
    return watcher
  }

  async close(): Promise<void> {
    for (const close of this.closers.splice(0).reverse()) await close()
    await this.transport.close()
    await this.#broker.close()
  }
}

/** In a `describe`: each of its specs has a log of its own, with these topics and their partitions. */
export function embeddedJobs(topics: Record<string, number>): EmbeddedJobs {
  const jobs = new EmbeddedJobs()
  beforeEach(() => jobs.open(topics))
  afterEach(() => jobs.close())
  return jobs
}
