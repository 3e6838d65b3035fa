/** A whole runtime on the embedded log. */
import { embeddedTransport } from '../../../actors/index.ts'
import type { Engine } from './engine.ts'
import { runCases } from './job.ts'

export function embeddedEngine(): Engine {
  const transport = embeddedTransport()
  return {
    name: 'embedded',
    run: (cases) => runCases(cases, { transport, prefix: 'case' }),
    close: () => transport.close()
  }
}
