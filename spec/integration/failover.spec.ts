/** Standbys take over, in a whole job on a real Kafka. */
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import { failoverCases } from '../cases/failover.ts'
import { broker, uniqueName } from './support.ts'

describe('failover on Kafka', function () {
  this.timeout(90_000)

  failoverCases(async () => {
    const { brokers } = await broker()
    return { id: uniqueName('failover'), connect: () => kafkaTransport({ brokers }), sessionMs: 6_000 }
  })
})
