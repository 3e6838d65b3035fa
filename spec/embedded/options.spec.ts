import { expect } from 'chai'
import { type EmbeddedTransportOptions, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { ConfigError } from '../../lib/errors.ts'
import { VirtualClock } from '../../lib/time.ts'

const refusal = (options: object): string => {
  try {
    void embeddedTransport(options).close()
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigError)
    return (error as ConfigError).message
  }
  throw new Error('it was accepted')
}

describe('embedded log: options', () => {
  it('refuses an option it does not know and names the nearest', () => {
    expect(refusal({ latency: 3 })).to.include('Did you mean "latencyMs"?')
    expect(refusal({ brokr: undefined })).to.include('Did you mean "broker"?')
    expect(() => embeddedBroker({ node: 3 } as object)).to.throw(ConfigError, 'Did you mean "nodes"?')
  })

  const WRONG: readonly [EmbeddedTransportOptions | object, string][] = [
    [{ nodes: 0 }, 'nodes'],
    [{ nodes: 1.5 }, 'nodes'],
    [{ latencyMs: -1 }, 'latencyMs'],
    [{ latencyMs: Number.NaN }, 'latencyMs'],
    [{ autoCreate: true }, 'autoCreate'],
    [{ autoCreate: 0 }, 'autoCreate'],
    [{ defaultPartitions: '3' }, 'defaultPartitions'],
    [{ cleanEveryMs: 2 ** 31 }, 'cleanEveryMs'],
    [{ maxTransactionTimeoutMs: 0 }, 'maxTransactionTimeoutMs'],
    [{ clock: {} }, 'clock'],
    [{ random: 4 }, 'random'],
    [{ client: '' }, 'client'],
    [{ broker: {} }, 'broker']
  ]
  for (const [options, name] of WRONG) {
    it(`refuses ${name}: ${Object.values(options).map((value) => (typeof value === 'object' ? '{}' : String(value)))}`, () => {
      expect(refusal(options)).to.include(`"${name}"`)
    })
  }

  it('refuses options of the broker beside a broker, which would ignore them', async () => {
    const broker = embeddedBroker()
    expect(refusal({ broker, latencyMs: 5 }))
      .to.include('latencyMs')
      .and.include('embeddedBroker()')
    await broker.close()
  })

  it("runs on its broker's clock", async () => {
    const clock = new VirtualClock(0)
    const broker = embeddedBroker({ clock, latencyMs: 100 })
    const transport = embeddedTransport({ broker })
    let topics: string[] | undefined
    const asked = transport.admin.topics().then((names) => {
      topics = names
    })
    await clock.advance(99)
    expect(topics).to.equal(undefined)
    await clock.advance(1)
    await asked
    expect(topics).to.deep.equal([])
    await transport.close()
    await broker.close()
  })
})
