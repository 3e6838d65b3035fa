/** Windows that close by wall clock, in a whole job on a real Kafka. */
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { closeIdleCases } from '../cases/closeIdle.ts'
import { broker, uniqueName } from './support.ts'

describe('closeIdleAfter on Kafka', function () {
  this.timeout(60_000)
  let transport: Transport
  after(() => transport?.close())

  closeIdleCases(async () => {
    transport = kafkaTransport({ brokers: (await broker()).brokers })
    return { transport, id: uniqueName('idle') }
  })
})
