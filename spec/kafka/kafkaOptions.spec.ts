import { expect } from 'chai'
import { ConfigError } from '../../lib/errors.ts'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'

const brokers = ['localhost:9092']
const refusal = (options: unknown): ConfigError => {
  try {
    void kafkaTransport(options as never).close()
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigError)
    return error as ConfigError
  }
  throw new Error('it was accepted')
}

describe('options of a Kafka transport', () => {
  it('takes what its documentation names', async () => {
    const sasl = { mechanism: 'scram-sha-512', username: 'u', password: 'p' } as const
    for (const options of [
      { brokers },
      { brokers: [' [::1]:9092 ', 'kafka.example.com:65535'], clientId: 'c', ssl: true, sasl },
      {
        brokers,
        ssl: { rejectUnauthorized: false },
        connectionTimeoutMs: 1,
        requestTimeoutMs: 60_000,
        reachTimeoutMs: 0
      },
      { brokers, log: () => {}, random: () => 0.5 }
    ]) {
      await kafkaTransport(options).close()
    }
  })

  it('refuses a misspelt option and names the nearest', () => {
    const error = refusal({ brokers, clientID: 'x' })
    expect(error.code).to.equal('ERR_UNKNOWN_OPTION')
    expect(error.message).to.include('Did you mean "clientId"?')
  })

  const WRONG: readonly [object | undefined, string][] = [
    [undefined, 'options'],
    [{}, 'brokers'],
    [{ brokers: [] }, 'brokers'],
    [{ brokers: 'localhost:9092' }, 'brokers'],
    [{ brokers: ['localhost'] }, 'brokers'],
    [{ brokers: ['localhost:0'] }, 'brokers'],
    [{ brokers: [null] }, 'brokers'],
    [{ brokers, ssl: 'yes' }, 'ssl'],
    [{ brokers, clientId: '' }, 'clientId'],
    [{ brokers, requestTimeoutMs: 0 }, 'requestTimeoutMs'],
    [{ brokers, requestTimeoutMs: '30s' }, 'requestTimeoutMs'],
    [{ brokers, connectionTimeoutMs: 2 ** 31 }, 'connectionTimeoutMs'],
    [{ brokers, sasl: { mechanism: 'scram-512', username: 'u', password: 'p' } }, 'sasl.mechanism'],
    [{ brokers, sasl: { mechanism: 'plain', username: 'u' } }, 'sasl.password'],
    [{ brokers, sasl: { mechanism: 'oauthbearer' } }, 'sasl.oauthBearerProvider'],
    [{ brokers, log: 'debug' }, 'log'],
    [{ brokers, clock: {} }, 'clock']
  ]
  for (const [options, name] of WRONG) {
    it(`refuses ${name} in ${JSON.stringify(options)}`, () => {
      expect(refusal(options).details.option).to.equal(name)
    })
  }

  it('never shows what stands in place of a secret', () => {
    const error = refusal({ brokers, sasl: { mechanism: 'plain', username: 'u', password: 73_11 } })
    expect(error.message).to.include('sasl.password').and.not.include('7311')
  })
})
