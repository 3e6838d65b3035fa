/** Supervision decisions as tables: rules in, directive out, no clock and no dice but those given. */
import { expect } from 'chai'
import fc from 'fast-check'
import {
  ConfigError,
  DecodeError,
  EncodeError,
  FencedError,
  ProcessingError,
  StateDirectoryError,
  StoreCorruptedError,
  TopicError,
  TopologyError,
  TransportError,
  UnreachableError
} from '../../lib/errors.ts'
import { backoffMs, exponential } from '../../lib/supervise/backoff.ts'
import { type Budget, decide, FULL_BUDGET, spend } from '../../lib/supervise/decide.ts'
import { DEFAULT_RULES } from '../../lib/supervise/defaults.ts'
import { describeRules, on } from '../../lib/supervise/rules.ts'

const middle = () => 0.5

describe('supervision', () => {
  const table: [name: string, error: unknown, kind: string][] = [
    ['a decode error', new DecodeError('x'), 'escalate'],
    ['an encode error', new EncodeError('x'), 'escalate'],
    ['an error of user code', new ProcessingError('x'), 'escalate'],
    ['a topology error', new TopologyError('x'), 'escalate'],
    ['a topic error', new TopicError('x'), 'escalate'],
    ['a wrong option', new ConfigError('x'), 'escalate'],
    ['a locked state directory', new StateDirectoryError('x'), 'escalate'],
    ['a fence', new FencedError('x'), 'release'],
    ['the fault fenced', new TransportError('x', 'fenced'), 'release'],
    ['the fault stale-member', new TransportError('x', 'stale-member'), 'release'],
    ['the fault fatal', new TransportError('x', 'fatal'), 'escalate'],
    ['the fault unknown-outcome', new TransportError('x', 'unknown-outcome'), 'restart'],
    ['the fault retriable', new TransportError('x', 'retriable'), 'restart'],
    ['an unreachable broker', new UnreachableError('x'), 'restart'],
    ['a damaged store', new StoreCorruptedError('x'), 'restart'],
    ['any other error', new Error('x'), 'restart'],
    ['a thrown value that is no error', 'oops', 'escalate']
  ]
  for (const [name, error, kind] of table) {
    it(`answers ${name} with ${kind} by default`, () => {
      expect(decide(DEFAULT_RULES, error, FULL_BUDGET, 0, middle).kind).to.equal(kind)
    })
  }

  it('wipes the store only when the store is damaged', () => {
    expect(decide(DEFAULT_RULES, new StoreCorruptedError('x'), FULL_BUDGET, 0, middle)).to.include({ wipe: true })
    expect(decide(DEFAULT_RULES, new TransportError('x', 'unknown-outcome'), FULL_BUDGET, 0, middle)).to.include({
      wipe: false
    })
  })

  it('takes the first rule that matches, by class or predicate', () => {
    const rules = [on((e) => (e as Error).message === 'soft').stop(), on(TypeError).escalate(), on(Error).release()]
    expect(decide(rules, new TypeError('soft'), FULL_BUDGET, 0, middle).kind).to.equal('stop')
    expect(decide(rules, new TypeError('hard'), FULL_BUDGET, 0, middle).kind).to.equal('escalate')
    expect(decide(rules, new Error('other'), FULL_BUDGET, 0, middle).kind).to.equal('release')
  })

  it('escalates a failure that no rule matches, and does not fail with a predicate that throws', () => {
    const broken = on(() => {
      throw new Error('bug')
    }).stop()
    expect(decide([broken], new Error('x'), FULL_BUDGET, 0, middle)).to.deep.equal({
      kind: 'escalate',
      exhausted: false
    })
  })

  it('never restarts with a limit of 0', () => {
    const rules = [on(Error).restart({ limit: { restarts: 0, within: '1m' } })]
    expect(decide(rules, new Error('x'), FULL_BUDGET, 0, middle)).to.deep.equal({ kind: 'escalate', exhausted: true })
  })

  it('stops instead of escalating when the rule says so', () => {
    const rules = [on(Error).restart({ limit: { restarts: 0, within: '1m' }, otherwise: 'stop' })]
    expect(decide(rules, new Error('x'), FULL_BUDGET, 0, middle).kind).to.equal('stop')
  })

  it('counts restarts within the window only, but keeps the back-off growing until there is progress', () => {
    const rules = [
      on(Error).restart({
        backoff: exponential('1s', '8s', { jitter: 0 }),
        limit: { restarts: 2, within: '10s' }
      })
    ]
    let budget: Budget = FULL_BUDGET
    const kinds: unknown[] = []
    for (const now of [0, 1_000, 2_000, 20_000]) {
      const decision = decide(rules, new Error('x'), budget, now, middle)
      budget = spend(budget, decision, now)
      kinds.push(decision.kind === 'restart' ? decision.delayMs : decision.kind)
    }
    expect(kinds).to.deep.equal([1_000, 2_000, 'escalate', 4_000])
  })

  it('waits min(max, min · 2ⁿ) with at most the jitter on top, in milliseconds', () => {
    expect(backoffMs(exponential('1s', '1m', { jitter: 0 }), 3, middle)).to.equal(8_000)
    fc.assert(
      fc.property(fc.nat(2_000), fc.double({ min: 0, max: 0.999, noNaN: true }), (n, dice) => {
        const wait = backoffMs(exponential('1s', '1m', { jitter: 0.2 }), n, () => dice)
        const plain = Math.min(60_000, 1_000 * 2 ** n)
        return wait >= plain && wait <= Math.ceil(plain * 1.2)
      })
    )
  })

  it('refuses limits and back-offs that cannot work', () => {
    expect(() => on(Error).restart({ limit: { restarts: -1, within: '1m' } })).to.throw(ConfigError, /whole number/)
    expect(() => on(Error).restart({ backoff: exponential('2s', '1s') })).to.throw(ConfigError, /min <= max/)
  })

  it('gives rules as frozen data that print as one line each', () => {
    const rule = on(TypeError).restart({ wipe: true })
    expect(Object.isFrozen(rule)).to.equal(true)
    expect(Object.isFrozen(rule.directive)).to.equal(true)
    expect(describeRules([rule, on(Error).stop()])).to.equal(
      'TypeError → restart with wipe, 1000–60000 ms apart, 8 within 600000 ms, then escalate\nError → stop'
    )
  })
})
