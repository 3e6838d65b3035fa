import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { COMMIT, crashCases } from '../cases/crash.ts'
import { bells } from '../cases/crashKinds.ts'
import { broker } from './support.ts'

const open = async () => {
  const { brokers } = await broker()
  const transport = createTransport(kafkajsWire({ brokers }), { clock: systemClock, random: systemRandom })
  return { transport, close: () => transport.close() }
}

crashCases('Kafka', open)
crashCases('a behaviour with timers, Kafka', open, bells, COMMIT)
