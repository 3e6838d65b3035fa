/**
 * A whole job on the embedded log: topology, tasks with real databases, group, runtime. Claims: output exact in both guarantees over joins
 * and leaves; state follows its task; failures of data, topics and directories end the run with one error and lose nothing.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import {
  createRuntime,
  type MillraceOptions,
  type RunningRuntime,
  string,
  topic,
  topology
} from '../../actors/index.ts'
import { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { MillraceError } from '../../lib/errors.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { json } from '../../lib/serde/index.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, publish, stateDirectory, Watcher } from './jobKit.ts'

/** Words by their number in the input; counted per word behind a repartition topic. */
const counting = () => {
  const t = topology()
  t.stream(topic('words', { value: string() }))
    .groupBy((record) => record.value, { name: 'by-word', key: string() })
    .count({ name: 'counts' })
    .toStream()
    .mapValues((count) => `${count}`)
    .to(topic('totals', { value: string() }))
  return t
}

const WORDS = ['ant', 'bee', 'cat', 'dog', 'eel', 'fox', 'gnu', 'hen', 'ibis', 'jay', 'kiwi', 'lynx']
const input = (from: number, to: number): [string, string][] =>
  Array.from({ length: to - from }, (_, i) => [`k${from + i}`, WORDS[((from + i) * 7) % WORDS.length]!])
const expectedTotals = (n: number): Record<string, number> => {
  const totals: Record<string, number> = {}
  for (const [, word] of input(0, n)) totals[word] = (totals[word] ?? 0) + 1
  return totals
}

