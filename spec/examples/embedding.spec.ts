/** The three services that embed one job, as processes of their own: started, asked over HTTP, ended by a signal. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { until } from '../../lib/testing/until.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

interface Ended {
  readonly code: number | null
  readonly output: string
}

class Service {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  #output = ''

  constructor(name: string, ...args: string[]) {
    this.child = spawn(process.execPath, ['--import', 'tsx', `examples/${name}/main.ts`, ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text
      })
    }
    this.ended = once(this.child, 'close').then(([code]) => ({ code, output: this.#output }))
  }

  url(): Promise<string> {
    return until(
      () => {
        if (this.child.exitCode !== null) return 'ended'
        return /listening on (\S+)/.exec(this.#output)?.[1]
      },
      { what: () => `the service to listen; it said: ${this.#output}`, timeoutMs: 30_000 }
    )
  }

  async stop(): Promise<Ended> {
    this.child.kill('SIGTERM')
    return this.ended
  }
}

for (const name of ['backend', 'fastify', 'nest']) {
  describe(`npm run example -- ${name}`, function () {
    this.timeout(60_000)
    const services: Service[] = []
    const start = (...args: string[]): Service => {
      const service = new Service(name, ...args)
      services.push(service)
      return service
    }
    afterEach(() => {
      for (const { child } of services.splice(0)) child.kill('SIGKILL')
    })

    it('takes orders, answers with exact totals, says that it is healthy, and ends with status 0 on SIGTERM', async () => {
      const service = start('--port', '0')
      const url = await service.url()
      const placed = Array.from({ length: 60 }, (_, i) => ({ customer: `c-${i % 7}`, amount: 100 + i }))
      const wanted: Record<string, { orders: number; spent: number }> = {}
      for (const { customer, amount } of placed) {
        const { orders, spent } = wanted[customer] ?? { orders: 0, spent: 0 }
        wanted[customer] = { orders: orders + 1, spent: spent + amount }
      }
      const post = (body: unknown): Promise<Response> =>
        fetch(`${url}/orders`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body)
        })
      const statuses = await Promise.all(placed.map(async (order) => (await post(order)).status))
      expect(new Set(statuses)).to.deep.equal(new Set([202]))
      expect((await post({ customer: 'c-1', amount: 'many' })).status).to.equal(400)

      const totals = async (): Promise<unknown> =>
        Object.fromEntries(
          await Promise.all(
            Object.keys(wanted).map(async (id) => [id, await (await fetch(`${url}/customers/${id}`)).json()])
          )
        )
      let seen: unknown
      await until(
        async () => {
          seen = await totals()
          return (
            Object.values(seen as Record<string, { orders?: number }>).reduce((sum, t) => sum + (t.orders ?? 0), 0) >=
            60
          )
        },
        { what: () => `60 orders to be counted, not ${JSON.stringify(seen)}` }
      )
      expect(seen).to.deep.equal(wanted)
      expect((await fetch(`${url}/customers/nobody`)).status).to.equal(404)
      const health = await fetch(`${url}/health`)
      expect([health.status, await health.json()]).to.deep.equal([200, { healthy: true }])

      const { code, output } = await service.stop()
      expect(code, output).to.equal(0)
    })

    it('ends with status 1 when its port is taken, and with 2 when the command line is wrong', async () => {
      const other = createServer().listen(0, '127.0.0.1')
      await once(other, 'listening')
      try {
        const { port } = other.address() as { port: number }
        const taken = await start('--port', `${port}`).ended
        expect(taken.output).to.include('EADDRINUSE')
        expect(taken.code).to.equal(1)
      } finally {
        other.close()
      }
      const wrong = await start('--port', 'many').ended
      expect(wrong.output).to.include('--port many is not a port.').and.include(`npm run example -- ${name}`)
      expect(wrong.code).to.equal(2)
    })
  })
}
