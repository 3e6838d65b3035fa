/** The wire to a real Kafka: kafkajs opens, secures and authenticates connections; requests and answers are our own bytes. */
import type * as tls from 'node:tls'
import type { KafkaConfig, SASLOptions } from 'kafkajs'
import { MillraceError, TransportError, UnreachableError } from '../errors.ts'
import { type Clock, delay, type Random, systemClock, systemRandom } from '../time.ts'
import {
  brokerFactory,
  type ConnectionConfig,
  LOG_LEVELS,
  plainSocket,
  reportingClose,
  type SocketFactory
} from './kafkajsInternals.ts'
import { Link } from './kafkajsLink.ts'
import { checkKafkaOptions, parseAddress as parse } from './kafkaOptions.ts'
import type { Transport } from './port.ts'
import type { ApiMap } from './protocol/api.ts'
import { createTransport } from './transport.ts'
import { type ApiName, closedError, type Lane, type Node, type Wire } from './wire.ts'

export type { SocketFactory } from './kafkajsInternals.ts'

export interface KafkaWireOptions {
  /** `host:port`, some of the cluster's brokers; the others are learned from them. */
  brokers: string[]
  /** Named in the broker's logs and quotas. Default 'millrace'. */
  clientId?: string
  /** True, or options of `tls.connect`. Default: plain text. */
  ssl?: boolean | tls.ConnectionOptions
  /** The login: mechanism plain, scram-sha-256, scram-sha-512 (username, password), oauthbearer (oauthBearerProvider), aws. */
  sasl?: SASLOptions
  /** Ms for one connection to be made. Default 3 000. */
  connectionTimeoutMs?: number
  /** Ms without an answer after which a connection counts as lost. Default 30 000; calls that park longer raise it. */
  requestTimeoutMs?: number
  /** Ms the first contact is tried before ERR_BROKER_UNREACHABLE. Default 10 000. */
  reachTimeoutMs?: number
  /** What the network layer has to say; default: nothing is printed. */
  log?: (entry: {
    level: 'error' | 'warn' | 'info' | 'debug'
    message: string
    details: Record<string, unknown>
  }) => void
  /** Makes the sockets: a proxy, or faults in tests. */
  socketFactory?: SocketFactory
  /** For pauses and time-outs. Default: the system's. */
  clock?: Clock
}

export interface KafkaTransportOptions extends KafkaWireOptions {
  /** Spreads retries. Default: the system's. */
  random?: Random
}

/**
 * A real Kafka behind the port. Connects lazily; close it to let the process end.
 * @throws ConfigError for an unknown option or a value that cannot work (see KafkaTransportOptions); the first call that needs a broker throws
 *   UnreachableError ERR_BROKER_UNREACHABLE when none answers.
 * @example
 * const transport = kafkaTransport({ brokers: ['localhost:9092'] })
 * await transport.admin.topics()
 */
export function kafkaTransport(options: KafkaTransportOptions): Transport {
  return createTransport(kafkajsWire(options), {
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom
  })
}

/** Connects lazily: nothing happens before the first call. @throws ConfigError as `kafkaTransport` does. */
export function kafkajsWire(options: KafkaWireOptions): Wire {
  return new KafkajsWire(options)
}

class KafkajsWire implements Wire {
  readonly bootstrap: string[]
  readonly reachTimeoutMs: number
  readonly clock: Clock
  /** Set once anything answered: from then on a failure is a broker's restart and no wrong address. */
  reached = false
  controllerId: number | undefined
  readonly #make: ReturnType<typeof brokerFactory>
  #nodes = new Map<number, string>() // node id → address, from the last metadata
  #lanes = new Map<string, KafkajsLane>()
  #closed = false

  constructor(options: KafkaWireOptions) {
    checkKafkaOptions(options)
    this.bootstrap = options.brokers.map((b) => {
      const { host, port } = parse(b)
      return `${host}:${port}`
    })
    this.reachTimeoutMs = options.reachTimeoutMs ?? 10_000
    this.clock = options.clock ?? systemClock
    this.#make = brokerFactory(connectionConfig(options))
  }

