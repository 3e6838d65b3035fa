/** The parts of kafkajs 2.2.4 that we build on, typed, with the cures its network code needs. */
import { createRequire } from 'node:module'
import * as net from 'node:net'
import * as tls from 'node:tls'
import type { KafkaConfig } from 'kafkajs'
import { Frames } from './frames.ts'

const require = createRequire(import.meta.url)

/** What one request in the queue of a connection is. `resolve` gets the answer without size and correlation id. */
export interface QueuedRequest {
  entry: {
    apiKey: number
    apiName: string
    apiVersion: number
    correlationId: number
    resolve(answer: { payload: Buffer }): void
    reject(error: Error): void
  }
  expectResponse: boolean
  /** Raises the default; never lowers it. */
  requestTimeout: number | null
  sendRequest(): void
}

export interface Connection {
  readonly clientId: string
  readonly sasl: object | null
  readonly socket: net.Socket | undefined
  readonly requestQueue: {
    push(request: QueuedRequest): void
    fulfillRequest(answer: { correlationId: number; payload: Buffer; size: number }): void
  }
  isConnected(): boolean
  /** Always false without SASL; turns false when the session is to be renewed. */
  isAuthenticated(): boolean
  nextCorrelationId(): number
  rejectRequests(error: Error): void
}

export interface Broker {
  readonly versions: Record<number, { minVersion: number; maxVersion: number } | undefined>
  /** Index 0 is the connection that `connect` opens and authenticates; we use no other. */
  readonly connectionPool: { readonly pool: Connection[] }
  connect(): Promise<void>
  /** Waits for requests in flight. */
  disconnect(): Promise<void>
}

export type SocketFactory = (options: {
  host: string
  port: number
  ssl: tls.ConnectionOptions | undefined
  onConnect: () => void
}) => net.Socket

interface Logger {
  namespace(name: string): Logger
}

interface Loggers {
  readonly LEVELS: { readonly NOTHING: number; readonly DEBUG: number }
  createLogger(options: { level: number; logCreator: NonNullable<KafkaConfig['logCreator']> }): Logger
}

/** What kafkajs's own client would hand on to its connections. */
export type ConnectionConfig = Omit<
  KafkaConfig,
  'brokers' | 'retry' | 'authenticationTimeout' | 'logLevel' | 'logCreator'
> &
  Required<Pick<KafkaConfig, 'logLevel' | 'logCreator'>>

type New<T> = new (options: object) => T

const { LEVELS, createLogger } = require('kafkajs/src/loggers') as Loggers

/**
 * Makes brokers that are connected, authenticated and asked for their versions by kafkajs, at addresses we choose. Of its modules only these are
 * loaded: producer, consumer and admin with what they need are two thirds of it, and 30 ms of the start of every process.
 */
export function brokerFactory(config: ConnectionConfig): (host: string, port: number) => Broker {
  const Broker = require('kafkajs/src/broker') as New<Broker>
  const ConnectionPool = require('kafkajs/src/network/connectionPool') as New<object>
  cureOnce('kafkajs/src/network/requestQueue', cureRequestQueue)
  cureOnce('kafkajs/src/network/connection', cureFrames)
  const { logLevel: level, logCreator, ...connection } = config
  const logger = createLogger({ level, logCreator })
  return (host, port) =>
    new Broker({ connectionPool: new ConnectionPool({ ...connection, host, port, logger }), logger })
}

export const LOG_LEVELS = { silent: LEVELS.NOTHING, debug: LEVELS.DEBUG } as const

/** What comes is read into this many bytes again and again: whoever gets 'data' copies what it keeps. */
const READ_BYTES = 64 << 10

/** Small writes leave at once, and a socket that closes without an error reports one: kafkajs only listens to 'end' and 'error'. */
export const plainSocket: SocketFactory = ({ host, port, ssl, onConnect }) => {
  const socket = ssl
    ? tls.connect({ host, port, ...(net.isIP(host) ? {} : { servername: host }), ...ssl }, onConnect)
    : net.connect({ host, port, onread: { buffer: Buffer.allocUnsafeSlow(READ_BYTES), callback: received } }, onConnect)
  socket.setNoDelay(true)
  socket.setKeepAlive(true, 60_000)
  return socket
}

function received(this: net.Socket, bytes: number, buffer: Uint8Array): boolean {
  this.emit('data', (buffer as Buffer).subarray(0, bytes))
  return true
}

export function reportingClose(make: SocketFactory): SocketFactory {
  return (options) => {
    const socket = make(options)
    let told = false
    const tell = (): void => {
      told = true
    }
    socket.once('end', tell)
    socket.once('error', tell)
    // Without this, a socket that a middlebox or we ourselves destroyed leaves its requests hanging until they time out.
    socket.once('close', () => {
      if (!told) socket.emit('error', new Error('the connection was closed'))
    })
    return socket
  }
}

interface RequestQueuePrototype {
  pending: unknown[]
  scheduleCheckPendingRequests(): void
}
const CURED = Symbol.for('millrace.kafkajs.cured')

/** Each prototype once, however many copies of this module a process has. */
function cureOnce<P extends object>(module: string, cure: (prototype: P) => void): void {
  const { prototype } = require(module) as { prototype: P }
  if (CURED in prototype) return
  cure(prototype)
  Object.defineProperty(prototype, CURED, { value: true })
}

// kafkajs starts a timer after each answer, mostly with a negative delay: Node 24 prints a warning for it. Nothing pending, no timer.
function cureRequestQueue(prototype: RequestQueuePrototype): void {
  const original = prototype.scheduleCheckPendingRequests
  prototype.scheduleCheckPendingRequests = function (this: RequestQueuePrototype) {
    if (this.pending.length > 0) original.call(this)
  }
}

interface ConnectionPrototype {
  processData(data: Buffer): void
}
interface ConnectionState extends Connection {
  readonly authHandlers: object | null | undefined
}

// kafkajs keeps the pieces of an answer, puts them together when all are there, and keeps the answer until the next one: three times its
// bytes. A login stays kafkajs's own.
function cureFrames(prototype: ConnectionPrototype): void {
  const original = prototype.processData
  const framesOf = new WeakMap<ConnectionState, Frames>()
  prototype.processData = function (this: ConnectionState, data: Buffer) {
    if (this.authHandlers) return original.call(this, Buffer.from(data))
    let frames = framesOf.get(this)
    if (frames === undefined) {
      frames = new Frames((frame) => {
        const answer = { correlationId: frame.readInt32BE(0), payload: frame.subarray(4), size: frame.length }
        this.requestQueue.fulfillRequest(answer)
      })
      framesOf.set(this, frames)
    }
    if (!frames.take(data)) this.socket?.destroy(new Error('what came is no answer of a Kafka broker'))
  }
}

/** @internal For the spec that guards the version and the shape of what is used here. */
export const internals = {
  version: (): string => (require('kafkajs/package.json') as { version: string }).version,
  requestQueue: (): RequestQueuePrototype =>
    (require('kafkajs/src/network/requestQueue') as { prototype: RequestQueuePrototype }).prototype
}
