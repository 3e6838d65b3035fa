import * as net from 'node:net'
import { expect } from 'chai'
import { ConfigError, TransportError, UnreachableError } from '../../lib/errors.ts'
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import { brokerFactory, internals } from '../../lib/kafka/kafkajsInternals.ts'

/** Ports on which nothing listens. */
async function closedPort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Takes connections and does what it is told with them. */
async function server(onSocket: (socket: net.Socket) => void): Promise<{ address: string; close(): void }> {
  const sockets = new Set<net.Socket>()
  const s = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    onSocket(socket)
  })
  await new Promise<void>((resolve) => s.listen(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${(s.address() as net.AddressInfo).port}`,
    close: () => {
      for (const socket of sockets) socket.destroy()
      s.close()
    }
  }
}

const failure = async (promise: Promise<unknown>): Promise<Error> => {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not fail')
}

const SILENT = { logLevel: 0, logCreator: () => () => {} }

describe('the wire to Kafka', () => {
  describe('kafkajs, whose internals are used, ', () => {
    it('is the one version that they were read in', () => {
      expect(internals.version()).to.equal('2.2.4')
    })

    it('makes brokers of the shape used', async () => {
      const broker = brokerFactory(SILENT)('127.0.0.1', 1)
      expect(broker.connect).to.be.a('function')
      expect(broker.disconnect).to.be.a('function')
      expect(broker).to.have.property('versions', null)
      const connection = broker.connectionPool.pool[0]!
      for (const method of ['isConnected', 'isAuthenticated', 'nextCorrelationId', 'rejectRequests'] as const) {
        expect(connection[method], method).to.be.a('function')
      }
      expect(connection.requestQueue.push).to.be.a('function')
      expect(connection.clientId).to.equal('kafkajs')
      expect(connection.isConnected()).to.equal(false)
      expect(connection.nextCorrelationId()).to.equal(0)
    })

    it('D9: starts no timer when nothing is pending', () => {
      brokerFactory(SILENT)
      const queue = {
        pending: [] as unknown[],
        throttleCheckTimeoutId: null as NodeJS.Timeout | null,
        throttledUntil: -1
      }
      const { scheduleCheckPendingRequests } = internals.requestQueue()
      scheduleCheckPendingRequests.call(queue as never)
      expect(queue.throttleCheckTimeoutId).to.equal(null)
      queue.pending.push({})
      scheduleCheckPendingRequests.call(queue as never)
      expect(queue.throttleCheckTimeoutId, 'with something pending the timer is there').to.not.equal(null)
      clearTimeout(queue.throttleCheckTimeoutId!)
    })
  })

  it('says at once when the broker list is empty or no address', () => {
    for (const brokers of [[], ['localhost'], ['localhost:99999'], ['a:1', 'b']]) {
      expect(() => kafkajsWire({ brokers }), JSON.stringify(brokers)).to.throw(ConfigError)
    }
  })

  it('names the brokers when none can be reached, within the time allowed', async () => {
    const [a, b] = [await closedPort(), await closedPort()]
    const wire = kafkajsWire({ brokers: [`127.0.0.1:${a}`, `localhost:${b}`], reachTimeoutMs: 300 })
    const error = await failure(wire.lane('control').call('any', 'Metadata', { topics: [] }))
    expect(error).to.be.instanceOf(UnreachableError).with.property('code', 'ERR_BROKER_UNREACHABLE')
    expect(error.message).to.include(`127.0.0.1:${a}, localhost:${b}`)
    await wire.close()
  })

  it('gives up on a listener that accepts and never answers', async () => {
    const mute = await server(() => {})
    const wire = kafkajsWire({
      brokers: [mute.address],
      reachTimeoutMs: 300,
      connectionTimeoutMs: 200,
      requestTimeoutMs: 300
    })
    const error = await failure(wire.lane('control').call('any', 'Metadata', { topics: [] }))
    expect(error).to.be.instanceOf(UnreachableError)
    await wire.close()
    mute.close()
  })

  it('gives up on a server that speaks something else', async () => {
    const http = await server((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
    const wire = kafkajsWire({ brokers: [http.address], reachTimeoutMs: 300, requestTimeoutMs: 300 })
    const error = await failure(wire.lane('control').call('any', 'Metadata', { topics: [] }))
    expect(error).to.be.instanceOf(UnreachableError)
    await wire.close()
    http.close()
  })

  it('shares one attempt among calls that wait, and closes under them', async () => {
    const port = await closedPort()
    const wire = kafkajsWire({ brokers: [`127.0.0.1:${port}`], reachTimeoutMs: 60_000 })
    const lane = wire.lane('control')
    const calls = [1, 2, 3].map(() => failure(lane.call('any', 'Metadata', { topics: [] })))
    await wire.close()
    for (const error of await Promise.all(calls)) {
      expect(error).to.be.instanceOf(TransportError).with.property('code', 'ERR_TRANSPORT_CLOSED')
    }
    expect(await failure(lane.call('any', 'Metadata', { topics: [] }))).to.have.property('code', 'ERR_TRANSPORT_CLOSED')
    const late = failure(wire.lane('other').call('any', 'Metadata', { topics: [] }))
    expect(await late).to.have.property('code', 'ERR_TRANSPORT_CLOSED')
  })

  it('gives the same lane for the same name, until it is closed', async () => {
    const wire = kafkajsWire({ brokers: ['127.0.0.1:1'] })
    const lane = wire.lane('source')
    expect(wire.lane('source')).to.equal(lane)
    await lane.close()
    expect(wire.lane('source')).to.not.equal(lane)
    await wire.close()
  })

  it('prints nothing unless a log is given', async () => {
    const seen: string[] = []
    const port = await closedPort()
    const wire = kafkajsWire({
      brokers: [`127.0.0.1:${port}`],
      reachTimeoutMs: 0,
      log: ({ level, message }) => seen.push(`${level} ${message}`)
    })
    await failure(wire.lane('control').call('any', 'Metadata', { topics: [] }))
    await wire.close()
    expect(seen.join('\n')).to.include('ECONNREFUSED')
  })
})
