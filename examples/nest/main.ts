/** The NestJS service: its process. */
import 'reflect-metadata'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { announce, commandLine } from '../embedding/commandLine.ts'
import { openShop } from '../embedding/shop.ts'
import { failed } from '../failed.ts'
import { customersModule } from './service.ts'

const wanted = commandLine({
  name: 'nest',
  what: 'A NestJS service with a stream job inside: a provider starts it with the application and drains it with the application.'
})
const shop = await openShop(wanted).catch(failed)
const app = await NestFactory.create(customersModule(shop), new FastifyAdapter(), { logger: ['error', 'warn'] })
// Otherwise Nest sends itself the signal again, and the process would not end with status 0.
app.enableShutdownHooks(['SIGTERM', 'SIGINT'], { useProcessExit: true })
try {
  await app.listen(wanted.port, '127.0.0.1')
  announce(await app.getUrl())
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
  await app.close()
}
