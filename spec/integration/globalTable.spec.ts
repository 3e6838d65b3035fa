/** Global tables, in a whole job on a real Kafka. */
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { globalTableCases } from '../cases/globalTable.ts'
import { broker, uniqueName } from './support.ts'

describe('Global tables on Kafka', function () {
  this.timeout(90_000)
  let transport: Transport
  after(() => transport?.close())

  globalTableCases(async () => {
    transport = kafkaTransport({ brokers: (await broker()).brokers })
    return { transport, id: uniqueName('global') }
  })
})
