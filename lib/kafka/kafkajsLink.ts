/** One connection of a lane to one broker: opened when needed, thrown away when lost, never repaired. */
import { TransportError } from '../errors.ts'
import type { Broker } from './kafkajsInternals.ts'
import type { ApiMap } from './protocol/api.ts'
import { ByteReader, ByteWriter } from './protocol/bytes.ts'
import { codecs } from './protocol/requests/index.ts'
import { type ApiName, closedError } from './wire.ts'

/** Repeating these changes nothing, so losing their answer leaves no doubt. */
const HARMLESS: ReadonlySet<ApiName> = new Set<ApiName>([
  'Metadata',
  'FindCoordinator',
  'Fetch',
  'ListOffsets',
  'OffsetFetch',
  'Heartbeat',
  'DescribeConfigs',
  'DescribeGroup'
])

export class Link {
  readonly address: string
  readonly #make: () => Broker
  #broker: Broker | undefined // undefined unless it is connected, as far as we know
  #opening: Promise<void> | undefined
  #closed = false

  constructor(address: string, make: () => Broker) {
    this.address = address
    this.#make = make
  }

  /** True when a request can be written now. */
  get ready(): boolean {
    const connection = this.#broker?.connectionPool.pool[0]
    if (!connection?.isConnected() || connection.socket?.destroyed) return false
    return !connection.sasl || connection.isAuthenticated()
  }

  /** Connects once for all who wait. @throws what kafkajs throws. */
  open(): Promise<void> {
    if (this.ready) return Promise.resolve()
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #connect(): Promise<void> {
    // A lost or expired connection is replaced, not reconnected: kafkajs ends the *current* socket of a connection some ticks after
    // the loss, which by then would be the new one; and renewing a SASL session in place takes answers in flight for its own.
    const old = this.#broker
    this.#broker = undefined
    if (old) retire(old)
    const broker = this.#make()
    try {
      await broker.connect()
    } catch (error) {
      // kafkajs gives up waiting, but its socket goes on connecting and would keep the process alive.
      broker.connectionPool.pool[0]?.socket?.destroy()
      throw error
    }
    if (this.#closed) {
      retire(broker)
      throw closedError()
    }
    this.#broker = broker
  }

  /** Call only when `ready`: writes before it returns, so that calls keep their order. */
  send<A extends ApiName>(
    api: A,
    request: ApiMap[A]['request'],
    timeoutMs: number | undefined
  ): Promise<ApiMap[A]['response']> {
    const codec = codecs[api]
    const broker = this.#broker!
    const connection = broker.connectionPool.pool[0]!
    const range = broker.versions[codec.key]
    if (!range || range.minVersion > codec.version || range.maxVersion < codec.version) {
      return Promise.reject(
        new TransportError(
          `The broker at ${this.address} does not speak ${api} version ${codec.version}` +
            `${range ? ` (it speaks ${range.minVersion} to ${range.maxVersion})` : ''}. Use Apache Kafka 2.5 or newer.`,
          'fatal',
          { details: { api, version: codec.version, broker: this.address } }
        )
      )
    }
    return new Promise((resolve, reject) => {
      const correlationId = connection.nextCorrelationId()
      const pieces = encode(api, request, correlationId, connection.clientId)
      let written = false
      connection.requestQueue.push({
        entry: {
          apiKey: codec.key,
          apiName: api,
          apiVersion: codec.version,
          correlationId,
          resolve: ({ payload }) => {
            try {
              const from = new ByteReader(payload)
              if (codec.flexible) from.tags()
              resolve(codec.decode(from))
            } catch (error) {
              reject(error)
            }
          },
          reject: (error) => {
            // After a time-out the stream may be stuck for good; whoever repeats the request must not queue up behind it.
            if (error.name === 'KafkaJSRequestTimeoutError') connection.socket?.destroy()
            reject(this.#lost(api, error, written))
          }
        },
        expectResponse: true,
        requestTimeout: timeoutMs ?? null,
        sendRequest: () => {
          written = true
          const socket = connection.socket!
          socket.cork() // one call to the system for all of them
          for (const piece of pieces) socket.write(piece)
          socket.uncork()
        }
      })
    })
  }

  #lost(api: ApiName, cause: Error, written: boolean): TransportError {
    if (cause instanceof TransportError) return cause
    const sure = !written || HARMLESS.has(api)
    return new TransportError(
      `${api} to the broker at ${this.address} got no answer: ${cause.message}.` +
        (sure ? ' It can be repeated.' : ' Whether it took effect is not known.'),
      sure ? 'retriable' : 'unknown-outcome',
      { cause, details: { api, broker: this.address } }
    )
  }

  close(): void {
    this.#closed = true
    const broker = this.#broker
    this.#broker = undefined
    if (!broker) return
    broker.connectionPool.pool[0]!.rejectRequests(closedError())
    retire(broker)
    broker.connectionPool.pool[0]!.socket?.destroy()
  }
}

// Lets requests in flight finish, then ends the socket. Its failure is nobody's concern any more.
function retire(broker: Broker): void {
  broker.disconnect().catch(() => {})
}

function encode<A extends ApiName>(
  api: A,
  request: ApiMap[A]['request'],
  correlationId: number,
  clientId: string
): Buffer[] {
  const codec = codecs[api]
  const to = new ByteWriter()
  to.int32(0).int16(codec.key).int16(codec.version).int32(correlationId).string(clientId)
  if (codec.flexible) to.tags()
  codec.encode(to, request)
  to.int32At(0, to.length - 4)
  return to.pieces()
}
