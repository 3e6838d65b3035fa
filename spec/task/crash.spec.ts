import { embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { crashCases } from '../cases/crash.ts'

const broker = embeddedBroker({ markerDelayMs: 5 })
after(() => broker.close())

crashCases('embedded log', async () => {
  const transport = embeddedTransport({ broker })
  return { transport, close: () => transport.close() }
})
