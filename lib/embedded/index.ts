/** The embedded log: a broker, and the transport that a job takes in Kafka's place. */

import type { Transport } from '../kafka/port.ts'
import { createTransport } from '../kafka/transport.ts'
import { systemRandom } from '../time.ts'
import { embeddedBroker } from './broker.ts'
import { checkTransportOptions, type EmbeddedTransportOptions } from './brokerOptions.ts'

export { type EmbeddedBroker, type EmbeddedBrokerOptions, embeddedBroker } from './broker.ts'
export type { EmbeddedTransportOptions } from './brokerOptions.ts'
export type { FaultFn, WireCall, WireFault } from './wire.ts'

/**
 * A transport to a broker of its own, which ends with it. For several clients of one broker, or to clean and disturb it,
 * make the broker with `embeddedBroker` and pass it: then it outlives the transport.
 * @param options those of `embeddedBroker`; or `broker`, with `client`, and with `clock` (default: the broker's) and `random` of the client
 * @throws ConfigError ERR_UNKNOWN_OPTION with the nearest name; ERR_OPTION for a value that cannot work
 * @example
 * const transport = embeddedTransport()
 * await transport.admin.create([{ topic: 'orders', partitions: 4, replication: 1, config: {} }])
 */
export function embeddedTransport(options: EmbeddedTransportOptions = {}): Transport {
  checkTransportOptions(options)
  const { broker: shared, client = 'client', ...own } = options
  const broker = shared ?? embeddedBroker(own)
  const { clock = broker.clock, random = systemRandom } = own
  const transport = createTransport(broker.connect(client), { clock, random })
  if (shared) return transport
  const close = transport.close.bind(transport)
  transport.close = async () => {
    await close()
    await broker.close()
  }
  return transport
}
