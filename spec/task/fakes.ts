/** Small stand-ins for the parts around a task: batches, a producer that remembers, stores without a disk. */
import type { Batch, GroupMeta, Offset, PartitionWriter, TxnProducer } from '../../lib/kafka/port.ts'
import { RecordSet, type Serde, tpKey } from '../../lib/record.ts'
import type { Logger } from '../../lib/task/port.ts'
import type { SourceNode } from '../../lib/topology/node.ts'

export const text: Serde<string> = {
  name: 'text',
  encode: (value) => {
    if (typeof value !== 'string') throw new TypeError(`not a text: ${String(value)}`)
    return Buffer.from(value)
  },
  decode: (bytes, start, end) => bytes.toString('utf8', start, end)
}

export const sourceNode = (over: Partial<SourceNode> = {}): SourceNode => ({
  kind: 'source',
  name: 'source',
  topics: ['in'],
  key: text,
  value: text,
  ...over
})

export interface Row {
  key?: string | null
  value?: string | null
  at: number
  offset?: number
}

/** One fetched batch. Offsets count from `first`. */
export function batch(rows: Row[], options: Partial<Batch> & { first?: number } = {}): Batch {
  const { first = 0, topic = 'in', partition = 0 } = options
  const parts = rows.map(({ key = 'k', value = 'v' }) =>
    [key, value].map((p): Buffer | null => (p === null ? null : Buffer.from(p)))
  )
  const bytes = Buffer.concat(parts.flat().filter((p) => p !== null))
  const set = new RecordSet(bytes, rows.length)
  let at = 0
  rows.forEach((row, i) => {
    set.offsets[i] = row.offset ?? first + i
    set.timestamps[i] = row.at
    const [key, value] = parts[i]!
    set.keyStart[i] = at
    at += key?.length ?? 0
    set.keyEnd[i] = key ? at : -1
    set.valueStart[i] = at
    at += value?.length ?? 0
    set.valueEnd[i] = value ? at : -1
    set.headersAt[i] = -1
  })
  set.count = rows.length
  const next = options.next ?? (rows.length > 0 ? set.offsets[rows.length - 1]! + 1 : first)
  return {
    topic,
    partition,
    records: set,
    next,
    lso: options.lso ?? next,
    hw: options.hw ?? next,
    bytes: options.bytes ?? bytes.length
  }
}

export interface Sent {
  topic: string
  partition: number
  key: string | null
  value: string | null
  timestamp: number
}

/** Remembers what it was told, in order; `fail` makes the next call of that name reject. */
export class FakeProducer implements TxnProducer {
  readonly calls: string[] = []
  sent: Sent[] = []
  readonly offsets: { meta: GroupMeta; offsets: Offset[] }[] = []
  pendingBytes = 0
  inTransaction = false
  /** A commit waits for it. */
  gate: Promise<void> = Promise.resolve()
  fail: Partial<Record<'flush' | 'sendOffsets' | 'commit', unknown>> = {}
  readonly #writers = new Map<string, PartitionWriter & { ackedNext: number; count: number }>()

  writer(topic: string, partition: number): PartitionWriter {
    const key = tpKey(topic, partition)
    let writer = this.#writers.get(key)
    if (writer === undefined) {
      writer = {
        topic,
        partition,
        ackedNext: -1,
        count: 0,
        append: (timestamp, k, ks, ke, v, vs, ve) => {
          this.inTransaction = true
          writer!.count++
          this.sent.push({
            topic,
            partition,
            key: k?.toString('utf8', ks, ke) ?? null,
            value: v?.toString('utf8', vs, ve) ?? null,
            timestamp
          })
        }
      }
      this.#writers.set(key, writer)
    }
    return writer
  }

  kick(): void {}

  /** Set, it is what waits for room wait for. */
  full: Promise<void> = Promise.resolve()

  room(): Promise<void> {
    return this.full
  }

  async flush(): Promise<void> {
    this.#call('flush')
    for (const writer of this.#writers.values()) if (writer.count > 0) writer.ackedNext = writer.count
  }

  seal(): Promise<void> {
    return this.flush()
  }

  unseal(): void {}

  clearOffsets(): Promise<void> {
    return Promise.resolve()
  }

  async sendOffsets(meta: GroupMeta, offsets: Offset[]): Promise<void> {
    this.offsets.push({ meta, offsets })
    this.#call('sendOffsets')
  }

  async commit(): Promise<void> {
    this.#call('commit')
    await this.gate
    this.inTransaction = false
  }

  async abort(): Promise<void> {
    this.calls.push('abort')
  }

  async close(): Promise<void> {
    this.calls.push('close')
  }

  #call(name: 'flush' | 'sendOffsets' | 'commit'): void {
    this.calls.push(name)
    const error = this.fail[name]
    if (error === undefined) return
    delete this.fail[name]
    throw error
  }
}

export const meta = (generation: number): GroupMeta => ({ groupId: 'app', generation, memberId: 'm1' })

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
