/** Options are refused early, with the nearest name and a sentence that mends. */
import { expect } from 'chai'
import { ConfigError } from '../../lib/errors.ts'
import { type MillraceOptions, parseOptions } from '../../lib/options/options.ts'
import { on } from '../../lib/supervise/rules.ts'

const topology = { build: () => ({}) } as unknown as MillraceOptions['topology']
const base: MillraceOptions = { id: 'job', topology, kafka: { brokers: ['localhost:9092'] } }
const refusal = (options: object): ConfigError => {
  try {
    parseOptions({ ...base, ...options } as MillraceOptions)
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigError)
    return error as ConfigError
  }
  throw new Error('was accepted')
}

describe('the options of a runtime', () => {
  it('fill in defaults by guarantee', () => {
    expect(parseOptions(base)).to.include({
      guarantee: 'at-least-once',
      commitIntervalMs: 1_000,
      stateDir: './state/job'
    })
    expect(parseOptions({ ...base, guarantee: 'exactly-once' })).to.include({
      commitIntervalMs: 100,
      transactionTimeoutMs: 90_000
    })
  })

  it('read durations with units', () => {
    expect(parseOptions({ ...base, sessionTimeout: '30s', commitInterval: 250 })).to.include({
      sessionMs: 30_000,
      commitIntervalMs: 250
    })
  })

  it('name the nearest option when one is unknown, also in a section', () => {
    const top = refusal({ comitInterval: 5 })
    expect(top.code).to.equal('ERR_UNKNOWN_OPTION')
    expect(top.message).to.equal('There is no option "comitInterval". Did you mean "commitInterval"?')
    expect(refusal({ shutdown: { drainWithn: 5 } }).message).to.contain('"shutdown.drainWithin"')
    expect(refusal({ kafka: { broker: ['x:1'] } }).message).to.contain('"kafka.brokers"')
  })

  it('list what there is when nothing is near', () => {
    expect(refusal({ zzzzzzzz: 1 }).message).to.match(/Known options here: .*cacheBytes, .*guarantee/)
  })

  const wrong: [options: object, message: RegExp][] = [
    [{ id: '../up' }, /Option "id" is "\.\.\/up"/],
    [{ id: '..' }, /Option "id"/],
    [{ id: undefined }, /Option "id" is undefined/],
    [{ topology: {} }, /Option "topology" is an object\. Give a behaviour, a Topology/],
    [{ sessionTimeout: '30 seconds' }, /Option "sessionTimeout" is "30 seconds"\. Give a duration/],
    [{ guarantee: 'exactly_once' }, /did you mean 'exactly-once'/],
    [{ cacheBytes: -1 }, /Option "cacheBytes" is -1/],
    [{ standbys: -1 }, /Option "standbys" is -1/],
    [{ standbys: 1, store: 'memory' }, /standbys keep copies on disk/],
    [{ replicationFactor: 0 }, /Option "replicationFactor" is 0/],
    [{ store: 'rocks' }, /one of 'rocksdb-native'/],
    [{ kafka: { brokers: [] } }, /Option "kafka.brokers" is an array/],
    [{ kafka: undefined }, /There is no option "kafka"/],
    [{ transport: { reader() {}, group() {}, txnProducer() {} } }, /Both "kafka" and "transport"/],
    [{ supervise: { rules: [1] } }, /Option "supervise.rules"/],
    [{ heartbeatInterval: '20s' }, /more than a third of sessionTimeout/],
    [{ guarantee: 'exactly-once', transactionTimeout: '50s' }, /longer than rebalanceTimeout/],
    [{ guarantee: 'exactly-once', commitInterval: '5m' }, /longer than commitInterval/]
  ]
  for (const [options, message] of wrong) {
    it(`refuse ${JSON.stringify(options)} and say what to give`, () => {
      const error = refusal(options)
      expect(error.code).to.equal('ERR_OPTION')
      expect(error.message).to.match(message)
    })
  }

  it('ask the rules of the user before the defaults', () => {
    const rule = on(RangeError).stop()
    expect(parseOptions({ ...base, supervise: { rules: [rule] } }).rules[0]).to.equal(rule)
  })
})
