/** For any input, in any order: operators equal naive models, and nothing depends on when it is committed, cached or started anew. */
import { expect } from 'chai'
import fc from 'fast-check'
import { embeddedTransport } from '../../actors/index.ts'
import { seededRandom } from '../../lib/time.ts'
import { type Actual, last, messageOf, show } from './compare.ts'
import { type DriverTweaks, runCase } from './engines/driver.ts'
import { runCases } from './engines/job.ts'
import type { Case, CaseInput, Expression } from './format.ts'
import { generate } from './generate.ts'
import * as model from './models.ts'

const RUNS = Number(process.env.MILLRACE_PROPERTY_RUNS ?? 60)
const PATIENCE = 60_000 * Math.ceil(RUNS / 60)

const records = (
  topics: readonly string[],
  value: fc.Arbitrary<string | null>,
  { keys = ['a', 'b', 'c'], size }: { readonly keys?: readonly string[]; readonly size?: 'max' } = {}
): fc.Arbitrary<CaseInput[]> =>
  fc.array(
    fc.record({
      topic: fc.constantFrom(...topics),
      key: fc.constantFrom(...keys),
      value,
      ts: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 200 }))
    }),
    { maxLength: 25, ...(size ? { size } : {}) }
  )
const letter = fc.constantFrom('x', 'y', 'z')
const row = fc.option(letter, { freq: 4 })

const caseOf = (topology: Expression, inputs: readonly CaseInput[]): Case => ({
  name: 'property',
  topology,
  inputs: [...inputs],
  expect: { all: [] }
})

async function outputs(
  topology: Expression,
  inputs: readonly CaseInput[],
  tweaks: DriverTweaks = {}
): Promise<Actual[]> {
  const result = await runCase(caseOf(topology, inputs), tweaks)
  if ('notBuilt' in result) throw new Error(result.notBuilt)
  if (result.outcome.error !== undefined) throw result.outcome.error
  return result.outcome.steps.flat()
}

/** What is there at the end. */
const rows = (records: readonly Actual[]): Record<string, unknown> =>
  Object.fromEntries(
    last(records)
      .filter((r) => r.value !== null)
      .map((r) => [model.id(r.key, ...(r.window ?? [])), r.value])
  )

/** With and without a cache, committed seldom, started anew in between. */
const TWEAKS: DriverTweaks[] = [
  { cache: false },
  { cache: true, commitEvery: 4 },
  { cache: true, commitEvery: 3, restartAfter: [2, 7, 8] }
]

function equals<T extends unknown[]>(
  title: string,
  arbitraries: { [I in keyof T]: fc.Arbitrary<T[I]> },
  property: (...values: T) => Promise<void>
): void {
  it(title, async function () {
    this.timeout(PATIENCE)
    await fc.assert(fc.asyncProperty(...(arbitraries as [fc.Arbitrary<unknown>]), property as () => Promise<void>), {
      numRuns: RUNS,
      interruptAfterTimeLimit: PATIENCE / 2 // a failure is told, however much of it is left to shrink
    })
  })
}

const windowed = (window: object, fold: { op: string }): Expression =>
  ({
    ...fold,
    in: { op: 'windowedBy', in: { op: 'groupByKey', in: { op: 'stream', topic: 's' } }, window }
  }) as Expression
const always = 1_000_000

