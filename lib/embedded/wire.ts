/**
 * The broker's side of a connection: requests of one lane to one node are taken one after another, as a socket would, so a
 * parked JoinGroup or a long Fetch holds up what stands behind it.
 */
import { type MillraceError, TransportError } from '../errors.ts'
import type { ApiMap } from '../kafka/protocol/api.ts'
import { type ApiName, closedError, type Lane, type Node, type Wire } from '../kafka/wire.ts'
import { nextTurn } from '../time.ts'
import type { Timers } from './timers.ts'

/** What a test does to one call; several at once are allowed. */
export interface WireFault {
  /** The connection cannot be made: 'retriable', the broker never sees the request. */
  refuse?: boolean
  /** The connection breaks: 'unknown-outcome', before the broker has seen the 'request', or after, on the way of the 'answer'. */
  lose?: 'request' | 'answer'
  /** Held so long before the broker sees it; what stands behind it on the connection waits too. */
  delayMs?: number
  /** Handled twice; the second answer counts. */
  twice?: boolean
  /** Given instead of handling the request. */
  answer?: unknown
}

export interface WireCall {
  readonly client: string
  readonly lane: string
  readonly node: number
  readonly api: ApiName
  readonly request: unknown
}

/** Asked for each call, before the broker sees it. Undefined = no fault. */
export type FaultFn = (call: WireCall) => WireFault | undefined

export interface WireOptions {
  /** Names the client in calls to the fault function. */
  client: string
  timers: Timers
  /** Milliseconds from call to answer, over and above the handling. */
  latency: () => number
  fault: () => FaultFn | undefined
  handle<A extends ApiName>(
    node: number,
    api: A,
    request: ApiMap[A]['request']
  ): ApiMap[A]['response'] | Promise<ApiMap[A]['response']>
}

/** The node that 'any' and 'controller' mean. */
const FIRST_NODE = 1
/** Answers in a row before the event loop gets a turn: promises alone would starve sockets and timers. */
const ANSWERS_A_TURN = 32

export class EmbeddedWire implements Wire {
  readonly #options: WireOptions
  #lanes = new Map<string, EmbeddedLane>()
  #closed = false

  constructor(options: WireOptions) {
    this.#options = options
  }

  lane(name: string): Lane {
    let lane = this.#lanes.get(name)
    if (!lane) {
      lane = new EmbeddedLane(name, this.#options, () => this.#lanes.delete(name))
      if (this.#closed) void lane.close()
      else this.#lanes.set(name, lane)
    }
    return lane
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#lanes.values()].map((lane) => lane.close()))
  }
}

class EmbeddedLane implements Lane {
  readonly #name: string
  readonly #options: WireOptions
  readonly #onClose: () => void
  #connections = new Map<string, Connection>()
  #closed = false

  constructor(name: string, options: WireOptions, onClose: () => void) {
    this.#name = name
    this.#options = options
    this.#onClose = onClose
  }

  call<A extends ApiName>(node: Node, api: A, request: ApiMap[A]['request']): Promise<ApiMap[A]['response']> {
    if (this.#closed) return Promise.reject(closedError())
    const id = typeof node === 'number' ? node : FIRST_NODE
    // As on a real connection pool, fetches have a socket of their own.
    const key = api === 'Fetch' ? `${id}f` : `${id}`
    const connection = this.#connections.get(key) ?? new Connection(this.#name, id, this.#options)
    this.#connections.set(key, connection)
    return connection.send(api, request) as Promise<ApiMap[A]['response']>
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#onClose()
    for (const connection of this.#connections.values()) connection.close()
  }
}

interface Call {
  readonly api: ApiName
  readonly request: never
  readonly arrives: number
  readonly resolve: (answer: never) => void
  readonly reject: (error: MillraceError) => void
}

class Connection {
  readonly #lane: string
  readonly #node: number
  readonly #options: WireOptions
  #queue: Call[] = []
  #open = new Set<Call>() // asked and not answered
  #running = false
  #answers = 0
  #closed = false

  constructor(lane: string, node: number, options: WireOptions) {
    this.#lane = lane
    this.#node = node
    this.#options = options
  }

  send(api: ApiName, request: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const arrives = this.#options.timers.clock.now() + this.#options.latency() / 2
      const call: Call = { api, request: request as never, arrives, resolve, reject }
      this.#queue.push(call)
      this.#open.add(call)
      if (!this.#running) void this.#run()
    })
  }

  close(): void {
    this.#closed = true
    this.#queue = []
    for (const call of this.#open) call.reject(closedError())
    this.#open.clear()
  }

  async #run(): Promise<void> {
    this.#running = true
    await Promise.resolve() // never in the caller's own stack
    for (let call = this.#queue.shift(); call; call = this.#queue.shift()) {
      if (++this.#answers % ANSWERS_A_TURN === 0) await nextTurn()
      await this.#until(call.arrives)
      await this.#serve(call)
      if (this.#closed) break
    }
    this.#running = false
  }

  async #serve(call: Call): Promise<void> {
    const { api, request } = call
    const fault = this.#options.fault()?.({
      client: this.#options.client,
      lane: this.#lane,
      node: this.#node,
      api,
      request
    })
    try {
      if (fault?.delayMs) await this.#until(this.#options.timers.clock.now() + fault.delayMs)
      if (fault?.refuse) return this.#fail(call, 'retriable', `Node ${this.#node} refused the connection for ${api}`)
      if (fault?.lose === 'request') return this.#fail(call, 'unknown-outcome', `The connection was lost during ${api}`)
      if (fault?.twice) await this.#options.handle(this.#node, api, request)
      const answer = fault?.answer ?? (await this.#options.handle(this.#node, api, request))
      if (fault?.lose === 'answer') return this.#fail(call, 'unknown-outcome', `The connection was lost during ${api}`)
      const latency = this.#options.latency() / 2
      if (latency <= 0) this.#answer(call, answer)
      else this.#options.timers.after(latency, () => this.#answer(call, answer))
    } catch (cause) {
      if (this.#open.delete(call)) {
        call.reject(
          new TransportError(
            `The embedded log failed at ${api}; this is a defect of Millrace, please report it`,
            'fatal',
            {
              cause
            }
          )
        )
      }
    }
  }

  #answer(call: Call, answer: unknown): void {
    if (this.#open.delete(call)) call.resolve(answer as never)
  }

  #fail(call: Call, fault: 'retriable' | 'unknown-outcome', message: string): void {
    if (this.#open.delete(call)) call.reject(new TransportError(message, fault))
  }

  #until(time: number): Promise<void> | undefined {
    const wait = time - this.#options.timers.clock.now()
    if (wait <= 0) return undefined
    return new Promise((resolve) => {
      this.#options.timers.after(wait, resolve)
    })
  }
}
