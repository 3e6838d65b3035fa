import { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { crashCases } from '../cases/crash.ts'
import { bells } from '../cases/crashKinds.ts'

let broker: EmbeddedBroker
before(() => {
  broker = embeddedBroker({ markerDelayMs: 5 })
})
after(() => broker.close())

const open = async () => {
  const transport = embeddedTransport({ broker })
  return { transport, close: () => transport.close() }
}

crashCases('embedded log', open)
crashCases('a behaviour with timers, embedded log', open, bells)
