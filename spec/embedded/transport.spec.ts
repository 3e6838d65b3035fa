import { embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { transportCases } from '../cases/transport.ts'

const broker = embeddedBroker({ markerDelayMs: 5, minSessionMs: 1_000 })
after(() => broker.close())

transportCases('embedded log', async () => {
  const transport = embeddedTransport({ broker })
  const wire = broker.connect('spec')
  return { transport, wire, sessionMs: 1_000, close: () => transport.close() }
})
