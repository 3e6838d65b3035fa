/** The job in a Fastify service: a plugin that starts it with the server and drains it with the server. */
import type { FastifyPluginAsync } from 'fastify'
import type { RunningRuntime } from '../../actors/index.ts'
import type { Order } from '../embedding/job.ts'
import type { Shop } from '../embedding/shop.ts'

const ORDER = {
  type: 'object',
  required: ['customer', 'amount'],
  properties: { customer: { type: 'string', minLength: 1 }, amount: { type: 'integer' } }
}

export const customersPlugin: FastifyPluginAsync<{ shop: Shop }> = async (app, { shop }) => {
  let job: RunningRuntime | undefined

  app.addHook('onReady', async () => {
    job = await shop.runtime.run({ signals: false }) // the service has the signals
    // A job that fails takes the service with it: whoever runs the service starts it again.
    job.stopped.catch((error: unknown) => {
      app.log.error(error)
      process.exitCode = 1
      return app.close()
    })
  })
  app.addHook('onClose', async () => {
    await job?.drain().catch(() => {}) // told above
    await shop.close()
  })

  app.get('/health', (_request, reply) => {
    const healthy = job?.healthy ?? false
    return reply.code(healthy ? 200 : 503).send({ healthy })
  })
  app.post<{ Body: Order }>('/orders', { schema: { body: ORDER } }, async ({ body }, reply) => {
    await shop.place(body)
    return reply.code(202).send(body)
  })
  app.get<{ Params: { id: string } }>('/customers/:id', async ({ params: { id } }, reply) => {
    const totals = await shop.totals(id)
    return totals ?? reply.code(404).send({ error: `No customer "${id}".` })
  })
}
