import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { poisonCases } from '../cases/poison.ts'
import { broker, uniqueName } from './support.ts'

poisonCases(
  'Kafka',
  async () => {
    const { brokers } = await broker()
    const transport = createTransport(kafkajsWire({ brokers }), { clock: systemClock, random: systemRandom })
    return { transport, close: () => transport.close() }
  },
  uniqueName
)
