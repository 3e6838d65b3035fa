/** Standbys take over, in a whole job on the embedded log. */
import { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { failoverCases } from '../cases/failover.ts'

describe('failover on the embedded log', function () {
  this.timeout(60_000)
  let broker: EmbeddedBroker
  let clients = 0
  after(() => broker?.close())

  failoverCases(async () => {
    broker = embeddedBroker({ minSessionMs: 100 })
    return {
      id: 'failover',
      connect: () => embeddedTransport({ broker, client: `process-${clients++}` }),
      sessionMs: 600
    }
  })
})
