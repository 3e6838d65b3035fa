/** The Fastify service: its process. */
import fastify from 'fastify'
import { announce, commandLine } from '../embedding/commandLine.ts'
import { openShop } from '../embedding/shop.ts'
import { failed } from '../failed.ts'
import { customersPlugin } from './service.ts'

const wanted = commandLine({
  name: 'fastify',
  what: 'A Fastify service with a stream job inside: a plugin starts it with the server and drains it with the server.'
})
const app = fastify()
await app.register(customersPlugin, { shop: await openShop(wanted).catch(failed) })
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => void app.close())
try {
  announce(await app.listen({ port: wanted.port, host: '127.0.0.1' }))
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
  await app.close()
}