describe('a runtime on the embedded log', function () {
  this.timeout(30_000)
  let broker: EmbeddedBroker
  let transport: Transport
  let state: Awaited<ReturnType<typeof stateDirectory>>
  const started: RunningRuntime[] = []
  const closers: (() => Promise<void>)[] = []

  beforeEach(async () => {
    broker = embeddedBroker({})
    transport = embeddedTransport({ broker, client: 'spec' })
    state = await stateDirectory()
  })

  afterEach(async () => {
    for (const runtime of started.splice(0)) await runtime.kill().catch(() => {})
    for (const close of closers.splice(0)) await close()
    await transport.close()
    await broker.close()
    await state.remove()
  })

  const options = (process: string, more: Partial<MillraceOptions> = {}): MillraceOptions => {
    const own = embeddedTransport({ broker, client: process })
    closers.push(() => own.close())
    return {
      id: 'job',
      topology: counting(),
      transport: own,
      stateDir: `${state.path}/${process}`,
      guarantee: 'exactly-once',
      heartbeatInterval: 50,
      rebalanceTimeout: '5s',
      ...more
    }
  }
  const start = async (process: string, more: Partial<MillraceOptions> = {}): Promise<RunningRuntime> => {
    const runtime = await createRuntime(options(process, more)).run({ signals: false })
    started.push(runtime)
    return runtime
  }
  const watch = async (name: string): Promise<Watcher> => {
    const watcher = await new Watcher(transport, name).start()
    closers.push(() => watcher.close())
    return watcher
  }
  const failing = (more: Partial<MillraceOptions> = {}): Promise<MillraceError> =>
    start('a', more)
      .then((runtime) => runtime.stopped)
      .then(
        () => {
          throw new Error('did not fail')
        },
        (error: MillraceError) => error
      )

  for (const guarantee of ['exactly-once', 'at-least-once'] as const) {
    it(`counts exactly while processes join and leave, ${guarantee}`, async () => {
      await createTopics(transport, { words: 4, totals: 4 })
      const totals = await watch('totals')
      const reached = (n: number) =>
        until(() => JSON.stringify(sorted(totals.latest())) === JSON.stringify(sorted(expectedTotals(n))), {
          timeoutMs: 15_000,
          what: () => `${n} words counted: ${JSON.stringify(sorted(totals.latest()))}`
        })
      await publish(transport, 'words', input(0, 500))
      const more = { guarantee, commitInterval: 50 } as const
      const a = await start('a', more)
      await reached(500)
      const b = await start('b', more)
      await publish(transport, 'words', input(500, 1_000), 500)
      await until(() => Object.keys(b.tasks).length === 4)
      await reached(1_000)
      await start('c', more)
      await publish(transport, 'words', input(1_000, 1_500), 1_000)
      await reached(1_500)
      await a.drain()
      await publish(transport, 'words', input(1_500, 2_000), 1_500)
      await reached(2_000)
      // Each committed total of a word is higher than the one before: nothing was counted twice, no state was stale.
      const last: Record<string, number> = {}
      for (const { key, value } of totals.seen) {
        expect(Number(value)).to.be.greaterThan(last[key] ?? 0)
        last[key] = Number(value)
      }
    })
  }

  it('takes up where it was when it is started again on the same directory, without restoring from the beginning', async () => {
    await createTopics(transport, { words: 2, totals: 2 })
    const totals = await watch('totals')
    await publish(transport, 'words', input(0, 600))
    const first = await start('a')
    await until(() => sum(totals.latest()) === 600)
    await first.drain()
    const restored: number[] = []
    const again = await start('a')
    again.on('task.progress', ({ restored: part }) => part && restored.push(part.total))
    await publish(transport, 'words', input(600, 700), 600)
    await until(() => sum(totals.latest()) === 700)
    expect(Math.max(0, ...restored)).to.equal(0)
  })

  it('keeps files only for tasks with stores', async () => {
    await createTopics(transport, { words: 2, totals: 2 })
    const totals = await watch('totals')
    await publish(transport, 'words', input(0, 100))
    await start('a')
    await until(() => sum(totals.latest()) === 100)
    expect(readdirSync(join(state.path, 'a')).sort()).to.eql(['1_0', '1_1'])
  })

  it('creates internal topics that no broker empties by age', async () => {
    await createTopics(transport, { words: 2, totals: 2 })
    await start('a')
    const repartition = 'job-by-word-repartition'
    const config = await transport.admin.describe(repartition)
    expect(config).to.include({ 'cleanup.policy': 'delete', 'retention.ms': '-1' })
    expect(await transport.admin.describe('job-counts-changelog')).to.include({ 'cleanup.policy': 'compact' })
  })

  it('fails with ERR_MISSING_TOPIC, naming the topic and the nearest one there is', async () => {
    await createTopics(transport, { wrods: 2, totals: 2 })
    const error = await failing()
    expect(error.code).to.equal('ERR_MISSING_TOPIC')
    expect(error.message).to.match(/source topic "words" \(did you mean "wrods"\?\).*Create it/)
  })

  it('fails with ERR_INTERNAL_TOPIC when an internal topic has another count', async () => {
    await createTopics(transport, { words: 2, totals: 2, 'job-counts-changelog': 3 })
    const error = await failing()
    expect(error.code).to.equal('ERR_INTERNAL_TOPIC')
    expect(error.message).to.contain('job-counts-changelog')
  })

  it('fails with ERR_DECODE at a value that does not decode, says where it is, and commits nothing past it', async () => {
    await createTopics(transport, { words: 1, totals: 1 })
    const t = topology()
    t.stream(topic('words', { value: json<{ n: number }>() }))
      .mapValues((value) => `${value.n}`)
      .to(topic('totals', { value: string() }))
    await publish(transport, 'words', [
      ['a', '{"n":1}'],
      ['b', '{"n":2}'],
      ['c', 'no json'],
      ['d', '{"n":4}']
    ])
    const error = await failing({ topology: t })
    expect(error).to.be.instanceOf(MillraceError)
    expect(error.code).to.equal('ERR_DECODE')
    expect(error.details).to.include({ topic: 'words', partition: 0, offset: 2 })
    expect(error.message).to.contain('no json')
    const committed = await transport.committed('job', [{ topic: 'words', partition: 0 }])
    expect(committed.get('words-0')?.offset ?? 0).to.be.at.most(2)
    const totals = await watch('totals')
    await totals.toEnd()
    expect(totals.seen.map((r) => r.value).every((v) => ['1', '2'].includes(v))).to.equal(true)
  })

  it('fails with ERR_ENCODE at a value that does not encode', async () => {
    await createTopics(transport, { words: 1, totals: 1 })
    const t = topology()
    t.stream(topic('words', { value: string() }))
      .mapValues((value) => ({ value, n: 10n }))
      .to(topic('totals', { value: json() }))
    await publish(transport, 'words', [['a', 'x']])
    const error = await failing({ topology: t })
    expect(error.code).to.equal('ERR_ENCODE')
  })

  it('fails with ERR_PROCESSING, and the cause, when a function of the user throws', async () => {
    await createTopics(transport, { words: 1, totals: 1 })
    const t = topology()
    const bug = new RangeError('user bug')
    t.stream(topic('words', { value: string() }))
      .mapValues((): string => {
        throw bug
      })
      .to(topic('totals', { value: string() }))
    await publish(transport, 'words', [['a', 'x']])
    const error = await failing({ topology: t })
    expect(error.code).to.equal('ERR_PROCESSING')
    expect(error.cause).to.equal(bug)
  })

  it('fails with ERR_STATE_LOCKED when another runtime works in the same state directory', async () => {
    await createTopics(transport, { words: 2, totals: 2 })
    await start('a')
    await until(() => started[0]!.state === 'member.steady')
    // Another job would be foreign; another group of the same id on another log is not seen by this one.
    const elsewhere = embeddedBroker({})
    const other = embeddedTransport({ broker: elsewhere, client: 'other' })
    closers.push(async () => {
      await other.close()
      await elsewhere.close()
    })
    await createTopics(other, { words: 2, totals: 2 })
    const error = await failing({ transport: other })
    expect(error.code).to.equal('ERR_STATE_LOCKED')
  })

  it('fails with ERR_STATE_FOREIGN when the state directory is another job’s', async () => {
    await createTopics(transport, { words: 2, totals: 2 })
    const first = await start('a')
    await until(() => first.state === 'member.steady')
    await first.drain()
    const error = await failing({ id: 'other-job' })
    expect(error.code).to.equal('ERR_STATE_FOREIGN')
  })
})

const sorted = (totals: Record<string, number>): [string, number][] =>
  Object.entries(totals).sort(([a], [b]) => (a < b ? -1 : 1))
const sum = (totals: Record<string, number>): number => Object.values(totals).reduce((a, b) => a + b, 0)
