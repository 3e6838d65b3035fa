/** What a service needs beside its own framework: the runtime, a producer of orders, and answers about customers. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime, embeddedTransport, kafkaTransport, type Runtime } from '../../actors/index.ts'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Producer } from '../../lib/kafka/port.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { customers, type Order, ordersTopic, type Totals, totalsTopic } from './job.ts'
import { openView } from './view.ts'

export interface Shop {
  /** Not started: how it lives and ends is the service's to say. */
  readonly runtime: Runtime
  /** Resolves when the order is in the log. */
  place(order: Order): Promise<void>
  /** What the job has committed. */
  totals(customer: string): Promise<Totals | undefined>
  /** After the runtime has stopped. */
  close(): Promise<void>
}

const PARTITIONS = 3

/** @param brokers of a Kafka; without, the log lies in this process and ends with it */
export async function openShop(brokers?: readonly string[]): Promise<Shop> {
  const transport = brokers ? kafkaTransport({ brokers: [...brokers] }) : embeddedTransport()
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-shop-'))
  await transport.admin.create(
    [ordersTopic, totalsTopic].map(({ name }) => ({
      topic: name,
      partitions: PARTITIONS,
      replication: -1,
      config: name === totalsTopic.name ? { 'cleanup.policy': 'compact' } : {}
    }))
  )
  const partitions = (await transport.admin.partitions([ordersTopic.name])).get(ordersTopic.name)!
  const view = await openView(transport)
  const runtime = createRuntime({
    id: 'shop-customers',
    topology: customers,
    transport,
    stateDir,
    guarantee: 'exactly-once',
    heartbeatInterval: '1s',
    sessionTimeout: '10s'
  })
  let producer: Promise<Producer> | undefined

  return {
    runtime,
    async place(order) {
      producer ??= transport.producer({ lane: 0 })
      const used = producer
      try {
        const writer = await used
        const key = Buffer.from(order.customer)
        const value = ordersTopic.value.encode(order)
        writer
          .writer(ordersTopic.name, partitionFor(key, 0, key.length, partitions))
          .append(Date.now(), key, 0, key.length, value, 0, value.length, NO_HEADERS)
        await writer.flush()
      } catch (error) {
        // A failure is final for a producer: the next order gets a new one.
        if (producer === used) producer = undefined
        throw error
      }
    },
    totals: async (customer) => view.get(customer),
    async close() {
      await (await producer?.catch(() => undefined))?.close()
      await view.close()
      await transport.close()
      await rm(stateDir, { recursive: true, force: true })
    }
  }
}
