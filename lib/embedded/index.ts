/** The embedded log: a broker, and the transport that a job takes in Kafka's place. */

import type { Transport } from '../kafka/port.ts'
import { createTransport } from '../kafka/transport.ts'
import { systemClock, systemRandom } from '../time.ts'
import { type EmbeddedBroker, type EmbeddedBrokerOptions, embeddedBroker } from './broker.ts'

export { type EmbeddedBroker, type EmbeddedBrokerOptions, embeddedBroker } from './broker.ts'
export type { FaultFn, WireCall, WireFault } from './wire.ts'

/**
 * A transport to a broker of its own, which ends with it. For several clients of one broker, or to clean and disturb it,
 * make the broker with `embeddedBroker` and pass it: then it outlives the transport.
 * @example
 * const transport = embeddedTransport()
 * await transport.admin.create([{ topic: 'orders', partitions: 4, replication: 1, config: {} }])
 */
export function embeddedTransport(
  options: EmbeddedBrokerOptions & { broker?: EmbeddedBroker; client?: string } = {}
): Transport {
  const { clock = systemClock, random = systemRandom } = options
  const broker = options.broker ?? embeddedBroker(options)
  const transport = createTransport(broker.connect(options.client ?? 'client'), { clock, random })
  if (options.broker) return transport
  const close = transport.close.bind(transport)
  transport.close = async () => {
    await close()
    await broker.close()
  }
  return transport
}
