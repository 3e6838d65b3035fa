/** The idempotent producer: in order and without duplicates per partition, for at-least-once jobs and tools. */
import { ConfigError, StateError } from '../errors.ts'
import type { Cluster } from './cluster.ts'
import { mayRepeat } from './coordinatorCall.ts'
import type { Producer, ProducerOptions } from './port.ts'
import { prepareCodec } from './protocol/compression.ts'
import { check } from './protocol/errors.ts'
import { retry } from './retry.ts'
import { Sender } from './sender.ts'

/** From the first failed try of a batch to the end of the producer, in ms. */
export const DELIVERY_MS = 120_000
const BATCH_BYTES = 1_000_000

export interface DeliveryOptions extends ProducerOptions {
  /** How long a partition may refuse before the producer fails, in ms. Default 120 000. */
  deliveryMs?: number
}

/**
 * Resolves when the broker has given a producer id.
 * @throws TransportError when no broker gives one within the delivery time
 * @throws ConfigError for `batchBytes` below 1 024
 * @example
 * const producer = await createProducer(cluster, { lane: 0 })
 * producer.writer('orders', 3).append(Date.UTC(2024, 0), key, 0, key.length, value, 0, value.length, [])
 * await producer.flush()
 */
export async function createProducer(cluster: Cluster, options: DeliveryOptions): Promise<Producer> {
  const { deliveryMs = DELIVERY_MS } = options
  const batchBytes = checkedBatchBytes(options.batchBytes)
  await prepareCodec(options.compression ?? 'none')
  const lane = cluster.wire.lane(`producer:${options.lane}`)
  const what = 'Asking for a producer id'
  const patience = { what, baseMs: 20, timeoutMs: deliveryMs, retriable: mayRepeat, signal: options.signal }
  const identity = await retry(cluster, patience, async () => {
    const answer = await lane.call('any', 'InitProducerId', { transactionalId: null, timeoutMs: 60_000 })
    check(answer.error, what)
    return answer
  })
  return new IdempotentProducer(
    new Sender(cluster, {
      lane,
      identity,
      transactionalId: null,
      codec: options.compression ?? 'none',
      batchBytes,
      deliveryMs
    })
  )
}

/** @throws ConfigError */
export function checkedBatchBytes(batchBytes = BATCH_BYTES): number {
  if (Number.isInteger(batchBytes) && batchBytes >= 1_024 && batchBytes <= 0x3fff_ffff) return batchBytes
  throw new ConfigError(
    `batchBytes is ${batchBytes}: give a whole number from 1 024 to 1 GiB, below the topics' max.message.bytes (default 1 048 588).`
  )
}

class IdempotentProducer implements Producer {
  readonly #sender: Sender

  constructor(sender: Sender) {
    this.#sender = sender
  }

  get pendingBytes(): number {
    return this.#sender.pendingBytes
  }

  writer(topic: string, partition: number, turn?: number): ReturnType<Producer['writer']> {
    return this.#sender.writer(topic, partition, turn)
  }

  kick(): void {
    this.#sender.kick()
  }

  room(limit: number): Promise<void> {
    return this.#sender.room(limit)
  }

  seal(): Promise<void> {
    return this.#sender.seal()
  }

  unseal(): void {
    this.#sender.unseal()
  }

  flush(): Promise<void> {
    return this.#sender.flush()
  }

  async close(): Promise<void> {
    this.#sender.fail(new StateError('The producer is closed: open a new one'))
  }
}
