import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { crashCases } from '../cases/crash.ts'
import { broker } from './support.ts'

crashCases('Kafka', async () => {
  const { brokers } = await broker()
  const transport = createTransport(kafkajsWire({ brokers }), { clock: systemClock, random: systemRandom })
  return { transport, close: () => transport.close() }
})