describe('For any records in any order', () => {
  const shape = fc.record({
    size: fc.integer({ min: 1, max: 20 }),
    advance: fc.integer({ min: 1, max: 20 }),
    grace: fc.integer({ min: 0, max: 40 })
  })
  equals(
    'tumbling and hopping windows hold what a model puts into them',
    [records(['s'], letter), shape],
    async (inputs, { size, advance, grace }) => {
      const step = Math.min(size, advance)
      const window = { kind: 'hopping', sizeMs: size, advanceMs: step, graceMs: grace }
      const wanted = model.timeWindows(inputs, { size, advance: step, grace })
      for (const tweaks of TWEAKS) {
        expect(rows(await outputs(windowed(window, { op: 'list' }), inputs, tweaks))).to.deep.equal(wanted)
      }
    }
  )

  equals(
    'sliding windows count what lies in them',
    [records(['s'], letter), fc.integer({ min: 1, max: 30 })],
    async (inputs, difference) => {
      const window = { kind: 'sliding', diffMs: difference, graceMs: always }
      const wanted = model.slidingCounts(inputs, difference)
      for (const tweaks of TWEAKS) {
        expect(rows(await outputs(windowed(window, { op: 'count' }), inputs, tweaks))).to.deep.equal(wanted)
      }
    }
  )

  equals(
    'sessions are runs without a pause',
    [records(['s'], letter), fc.integer({ min: 0, max: 30 })],
    async (inputs, gap) => {
      fc.pre(gap > 0)
      const window = { kind: 'session', gapMs: gap, graceMs: always }
      const wanted = model.sessionCounts(inputs, gap)
      for (const tweaks of TWEAKS) {
        expect(rows(await outputs(windowed(window, { op: 'count' }), inputs, tweaks))).to.deep.equal(wanted)
      }
    }
  )

  const span = fc.record({
    before: fc.integer({ min: 0, max: 30 }),
    after: fc.integer({ min: 0, max: 30 }),
    how: fc.constantFrom('inner' as const, 'left' as const, 'outer' as const)
  })
  equals(
    'joins of streams give every pair once, and once what has no partner',
    [records(['l', 'r'], letter), span],
    async (drawn, { before, after, how }) => {
      // As in Kafka Streams, a record that comes after its window has passed does not wait for the grace: it has no partner at once.
      const inputs = how === 'inner' ? drawn : [...drawn].sort((a, b) => a.ts - b.ts)
      const stream = (topic: string): Expression => ({ op: 'stream', topic })
      const window = { beforeMs: before, afterMs: after, graceMs: 300 }
      const topology = { op: 'join', how, left: stream('l'), right: stream('r'), window, joiner: 'dash' }
      const far = (topic: string): CaseInput => ({ topic, key: `end of ${topic}`, value: '', ts: 10_000 }) // closes all windows
      const side = (topic: string): CaseInput[] => inputs.filter((input) => input.topic === topic)
      const wanted = model.streamJoin(side('l'), side('r'), { before, after, how })
      for (const restartAfter of [[], [1, 5, 11]]) {
        const got = await outputs(topology, [...inputs, far('l'), far('r')], { commitEvery: 3, restartAfter })
        expect(got.map(({ key, value, ts }) => `${key} ${value} ${ts}`).sort()).to.deep.equal(wanted)
      }
    }
  )

  equals(
    'joins of tables end as the join of what the tables end as',
    [records(['l', 'r'], row), fc.constantFrom('inner' as const, 'left' as const, 'outer' as const)],
    async (inputs, how) => {
      const table = (topic: string): Expression => ({ op: 'table', topic })
      const side = (topic: string) => model.table(inputs.filter((input) => input.topic === topic))
      const topology = { op: 'join', how, left: table('l'), right: table('r'), joiner: 'dash' }
      for (const tweaks of TWEAKS) {
        expect(rows(await outputs(topology, inputs, tweaks))).to.deep.equal(model.tableJoin(side('l'), side('r'), how))
      }
    }
  )

  const foreignJoin = (how: 'inner' | 'left'): Expression => ({
    op: 'foreignKeyJoin',
    how,
    left: { op: 'table', topic: 'l', partitions: 2 },
    right: { op: 'table', topic: 'r', partitions: 3 },
    fk: 'afterBar',
    joiner: 'dash'
  })
  // Rows that are deleted come again, also as they were; rows without a foreign key change.
  const foreign = fc.option(fc.constantFrom('1|a', '2|a', '1|b', '1|d', '1', '2'), { freq: 4 })
  /** Both in one order, each in its own. */
  const mixed = (left: readonly CaseInput[], right: readonly CaseInput[], turns: Iterator<boolean>): CaseInput[] => {
    const queues = [[...left], [...right]]
    const inputs: CaseInput[] = []
    while (queues.some((queue) => queue.length > 0)) {
      const next = queues[turns.next().value ? 0 : 1]!.shift() ?? queues[0]!.shift() ?? queues[1]!.shift()
      inputs.push(next!)
    }
    return inputs
  }
  equals(
    'foreign-key joins end as the join of what the tables end as',
    [records(['l'], foreign), records(['r'], row), fc.infiniteStream(fc.boolean())],
    async (left, right, turns) => {
      const inputs = mixed(left, right, turns)
      for (const how of ['inner', 'left'] as const) {
        const wanted = model.foreignJoin(model.table(left), model.table(right), how)
        for (const tweaks of TWEAKS) expect(rows(await outputs(foreignJoin(how), inputs, tweaks))).to.deep.equal(wanted)
      }
    }
  )

  // One left row, so that what happens happens to it.
  const changes = { keys: ['a'], size: 'max' } as const
  const rightChanges = { keys: ['a', 'b'], size: 'max' } as const
  equals(
    'foreign-key joins end so too when their topics lag, each partition as it likes',
    [
      fc.noBias(records(['l'], foreign, changes)),
      fc.noBias(records(['r'], fc.option(letter, { freq: 2 }), rightChanges)),
      fc.infiniteStream(fc.boolean()),
      fc.array(fc.nat(), { minLength: 2, maxLength: 2 })
    ],
    async (left, right, turns, lags) => {
      const inputs = mixed(left, right, turns)
      for (const how of ['inner', 'left'] as const) {
        const wanted = model.foreignJoin(model.table(left), model.table(right), how)
        for (const lag of lags) {
          for (const tweaks of TWEAKS) {
            expect(rows(await outputs(foreignJoin(how), inputs, { ...tweaks, lag }))).to.deep.equal(wanted)
          }
        }
      }
    }
  )
})

