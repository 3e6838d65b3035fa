/** A wire with faults on order: lost requests, lost answers, made-up codes, held calls; and a log of what was asked. */
import { TransportError } from '../../lib/errors.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import type { ApiName, Lane, Node, Wire } from '../../lib/kafka/wire.ts'

export interface Call<A extends ApiName = ApiName> {
  readonly lane: string
  readonly node: Node
  readonly api: A
  readonly request: ApiMap[A]['request']
  /** Sends it on. */
  forward(): Promise<ApiMap[A]['response']>
}

export type Fault<A extends ApiName> = (call: Call<A>) => Promise<ApiMap[A]['response']>

const lost = (): TransportError => new TransportError('The connection was lost (by the spec)', 'unknown-outcome')

/** The request takes effect, its answer never comes. */
export async function loseAnswer<A extends ApiName>(call: Call<A>): Promise<never> {
  await call.forward()
  throw lost()
}

/** The request was written and did not arrive. */
export async function loseRequest(): Promise<never> {
  throw lost()
}

/** The connection could not be made. */
export async function refuse(): Promise<never> {
  throw new TransportError('The connection was refused (by the spec)', 'retriable')
}

/** The broker is not asked. */
export const answer =
  <A extends ApiName>(response: ApiMap[A]['response']): Fault<A> =>
  async () =>
    response

/** Holds a call until told to go on: `await arrived`, look around, then `release()`. */
export function hold<A extends ApiName>(
  then: Fault<A> = (call) => call.forward()
): {
  fault: Fault<A>
  arrived: Promise<Call<A>>
  release(): void
} {
  let arrive!: (call: Call<A>) => void
  let release!: () => void
  const arrived = new Promise<Call<A>>((resolve) => {
    arrive = resolve
  })
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  return {
    arrived,
    release,
    fault: async (call) => {
      arrive(call)
      await released
      return then(call)
    }
  }
}

export class FaultyWire implements Wire {
  /** Everything asked so far, in order. */
  readonly calls: Call[] = []
  readonly #inner: Wire
  #once = new Map<ApiName, Fault<ApiName>[]>()
  #always = new Map<ApiName, Fault<ApiName>>()
  #lanes = new Map<string, Lane>()

  constructor(inner: Wire) {
    this.#inner = inner
  }

  /** The next call of `api` (one that has no fault yet) meets this; several queue up. */
  next<A extends ApiName>(api: A, ...faults: Fault<NoInfer<A>>[]): void {
    const queue = this.#once.get(api) ?? []
    queue.push(...(faults as unknown as Fault<ApiName>[]))
    this.#once.set(api, queue)
  }

  /** Every call of `api` meets this, until `heal`. */
  always<A extends ApiName>(api: A, fault: Fault<NoInfer<A>>): void {
    this.#always.set(api, fault as unknown as Fault<ApiName>)
  }

  heal(...apis: ApiName[]): void {
    for (const api of apis.length > 0 ? apis : [...this.#always.keys(), ...this.#once.keys()]) {
      this.#always.delete(api)
      this.#once.delete(api)
    }
  }

  count(api: ApiName): number {
    return this.calls.filter((call) => call.api === api).length
  }

  lane(name: string): Lane {
    let lane = this.#lanes.get(name)
    if (!lane) {
      lane = {
        call: (node, api, request, options) => {
          const inner = this.#inner.lane(name)
          const call = { lane: name, node, api, request, forward: () => inner.call(node, api, request, options) }
          this.calls.push(call as unknown as Call)
          const fault = this.#once.get(api)?.shift() ?? this.#always.get(api)
          return (fault ? fault(call as unknown as Call) : call.forward()) as ReturnType<typeof call.forward>
        },
        close: () => {
          this.#lanes.delete(name)
          return this.#inner.lane(name).close()
        }
      }
      this.#lanes.set(name, lane)
    }
    return lane
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
