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
import { type Budget, decide, decideRecord, FULL_BUDGET, spend } from '../../lib/supervise/decide.ts'
import { DEFAULT_RULES } from '../../lib/supervise/defaults.ts'
import {
  checkRules,
  deadLetter,
  describeRules,
  on,
  type RetryOptions,
  type Rule,
  skip
} from '../../lib/supervise/rules.ts'

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

  it("counts restarts until there is progress, or the task has run for the rule's time: waiting gives none back", () => {
    const rules = [
      on(Error).restart({
        backoff: exponential('1s', '8s', { jitter: 0 }),
        limit: { restarts: 2, within: '10s' }
      })
    ]
    let budget: Budget = FULL_BUDGET
    const kinds: unknown[] = []
    for (const liveMs of [0, 9_999, 0, 0, 10_000]) {
      const decision = decide(rules, new Error('x'), budget, liveMs, middle)
      budget = spend(budget, decision)
      kinds.push(decision.kind === 'restart' ? decision.delayMs : decision.kind)
    }
    expect(kinds).to.deep.equal([1_000, 2_000, 'escalate', 'escalate', 1_000])
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

  it('never restarts without end: whatever the rule, failures without progress come to an end', () => {
    const rule = fc.record({
      restarts: fc.nat(20),
      within: fc.integer({ min: 1, max: 1_000_000 }),
      min: fc.nat(1_000)
    })
    fc.assert(
      fc.property(rule, fc.array(fc.nat(), { minLength: 25, maxLength: 25 }), ({ restarts, within, min }, lives) => {
        const rules = [on(Error).restart({ backoff: exponential(min, min), limit: { restarts, within } })]
        let budget: Budget = FULL_BUDGET
        const kinds = lives.map((live) => {
          const poison = live % 2 === 0
          const error = poison ? new ProcessingError('x') : new TransportError('x', 'retriable')
          const decision = decide(rules, error, budget, poison ? live : live % within, middle)
          budget = spend(budget, decision)
          return decision.kind
        })
        return kinds.indexOf('escalate') === restarts
      })
    )
  })

  it('decides on a record from the inner scope to the outer; escalate hands on', () => {
    const x = new ProcessingError('x', { cause: new TypeError('odd') })
    const decide_ = (scopes: Rule[][], attempt = 1) => decideRecord(scopes, x, attempt, middle)
    expect(decide_([[on(TypeError).skip()], [on(Error).stop()]])).to.deep.equal({ kind: 'skip' })
    expect(decide_([[on(RangeError).skip()], [on(Error).stop()]])).to.deep.equal({
      kind: 'fail',
      directive: { kind: 'stop' }
    })
    expect(decide_([[on(TypeError).escalate(), on(Error).stop()], [on(Error).skip()]])).to.deep.equal({ kind: 'skip' })
    expect(decide_([[on(Error).escalate()]])).to.deep.equal({ kind: 'fail', directive: { kind: 'escalate' } })
    expect(decide_([])).to.deep.equal({ kind: 'fail', directive: { kind: 'escalate' } })
  })

  it('repeats a record as often as the rule says, with a growing pause, then does what comes otherwise', () => {
    const x = new ProcessingError('x')
    const backoff = exponential(100, 300, { jitter: 0 })
    const run = (otherwise: RetryOptions['otherwise'] | undefined) =>
      [1, 2, 3, 4].map((attempt) => {
        const more = otherwise === undefined ? {} : { otherwise }
        const rules = [on(Error).retry({ times: 3, backoff, ...more })]
        const decision = decideRecord([rules, [on(Error).release()]], x, attempt, middle)
        return decision.kind === 'retry' ? decision.delayMs : decision
      })
    expect(run(undefined)).to.deep.equal([100, 200, 300, { kind: 'fail', directive: { kind: 'release' } }])
    expect(run('stop').at(-1)).to.deep.equal({ kind: 'fail', directive: { kind: 'stop' } })
    expect(run(skip({ to: deadLetter('dead') })).at(-1)).to.deep.equal({ kind: 'skip', to: { topic: 'dead' } })
  })

  it('passes over rules about records when the failure is none of a record', () => {
    const rules = [on(Error).skip(), on(Error).retry({ times: 1 }), on(Error).stop()]
    expect(decide(rules, new TransportError('x', 'retriable'), FULL_BUDGET, 0, middle).kind).to.equal('stop')
  })

  it('refuses unknown words and options, with the nearest one', () => {
    const any = on(Error) as unknown as Record<string, (options?: object) => Rule>
    expect(() => any.retri!()).to.throw(ConfigError, 'Did you mean "retry"?')
    expect(() => any.skip!({ too: 'x' })).to.throw(ConfigError, 'Did you mean "skip.to"?')
    expect(() => any.retry!({ tims: 3 })).to.throw(ConfigError, 'Did you mean "retry.times"?')
    expect(() => any.retry!({ times: 3, order: 'keys' })).to.throw(ConfigError, "did you mean 'key'?")
    expect(() => any.retry!({ times: 0 })).to.throw(ConfigError, 'at least 1')
    expect(() => any.restart!({ otherwise: 'stopp' })).to.throw(ConfigError, "did you mean 'stop'?")
    expect(() => on('Error' as never)).to.throw(ConfigError, 'a class of errors')
    expect(() => deadLetter('')).to.throw(ConfigError, 'not empty')
  })

  it('refuses a retry by key outside of a node, and says why', () => {
    const rules = [on(Error).retry({ times: 1, order: 'key' })]
    expect(checkRules(rules, 'supervise', 'node')).to.have.length(1)
    expect(() => checkRules(rules, 'supervise.rules', 'outer')).to.throw(ConfigError, /kept in a store of the node/)
    const odd = [{ when: Error, name: 'Error', directive: { kind: 'skipp' } }]
    expect(() => checkRules(odd, 'supervise', 'node')).to.throw(ConfigError, 'Did you mean "skip"?')
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
    const dead = { to: deadLetter('dead') }
    const backoff = exponential(50, 5_000)
    expect(
      describeRules([
        on(TypeError).skip(dead),
        on(Error).retry({ times: 5, backoff, order: 'key', otherwise: skip(dead) })
      ])
    ).to.equal('TypeError → skip to dead\nError → retry 5 times, 50–5000 ms apart, its key waits, then skip to dead')
  })
})
