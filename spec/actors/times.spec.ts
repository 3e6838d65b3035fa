/** Times and rows over restarts with an empty directory, in whole jobs on the embedded log. */
import { embeddedTransport } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { timesCases } from '../cases/times.ts'

describe('times over restarts on the embedded log', function () {
  this.timeout(60_000)
  let transport: Transport
  let count = 0
  after(() => transport?.close())

  timesCases(async () => {
    transport = embeddedTransport()
    return { transport, name: () => `job-${count++}` }
  })
})