  lane(name: string): Lane {
    let lane = this.#lanes.get(name)
    if (!lane) {
      lane = new KafkajsLane(this, () => this.#lanes.delete(name))
      if (this.#closed) void lane.close()
      else this.#lanes.set(name, lane)
    }
    return lane
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#lanes.values()].map((lane) => lane.close()))
  }

  link(address: string): Link {
    const { host, port } = parse(address)
    return new Link(address, () => this.#make(host, port))
  }

  addressOf(node: Node): string | undefined {
    const id = node === 'controller' ? this.controllerId : node
    return typeof id === 'number' ? this.#nodes.get(id) : undefined
  }

  addresses(): string[] {
    return [...new Set([...this.bootstrap, ...this.#nodes.values()])]
  }

  /** Asks for the brokers again: one moved, or is new. */
  async relearn(): Promise<void> {
    await this.lane('control').call('any', 'Metadata', { topics: [] })
  }

  /** Every metadata answer passes here, whoever asked. */
  learn(answer: ApiMap['Metadata']['response']): void {
    this.controllerId = answer.controllerId
    this.#nodes = new Map(answer.brokers.map((b) => [b.nodeId, `${b.host}:${b.port}`]))
  }

  forget(node: Node): void {
    if (node === 'controller') this.controllerId = undefined
    else if (node !== 'any') this.#nodes.delete(node)
  }
}

class KafkajsLane implements Lane {
  readonly #wire: KafkajsWire
  readonly #onClose: () => void
  #links = new Map<string, Link>() // by address
  #reaching: Promise<Link> | undefined
  #rotation = 0
  #closed = false

  constructor(wire: KafkajsWire, onClose: () => void) {
    this.#wire = wire
    this.#onClose = onClose
  }

  async call<A extends ApiName>(
    node: Node,
    api: A,
    request: ApiMap[A]['request'],
    options: { timeoutMs?: number } = {}
  ): Promise<ApiMap[A]['response']> {
    if (this.#closed) throw closedError()
    // No await when connected: two calls made in order are written in order.
    let link = this.#readyLink(node)
    if (!link) {
      link = await (node === 'any' ? this.#reachAny() : this.#reach(node))
      if (this.#closed) throw closedError()
      if (!link.ready) throw new TransportError(`The connection to ${link.address} was lost again.`, 'retriable')
    }
    const answer = await link.send(api, request, options.timeoutMs)
    if (api === 'Metadata') this.#wire.learn(answer as ApiMap['Metadata']['response'])
    return answer
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const link of this.#links.values()) link.close()
    this.#links.clear()
    this.#onClose()
  }

  #readyLink(node: Node): Link | undefined {
    if (node !== 'any') {
      const address = this.#wire.addressOf(node)
      const link = address === undefined ? undefined : this.#links.get(address)
      return link?.ready ? link : undefined
    }
    for (const link of this.#links.values()) if (link.ready) return link
    return undefined
  }

  async #reach(node: Node): Promise<Link> {
    if (this.#wire.addressOf(node) === undefined) await this.#wire.relearn()
    const address = this.#wire.addressOf(node)
    if (address === undefined) {
      throw new TransportError(`Broker ${node} is not among the brokers of the cluster now.`, 'retriable', {
        details: { node }
      })
    }
    try {
      return await this.#open(address)
    } catch (error) {
      this.#wire.forget(node) // it may have moved: look it up before the next try
      throw connectError(address, error)
    }
  }

  async #open(address: string): Promise<Link> {
    if (this.#closed) throw closedError()
    let link = this.#links.get(address)
    if (!link) {
      link = this.#wire.link(address)
      this.#links.set(address, link)
    }
    await link.open()
    this.#wire.reached = true
    return link
  }

  #reachAny(): Promise<Link> {
    this.#reaching ??= this.#tryAll().finally(() => {
      this.#reaching = undefined
    })
    return this.#reaching
  }

  async #tryAll(): Promise<Link> {
    const { clock, reachTimeoutMs } = this.#wire
    const deadline = clock.now() + reachTimeoutMs
    for (let pause = 50; ; pause = Math.min(pause * 2, 1_000)) {
      let failure: unknown
      const addresses = this.#wire.addresses()
      for (let i = 0; i < addresses.length; i++) {
        try {
          return await this.#open(addresses[this.#rotation++ % addresses.length]!)
        } catch (error) {
          failure = error
          if (error instanceof MillraceError || isAuthentication(error)) throw connectError(addresses.join(', '), error)
        }
      }
      // Brokers that did answer once are restarting: callers have their own patience for that.
      if (this.#wire.reached) throw connectError(addresses.join(', '), failure)
      if (clock.now() + pause > deadline) throw this.#unreachable(failure)
      await delay(clock, pause)
      if (this.#closed) throw closedError()
    }
  }

  #unreachable(cause: unknown): UnreachableError {
    const brokers = this.#wire.bootstrap
    return new UnreachableError(
      `No Kafka broker answers at ${brokers.join(', ')}: ${messageOf(cause)}. ` +
        'Check the addresses, that the broker runs, and that its advertised listener can be reached from here.',
      { cause, details: { brokers } }
    )
  }
}

function connectError(address: string, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause
  if (isAuthentication(cause)) {
    return new TransportError(
      `The broker at ${address} refused the login: ${messageOf(cause)}. Check the sasl option.`,
      'fatal',
      {
        code: 'ERR_AUTHENTICATION',
        cause
      }
    )
  }
  return new TransportError(
    `No connection to the broker at ${address}: ${messageOf(cause)}. It is tried again.`,
    'retriable',
    {
      cause,
      details: { address }
    }
  )
}

const isAuthentication = (error: unknown): boolean =>
  error instanceof Error && /SASL/.test(error.name) && !/Timeout/.test(error.name)

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const LABELS = { 1: 'error', 2: 'warn', 4: 'info', 5: 'debug' } as const

function connectionConfig(options: KafkaWireOptions): ConnectionConfig {
  const { log, ssl } = options
  return {
    clientId: options.clientId ?? 'millrace',
    ...(ssl ? { ssl } : {}),
    // A copy: kafkajs writes what it logs in with into it, and who takes his own object for another login would get that.
    ...(options.sasl ? { sasl: { ...options.sasl } } : {}),
    connectionTimeout: options.connectionTimeoutMs ?? 3_000,
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    socketFactory: reportingClose(options.socketFactory ?? plainSocket) as NonNullable<KafkaConfig['socketFactory']>,
    logLevel: log ? LOG_LEVELS.debug : LOG_LEVELS.silent,
    logCreator: () => (entry) => {
      const { message, ...details } = entry.log
      log?.({ level: LABELS[entry.level as keyof typeof LABELS] ?? 'debug', message, details })
    }
  }
}
