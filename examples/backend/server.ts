/** An HTTP server as an actor: it serves until it is stopped, and fails when it cannot listen. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type AnyActorRef, fromPromise, type SnapshotFrom } from 'xstate'
import type { Runtime } from '../../actors/index.ts'
import { orderOf } from '../embedding/job.ts'
import type { Shop } from '../embedding/shop.ts'

export interface ServerOptions {
  readonly shop: Pick<Shop, 'place' | 'totals'>
  readonly port: number
  readonly onListening: (url: string) => void
}

type Answer = readonly [status: number, body: unknown]

export const httpServer = ({ shop, port, onListening }: ServerOptions) =>
  fromPromise<void>(async ({ system, signal }) => {
    const server = createServer((request, response) => void serve(request, response))
    const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const [status, body] = await answer(request).catch((error: unknown): Answer => [500, { error: String(error) }])
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    const answer = async (request: IncomingMessage): Promise<Answer> => {
      const path = decodeURIComponent(new URL(request.url!, 'http://any').pathname).split('/').slice(1)
      switch (`${request.method} /${path[0]}`) {
        case 'GET /health': {
          const healthy = isHealthy(system.get('job'))
          return [healthy ? 200 : 503, { healthy }]
        }
        case 'POST /orders': {
          const order = orderOf(await json(request))
          if (!order) return [400, { error: 'An order is { customer: string, amount: integer }.' }]
          await shop.place(order)
          return [202, order]
        }
        case 'GET /customers': {
          const totals = await shop.totals(path[1] ?? '')
          return totals ? [200, totals] : [404, { error: `No customer "${path[1] ?? ''}".` }]
        }
        default:
          return [404, { error: 'POST /orders, GET /customers/:id, GET /health' }]
      }
    }
    const closed = once(signal, 'abort')
    server.listen(port, '127.0.0.1')
    await once(server, 'listening') // rejects with 'error': the port is taken
    onListening(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    await closed
    // What is under way is answered; connections that wait for a next request end now.
    server.close()
  })

/** The job is there, is a member of its group, and works. */
const isHealthy = (job: AnyActorRef | undefined): boolean =>
  (job?.getSnapshot() as SnapshotFrom<Runtime['logic']> | undefined)?.hasTag('healthy') ?? false

async function json(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += chunk
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
