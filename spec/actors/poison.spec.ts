import { embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { poisonCases } from '../cases/poison.ts'

let count = 0

poisonCases(
  'the embedded log',
  async () => {
    const broker = embeddedBroker({})
    const transport = embeddedTransport({ broker, client: 'poison' })
    return {
      transport,
      close: async () => {
        await transport.close()
        await broker.close()
      }
    }
  },
  (prefix) => `${prefix}-${count++}`
)
