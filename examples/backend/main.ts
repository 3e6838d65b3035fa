/** An XState backend with an HTTP server and a Millrace job: the process around its machine. */
import { createActor, toPromise } from 'xstate'
import { announce, commandLine } from '../embedding/commandLine.ts'
import { openShop } from '../embedding/shop.ts'
import { failed } from '../failed.ts'
import { backendMachine } from './backend.ts'
import { httpServer } from './server.ts'

const wanted = commandLine({
  name: 'backend',
  what: 'A backend as one XState machine that invokes a stream job and an HTTP server. SIGTERM drains the job; one that fails is built anew after 30 s.'
})
const shop = await openShop(wanted).catch(failed)
const backend = createActor(
  backendMachine({ job: shop.runtime.logic, http: httpServer({ shop, port: wanted.port, onListening: announce }) })
)
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => backend.send({ type: 'SIGTERM' }))
backend.start()
await toPromise(backend)
await shop.close()
if (backend.getSnapshot().hasTag('failed')) process.exitCode = 1
