/** Assembles the port over a wire: the same reader, producers, group and admin for Kafka and for the embedded log. */
import type { Tp } from '../record.ts'
import type { Clock, Random } from '../time.ts'
import { ClusterAdmin } from './admin.ts'
import { Cluster } from './cluster.ts'
import { createGroup } from './group.ts'
import { type At, committedOffsets, listOffsets } from './offsets.ts'
import type {
  Admin,
  Group,
  GroupHandler,
  GroupOptions,
  Offset,
  Producer,
  ProducerOptions,
  Reader,
  ReaderOptions,
  Transport,
  TxnProducer
} from './port.ts'
import { createProducer } from './producer.ts'
import { FetchReader } from './reader.ts'
import { createTxnProducer } from './txnProducer.ts'
import { closedError, type Wire } from './wire.ts'

/**
 * @example
 * const transport = createTransport(embeddedBroker().wire, { clock: systemClock, random: systemRandom })
 * const ends = await transport.offsets([{ topic: 'orders', partition: 0 }], 'lso')
 */
export function createTransport(wire: Wire, env: { clock: Clock; random: Random }): Transport {
  return new WireTransport(wire, env)
}

class WireTransport implements Transport {
  readonly admin: Admin
  readonly #wire: Wire
  readonly #cluster: Cluster
  readonly #readers = new Set<Reader>()
  readonly #lanes = new Set<string>() // names of reader lanes in use
  #closed = false

  constructor(wire: Wire, env: { clock: Clock; random: Random }) {
    this.#wire = wire
    this.#cluster = new Cluster(wire, env)
    this.admin = new ClusterAdmin(this.#cluster)
  }

  reader(options: ReaderOptions): Reader {
    if (this.#closed) throw closedError()
    // A connection serves one Fetch at a time: two readers on one lane would wait behind each other's long poll.
    let name: string = options.lane
    for (let n = 2; this.#lanes.has(name); n++) name = `${options.lane}:${n}`
    this.#lanes.add(name)
    const reader = new FetchReader(this.#cluster, options, name)
    this.#readers.add(reader)
    const close = reader.close.bind(reader)
    reader.close = async () => {
      await close()
      this.#lanes.delete(name)
      this.#readers.delete(reader)
    }
    return reader
  }

  group(options: GroupOptions, handler: GroupHandler): Promise<Group> {
    return createGroup(this.#cluster, options, handler)
  }

  producer(options: ProducerOptions): Promise<Producer> {
    return createProducer(this.#cluster, options)
  }

  txnProducer(id: string, options: ProducerOptions & { timeoutMs: number }): Promise<TxnProducer> {
    return createTxnProducer(this.#cluster, id, options)
  }

  offsets(tps: Tp[], at: At): Promise<Map<string, number>> {
    return listOffsets(this.#cluster, tps, at)
  }

  committed(groupId: string, tps: Tp[], patienceMs?: number): Promise<Map<string, Offset>> {
    return committedOffsets(this.#cluster, groupId, tps, patienceMs)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#readers].map((reader) => reader.close()))
    await this.#wire.close()
  }
}
