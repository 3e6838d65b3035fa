/** Topics and partitions that come while a job runs, in a whole job on a real Kafka. */
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { patternCases } from '../cases/patterns.ts'
import { broker, uniqueName } from './support.ts'

describe('Topics and partitions that come, on Kafka', function () {
  this.timeout(90_000)
  let transport: Transport
  after(() => transport?.close())

  patternCases(async () => {
    transport = kafkaTransport({ brokers: (await broker()).brokers })
    return { transport, id: uniqueName('pattern') }
  })
})
