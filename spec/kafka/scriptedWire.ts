/** A wire without a broker: each API is answered by the spec's own function. */
import { TransportError } from '../../lib/errors.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import type { ApiName, Lane, Node, Wire } from '../../lib/kafka/wire.ts'

type Answer<A extends ApiName> = (
  request: ApiMap[A]['request'],
  call: { lane: string; node: Node }
) => Promise<ApiMap[A]['response']>

export class ScriptedWire implements Wire {
  readonly calls: { lane: string; node: Node; api: ApiName; request: unknown }[] = []
  #answers = new Map<ApiName, Answer<ApiName>>()

  on<A extends ApiName>(api: A, answer: Answer<A>): void {
    this.#answers.set(api, answer as unknown as Answer<ApiName>)
  }

  count(api: ApiName): number {
    return this.calls.filter((c) => c.api === api).length
  }

  lane(name: string): Lane {
    let close!: () => void
    const closed = new Promise<never>((_, reject) => {
      close = () => reject(new TransportError('closed', 'fatal', { code: 'ERR_TRANSPORT_CLOSED' }))
    })
    closed.catch(() => {})
    return {
      call: async (node, api, request) => {
        this.calls.push({ lane: name, node, api, request })
        const answer = this.#answers.get(api)
        if (!answer) throw new Error(`the spec has no answer for ${api}`)
        return (await Promise.race([answer(request as never, { lane: name, node }), closed])) as never
      },
      close: async () => close()
    }
  }

  async close(): Promise<void> {}
}