describe('For any topology', () => {
  const plain = (records: readonly Actual[]): string => show(records.map(({ headers: _, ...record }) => record))

  equals(
    'results do not depend on when it commits or starts anew',
    [fc.nat(), fc.integer({ min: 1, max: 6 }), fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { maxLength: 3 })],
    async (seed, commitEvery, restartAfter) => {
      const { topology, inputs } = generate(seededRandom(seed))
      const [one, other] = [
        await runCase(caseOf(topology, inputs), { cache: false }),
        await runCase(caseOf(topology, inputs), { cache: false, commitEvery, restartAfter })
      ]
      fc.pre(!('notBuilt' in one) && !('notBuilt' in other))
      if ('notBuilt' in one || 'notBuilt' in other) return
      const told = ({ outcome }: typeof one): string =>
        outcome.error === undefined ? outcome.steps.map(plain).join(' | ') : messageOf(outcome.error)
      expect(told(other), JSON.stringify({ topology, inputs })).to.equal(told(one))
    }
  )

  it('of one sub-topology a whole runtime gives what the driver gives, however many records a fetch brings', async function () {
    this.timeout(60_000)
    const cases: Case[] = []
    for (let seed = 1; cases.length < 25; seed++) {
      const drawn = generate(seededRandom(seed * 7_919))
      if (/groupBy"|selectKey|"map"|repartition|flatMap|foreign|global/.test(JSON.stringify(drawn.topology))) continue
      // Records of equal times in different topics: which of them arrives first is the fetch's to say.
      const topics = new Map<number, string>()
      for (const { topic, ts } of drawn.inputs) if (!topics.has(ts)) topics.set(ts, topic)
      const inputs = drawn.inputs.filter(({ topic, ts }) => topics.get(ts) === topic)
      cases.push({ ...caseOf(drawn.topology, inputs), name: `seed ${seed}`, buffered: true })
    }
    const transport = embeddedTransport()
    const results = await runCases(cases, { transport, prefix: 'property' })
    await transport.close()
    for (const [i, c] of cases.entries()) {
      const [whole, driven] = [results[i]!, await runCase(c)]
      if ('notBuilt' in whole || 'notBuilt' in driven) throw new Error('an operator is missing')
      if (whole.outcome.error !== undefined) throw whole.outcome.error
      expect(plain(whole.outcome.steps.flat()), `${c.name} ${JSON.stringify(c.topology)}`).to.equal(
        plain(driven.outcome.steps.flat())
      )
    }
  })
})
