/** Windows that close by wall clock, in a whole job on the embedded log. */
import { embeddedTransport } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { closeIdleCases } from '../cases/closeIdle.ts'

describe('closeIdleAfter on the embedded log', function () {
  this.timeout(60_000)
  let transport: Transport
  after(() => transport?.close())

  closeIdleCases(async () => {
    transport = embeddedTransport()
    return { transport, id: 'idle' }
  })
})
