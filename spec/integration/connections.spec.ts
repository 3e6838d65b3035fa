/** Connections to a real broker: order, loss, time-outs, lanes. Regressions carry the number of the client defect. */
import * as net from 'node:net'
import { expect } from 'chai'
import { TransportError } from '../../lib/errors.ts'
import { kafkajsWire, type SocketFactory } from '../../lib/kafka/kafkajs.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import { codecs } from '../../lib/kafka/protocol/requests/index.ts'
import type { Wire } from '../../lib/kafka/wire.ts'
import { until } from '../../lib/testing/until.ts'
import { stopwatch } from '../../lib/time.ts'
import { broker, uniqueName } from './support.ts'

describe('connections to Kafka', function () {
  this.timeout(30_000)
  let wire: Wire
  let sockets: net.Socket[]
  /** Called when a socket is about to write. */
  let onWrite: (socket: net.Socket) => void

  const socketFactory: SocketFactory = ({ host, port, onConnect }) => {
    const socket = net.connect({ host, port }, onConnect)
    const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
    socket.write = ((...args: unknown[]) => {
      const written = write(...args)
      onWrite(socket)
      return written
    }) as typeof socket.write
    sockets.push(socket)
    return socket
  }

  beforeEach(async () => {
    sockets = []
    onWrite = () => {}
    wire = kafkajsWire({ brokers: (await broker()).brokers, socketFactory })
  })
  afterEach(() => wire.close())

  const metadata = (lane = 'control'): Promise<unknown> => wire.lane(lane).call('any', 'Metadata', { topics: [] })

  const join = (groupId: string, memberId = ''): ApiMap['JoinGroup']['request'] => ({
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    memberId,
    instanceId: null,
    protocolType: 'consumer',
    protocols: [{ name: 'p', metadata: Buffer.from('000000000000ffffffff', 'hex') }]
  })

  /** A JoinGroup that the broker keeps: another member is in and does not join again. */
  async function parkedJoin(lane: string): Promise<{ groupId: string; parked: Promise<unknown> }> {
    const groupId = uniqueName('group')
    const { nodeId } = await wire.lane('control').call('any', 'FindCoordinator', { key: groupId, type: 'group' })
    const call = async (name: string, memberId: string) =>
      wire.lane(name).call(nodeId, 'JoinGroup', join(groupId, memberId))
    const { memberId: first } = await call('other', '')
    await call('other', first)
    const { memberId: second } = await call(lane, '')
    const parked = wire.lane(lane).call(nodeId, 'JoinGroup', join(groupId, second), { timeoutMs: 15_000 })
    parked.catch(() => {})
    return { groupId, parked }
  }

  it('answers calls in the order they were made, the first ones included, over one socket a lane', async () => {
    const order: number[] = []
    await Promise.all(Array.from({ length: 20 }, (_, i) => metadata().then(() => order.push(i))))
    expect(order).to.deep.equal(Array.from({ length: 20 }, (_, i) => i))
    expect(sockets).to.have.length(1)
  })

  it('D9: starts no timer with a negative delay', async () => {
    const real = globalThis.setTimeout
    const negative: number[] = []
    globalThis.setTimeout = ((fn: () => void, ms?: number) => {
      if (ms !== undefined && ms < 0) negative.push(ms)
      return real(fn, ms)
    }) as typeof setTimeout
    try {
      for (let i = 0; i < 20; i++) await metadata()
    } finally {
      globalThis.setTimeout = real
    }
    expect(negative).to.deep.equal([])
  })

  it('D10: a socket destroyed without an error fails its request at once, and the next call has a new connection', async () => {
    await metadata()
    onWrite = (socket) => socket.destroy()
    const began = stopwatch()
    const transactionalId = uniqueName('txn')
    const request = { transactionalId, producerId: 1, producerEpoch: 0, commit: true }
    const error = await wire
      .lane('control')
      .call('any', 'EndTxn', request)
      .catch((e: unknown) => e)
    expect(stopwatch() - began).to.be.below(2_000)
    expect(error).to.be.instanceOf(TransportError).with.property('fault', 'unknown-outcome')
    onWrite = () => {}
    await metadata()
    expect(stopwatch() - began).to.be.below(2_000)
    expect(sockets).to.have.length(2)
  })

  it('a question whose answer is lost may be asked again; an order whose answer is lost is of unknown outcome', async () => {
    await metadata()
    onWrite = (socket) => socket.destroy()
    const question = await metadata().catch((e: unknown) => e)
    expect(question).to.have.property('fault', 'retriable')
  })

  it('recovers when the connection is cut again and again', async () => {
    for (let i = 0; i < 5; i++) {
      await until(() => metadata().then(() => true), { what: 'an answer' })
      for (const socket of sockets) socket.destroy()
    }
    await until(() => metadata().then(() => true), { what: 'an answer' })
  })

  it('D11: a parked JoinGroup holds up nothing on other lanes', async () => {
    await parkedJoin('group:a')
    const began = stopwatch()
    await metadata()
    await metadata('source')
    expect(stopwatch() - began).to.be.below(2_000)
  })

  it('closes at once under a parked JoinGroup, which is told so', async () => {
    const { parked } = await parkedJoin('group:a')
    const began = stopwatch()
    await wire.close()
    const error = await parked.catch((e: unknown) => e)
    expect(error).to.have.property('code', 'ERR_TRANSPORT_CLOSED')
    expect(stopwatch() - began).to.be.below(2_000)
    await until(() => sockets.every((socket) => socket.destroyed), { what: 'every socket is closed' })
  })

  it('gives up a connection that does not answer in time, and takes a new one for the next call', async () => {
    const slow = kafkajsWire({ brokers: (await broker()).brokers, socketFactory, requestTimeoutMs: 300 })
    try {
      await slow.lane('control').call('any', 'Metadata', { topics: [] })
      const mute = sockets.at(-1)!
      mute.pause()
      const error = await slow
        .lane('control')
        .call('any', 'Metadata', { topics: [] })
        .catch((e: unknown) => e)
      expect(error).to.have.property('fault', 'retriable')
      await slow.lane('control').call('any', 'Metadata', { topics: [] })
      expect(mute.destroyed).to.equal(true)
    } finally {
      await slow.close()
    }
  })

  it('a version that the broker does not speak is a fatal fault that names it', async () => {
    const codec = codecs.Heartbeat as { version: number }
    const { version } = codec
    codec.version = 99
    try {
      const request = { groupId: 'g', generation: 0, memberId: 'm', instanceId: null }
      const error = await wire
        .lane('control')
        .call('any', 'Heartbeat', request)
        .catch((e: unknown) => e)
      expect(error).to.have.property('fault', 'fatal')
      expect((error as Error).message).to.include('Heartbeat version 99')
    } finally {
      codec.version = version
    }
  })
})
