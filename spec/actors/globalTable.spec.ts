/** Global tables, in a whole job on the embedded log. */
import { embeddedTransport } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { globalTableCases } from '../cases/globalTable.ts'

describe('Global tables on the embedded log', function () {
  this.timeout(90_000)
  let transport: Transport
  after(() => transport?.close())

  globalTableCases(async () => {
    transport = embeddedTransport()
    return { transport, id: 'global' }
  })
})
