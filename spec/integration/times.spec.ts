/** Times and rows over restarts with an empty directory, in whole jobs on a real Kafka. */
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { timesCases } from '../cases/times.ts'
import { broker, uniqueName } from './support.ts'

describe('times over restarts on Kafka', function () {
  this.timeout(60_000)
  let transport: Transport
  after(() => transport?.close())

  timesCases(async () => {
    transport = kafkaTransport({ brokers: (await broker()).brokers })
    return { transport, name: () => uniqueName('times') }
  })
})
