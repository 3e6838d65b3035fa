/** What the transport cases share: names, topics, writing, reading to the end. */
import { expect } from 'chai'
import type { Fault, TransportError } from '../../../lib/errors.ts'
import type { Isolation, PartitionWriter, Transport } from '../../../lib/kafka/port.ts'
import type { Wire } from '../../../lib/kafka/wire.ts'
import { type Headers, NO_HEADERS, type Tp, tpKey } from '../../../lib/record.ts'
import { until } from '../../../lib/testing/until.ts'

export interface Opened {
  transport: Transport
  wire: Wire
  /** The shortest session its broker allows. */
  sessionMs: number
  close(): Promise<void>
}
export type Open = () => Promise<Opened>

let names = 0
/** Used by no other case and no earlier run. */
export const unique = (prefix: string): string =>
  `${prefix}-${Date.now().toString(36)}-${process.pid.toString(36)}-${names++}`

export interface Rec {
  offset: number
  timestamp: number
  key: string | null
  value: string | null
  headers: [string, string | null][]
}

export interface Out {
  key?: string | null
  value?: string | null
  timestamp?: number
  headers?: Headers
}

/** A string is a value without key. */
export function put(writer: PartitionWriter, out: Out | string): void {
  const {
    key = null,
    value = null,
    timestamp = 1_000,
    headers = NO_HEADERS
  } = typeof out === 'string' ? { value: out } : out
  const k = key === null ? null : Buffer.from(key)
  const v = value === null ? null : Buffer.from(value)
  writer.append(timestamp, k, 0, k?.length ?? 0, v, 0, v?.length ?? 0, headers)
}

/** One transport under test. */
export class Side {
  readonly #open: Open
  #opened: Opened | undefined
  readonly #others: Opened[] = []

  constructor(open: Open) {
    this.#open = open
  }

  async open(): Promise<void> {
    this.#opened = await this.#open()
  }

  async close(): Promise<void> {
    await Promise.all([this.#opened, ...this.#others].map((o) => o?.close()))
  }

  /** Another client of the same log: a second process, as far as the log can tell. Closed with the side. */
  async another(): Promise<Transport> {
    const opened = await this.#open()
    this.#others.push(opened)
    return opened.transport
  }

  get transport(): Transport {
    return this.#opened!.transport
  }

  get sessionMs(): number {
    return this.#opened!.sessionMs
  }

  get wire(): Wire {
    return this.#opened!.wire
  }

  async topic(partitions = 1, config: Record<string, string> = {}): Promise<string> {
    const topic = unique('topic')
    await this.transport.admin.create([{ topic, partitions, replication: -1, config }])
    return topic
  }

  async write(topic: string, values: (Out | string)[], partition = 0): Promise<void> {
    const producer = await this.transport.producer({ lane: 0 })
    for (const value of values) put(producer.writer(topic, partition), value)
    await producer.flush()
    await producer.close()
  }

  async end(topic: string, at: 'start' | 'lso' | 'hw' | { timestamp: number }, partition = 0): Promise<number> {
    return (await this.transport.offsets([{ topic, partition }], at)).get(tpKey(topic, partition))!
  }

  /** EndTxn is answered before its markers stand in the logs: resolves when the partition is stable up to `offset`. */
  async stable(topic: string, offset: number, partition = 0): Promise<void> {
    let lso = -1
    const what = (): string => `${topic}-${partition} is stable up to ${offset}, now ${lso}`
    await until(
      async () => {
        lso = await this.end(topic, 'lso', partition)
        return lso === offset
      },
      { what, everyMs: 2 }
    )
  }

  /** Everything from `from` to the end as it is now. */
  async read(
    topic: string,
    options: { from?: number; partition?: number; isolation?: Isolation } = {}
  ): Promise<Rec[]> {
    const { from = 0, partition = 0, isolation = 'committed' } = options
    const end = await this.end(topic, isolation === 'committed' ? 'lso' : 'hw', partition)
    const found: Rec[] = []
    if (from >= end) return found
    await new Promise<void>((resolve, reject) => {
      const reader = this.transport.reader({ isolation, lane: 'source', maxWaitMs: 100, onError: reject })
      reader.add({ topic, partition }, from, ({ records: set, next }) => {
        for (let i = 0; i < set.count; i++) {
          found.push({
            offset: set.offsets[i]!,
            timestamp: set.timestamps[i]!,
            key: set.key(i)?.toString() ?? null,
            value: set.value(i)?.toString() ?? null,
            headers: set.headers(i).map(([header, value]) => [header, value?.toString() ?? null])
          })
        }
        if (next >= end) void reader.close().then(resolve)
      })
    })
    return found
  }

  async values(
    topic: string,
    options?: { from?: number; partition?: number; isolation?: Isolation }
  ): Promise<(string | null)[]> {
    return (await this.read(topic, options)).map((r) => r.value)
  }

  async committed(groupId: string, topic: string, partition = 0): Promise<number | undefined> {
    const found = await this.transport.committed(groupId, [{ topic, partition }])
    return found.get(tpKey(topic, partition))?.offset
  }
}

/** Waits for the failure and checks what it asks for. */
export async function fails(call: Promise<unknown>, fault: Fault, kafkaCode?: number): Promise<void> {
  const error = await call.then(
    () => undefined,
    (e: TransportError) => e
  )
  expect(error, `should have failed as ${fault}`).to.be.instanceOf(Error)
  expect(error!.fault, error!.message).to.equal(fault)
  if (kafkaCode !== undefined) expect(error!.kafkaCode, error!.message).to.equal(kafkaCode)
}

export const tps = (topic: string, ...partitions: number[]): Tp[] =>
  partitions.map((partition) => ({ topic, partition }))

/** A promise to settle by hand. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
