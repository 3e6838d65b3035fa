/** What a service needs beside its own framework: the runtime, a producer of orders, and answers about customers. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime, embeddedTransport, kafkaTransport, NotOwnerError, type Runtime } from '../../actors/index.ts'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Producer } from '../../lib/kafka/port.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import type { Wanted } from './commandLine.ts'
import { customers, type Order, ordersTopic, type Totals, totalsTopic } from './job.ts'

export interface Shop {
  /** Not started: how it lives and ends is the service's to say. */
  readonly runtime: Runtime
  /** Resolves when the order is in the log. */
  place(order: Order): Promise<void>
  /** Asks the job: here, or over HTTP in the process that has the customer. */
  totals(customer: string): Promise<Totals | undefined>
  /** After the runtime has stopped. */
  close(): Promise<void>
}

const PARTITIONS = 3

/** Without brokers of a Kafka the log lies in this process and ends with it. */
export async function openShop({ brokers, port }: Wanted): Promise<Shop> {
  const transport = brokers ? kafkaTransport({ brokers: [...brokers] }) : embeddedTransport()
  await transport.admin.create(
    [ordersTopic, totalsTopic].map(({ name }) => ({
      topic: name,
      partitions: PARTITIONS,
      replication: -1,
      config: name === totalsTopic.name ? { 'cleanup.policy': 'compact' } : {}
    }))
  )
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-shop-'))
  const partitions = (await transport.admin.partitions([ordersTopic.name])).get(ordersTopic.name)!
  const runtime = createRuntime({
    id: 'shop-customers',
    topology: customers,
    transport,
    stateDir,
    ...(port === 0 ? {} : { advertise: `http://127.0.0.1:${port}` }),
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
    async totals(customer) {
      try {
        return await runtime.query(customers, customer, 'totals', undefined, { timeout: '5s' })
      } catch (error) {
        if (!(error instanceof NotOwnerError) || error.owner === undefined) throw error
        const answer = await fetch(`${error.owner}/customers/${encodeURIComponent(customer)}`)
        if (answer.status === 404) return undefined
        if (!answer.ok) throw new Error(`${answer.url} answers ${answer.status}`, { cause: error })
        return (await answer.json()) as Totals
      }
    },
    async close() {
      await (await producer?.catch(() => undefined))?.close()
      await transport.close()
      await rm(stateDir, { recursive: true, force: true })
    }
  }
}
