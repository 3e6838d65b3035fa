/** Topics and partitions that come while a job runs, in a whole job on the embedded log. */
import { embeddedTransport } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { patternCases } from '../cases/patterns.ts'

describe('Topics and partitions that come, on the embedded log', function () {
  this.timeout(90_000)
  let transport: Transport
  after(() => transport?.close())

  patternCases(async () => {
    transport = embeddedTransport()
    return { transport, id: 'pattern' }
  })
})
