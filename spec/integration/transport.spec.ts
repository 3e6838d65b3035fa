import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { transportCases } from '../cases/transport.ts'
import { broker } from './support.ts'

transportCases('Kafka', async () => {
  const { brokers } = await broker()
  const transport = createTransport(kafkajsWire({ brokers }), { clock: systemClock, random: systemRandom })
  const wire = kafkajsWire({ brokers })
  const close = async (): Promise<void> => {
    await transport.close()
    await wire.close()
  }
  return { transport, wire, sessionMs: 6_000, close }
})
