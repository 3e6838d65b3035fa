/**
 * A poison record with each directive, as a job on a log given by the caller. Claims: the partition moves on, waits for its record, waits for its
 * key only, or stops visibly; other partitions go on; a dead letter is the record as it was, with its context; nothing restarts without end.
 */
import { rm } from 'node:fs/promises'
import { expect } from 'chai'
import {
  createRuntime,
  DecodeError,
  deadLetter,
  exponential,
  json,
  type MillraceOptions,
  on,
  type Rule,
  type RunningRuntime,
  skip,
  string,
  topic,
  topology
} from '../../actors/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, stateDirectory, Watcher } from '../actors/jobKit.ts'

export interface PoisonLog {
  readonly transport: Transport
  close(): Promise<void>
}

class Poison extends Error {}

/** Partition 0 of the input: a, poison, b, poison's next, c. Partition 1: x, y. One task each, unless `joined`. */
const RECORDS: readonly (readonly [partition: number, key: string, value: string])[] = [
  [0, 'a', '{"n":1}'],
  [0, 'bad', '{"n":2}'],
  [0, 'b', '{"n":3}'],
  [0, 'bad', '{"n":4}'],
  [0, 'c', '{"n":5}'],
  [1, 'x', '{"n":6}'],
  [1, 'y', '{"n":7}']
]

export function poisonCases(name: string, open: () => Promise<PoisonLog>, unique: (prefix: string) => string): void {
  describe(`A poison record on ${name}`, function () {
    this.timeout(60_000)
    let log: PoisonLog
    let transport: Transport
    let state: Awaited<ReturnType<typeof stateDirectory>>
    let id: string
    let app: RunningRuntime | undefined
    let out: Watcher
    let dead: Watcher
    /** Runs of each record, by value. */
    let runs: Record<number, number>
    /** How often record 2 fails. */
    let poison: number

    before(async () => {
      log = await open()
      transport = log.transport
    })
    after(() => log?.close())

    beforeEach(async () => {
      id = unique('poison')
      state = await stateDirectory()
      await createTopics(transport, { [`${id}-in`]: 2, [`${id}-out`]: 1, [`${id}-dead`]: 1 })
      out = await new Watcher(transport, `${id}-out`).start()
      dead = await new Watcher(transport, `${id}-dead`).start()
      runs = {}
      poison = Number.POSITIVE_INFINITY
    })
    afterEach(async () => {
      await app?.kill().catch(() => {})
      app = undefined
      await out.close()
      await dead.close()
      await state.remove()
    })

    const publish = async (records = RECORDS): Promise<void> => {
      const producer = await transport.producer({ lane: 9 })
      records.forEach(([partition, key, value], at) => {
        const [k, v] = [Buffer.from(key), Buffer.from(value)]
        const headers = [['from', Buffer.from('spec')]] as const
        producer.writer(`${id}-in`, partition).append(1_000 + at, k, 0, k.length, v, 0, v.length, headers)
      })
      await producer.flush()
      await producer.close()
    }

    const start = async (rules: readonly Rule[], more: Partial<MillraceOptions> = {}): Promise<RunningRuntime> => {
      const t = topology()
      t.stream(topic(`${id}-in`, json<{ n: number }>()))
        .mapValues(
          ({ n }) => {
            runs[n] = (runs[n] ?? 0) + 1
            if (n === 2 && poison-- > 0) throw new Poison('odd')
            return `${n}`
          },
          { name: 'work', supervise: rules }
        )
        .to(topic(`${id}-out`, { value: string() }))
      app = await createRuntime({
        id,
        topology: t,
        transport,
        stateDir: state.path,
        guarantee: 'exactly-once',
        commitInterval: 20,
        ...more
      }).run({ signals: false })
      return app
    }

    const values = (): string[] => out.seen.map(({ value }) => value)
    const comesOut = (...wanted: number[]): Promise<unknown> =>
      until(() => wanted.every((n) => values().includes(`${n}`)), { what: () => `${wanted} come out: ${values()}` })
    const committed = async (partition: number): Promise<number> =>
      (await transport.committed(id, [{ topic: `${id}-in`, partition }])).get(`${id}-in-${partition}`)?.offset ?? 0

    const context = (headers: Record<string, string>): Record<string, string> =>
      Object.fromEntries(
        Object.entries(headers)
          .filter(([header]) => header.startsWith('__millrace.errors.'))
          .map(([header, value]) => [header.slice('__millrace.errors.'.length), value])
      )

    it('is skipped: its partition moves on, and the record lies in the dead-letter topic as it was, with its context', async () => {
      await publish()
      const running = await start([on(Poison).skip({ to: deadLetter(`${id}-dead`) })])
      await comesOut(1, 3, 4, 5, 6, 7)
      await until(() => dead.seen.length === 1)
      const [letter] = dead.seen
      expect(letter).to.deep.include({ key: 'bad', value: '{"n":2}', timestamp: 1_001 })
      expect(letter!.headers).to.include({ from: 'spec' })
      const { stack, ...facts } = context(letter!.headers)
      expect(stack).to.match(/^Error: odd/)
      expect(facts).to.deep.include({
        topic: `${id}-in`,
        partition: '0',
        offset: '1',
        code: 'ERR_PROCESSING',
        attempt: '1',
        node: 'work',
        application: id,
        task: '0_0'
      })
      expect(facts.message).to.include('odd')
      await until(async () => (await committed(0)) >= 5)
      expect(running.healthy).to.equal(true)
      expect(runs[2]).to.equal(1)
    })

    it('that does not decode is skipped by a rule of the runtime; its bytes are untouched', async () => {
      await publish([
        [0, 'a', '{"n":1}'],
        [0, 'bad', '\u0000not json'],
        [0, 'b', '{"n":3}']
      ])
      await start([], { supervise: { rules: [on(DecodeError).skip({ to: deadLetter(`${id}-dead`) })] } })
      await comesOut(1, 3)
      await until(() => dead.seen.length === 1)
      expect(dead.seen[0]).to.deep.include({ key: 'bad', value: '\u0000not json' })
      expect(context(dead.seen[0]!.headers)).to.deep.include({ code: 'ERR_DECODE', offset: '1', node: 'work' })
    })

    it('is tried again: its partition waits, in order; the other goes on; then all come out once', async () => {
      poison = 3
      await publish()
      const running = await start([on(Poison).retry({ times: 5, backoff: exponential(150, 150) })])
      await comesOut(6, 7)
      expect(values()).to.not.include('3')
      await comesOut(1, 2, 3, 4, 5)
      expect(values().filter((v) => Number(v) < 6)).to.deep.equal(['1', '2', '3', '4', '5'])
      expect(runs).to.deep.include({ 1: 1, 2: 4, 3: 1 })
      expect(running.tasks['0_0']).to.deep.include({ state: 'running', restarts: 0 })
    })

    it('is tried again as often as the rule says, and then goes to the dead letters', async () => {
      await publish()
      const then = skip({ to: deadLetter(`${id}-dead`) })
      await start([on(Poison).retry({ times: 2, backoff: exponential(10, 10), otherwise: then })])
      await comesOut(1, 3, 4, 5, 6, 7)
      await until(() => dead.seen.length === 1)
      expect(runs[2]).to.equal(3)
      expect(context(dead.seen[0]!.headers)).to.include({ attempt: '3' })
    })

    it('lets finished work be committed while it waits, and a drain does not wait for it', async () => {
      await publish()
      const running = await start([on(Poison).retry({ times: 5, backoff: exponential('1h', '1h') })])
      await comesOut(1, 6, 7)
      await until(async () => (await committed(0)) === 1 && (await committed(1)) >= 2)
      await running.drain()
      expect(await committed(0)).to.equal(1)
      expect(runs[2]).to.equal(1)
    })

    it('is tried again by key: later records of its key wait behind it, in order; its partition and its offset go on', async () => {
      poison = 3
      await publish()
      await start([on(Poison).retry({ times: 5, order: 'key', backoff: exponential(150, 150) })])
      await comesOut(1, 3, 5, 6, 7)
      await until(async () => (await committed(0)) >= 5)
      expect(values()).to.not.include('4')
      await comesOut(2, 4)
      expect(values().filter((v) => v === '2' || v === '4')).to.deep.equal(['2', '4'])
      expect(runs).to.deep.include({ 2: 4, 4: 1 })
    })

    it('that waits by key survives a crash, with its attempts and what waits behind it', async () => {
      poison = 4
      await publish()
      const retry = (wait: number) =>
        on(Poison).retry({
          times: 3,
          order: 'key',
          backoff: exponential(wait, wait),
          otherwise: skip({ to: deadLetter(`${id}-dead`) })
        })
      const running = await start([retry(700)])
      await comesOut(1, 3, 5, 6, 7)
      await until(async () => (await committed(0)) >= 5)
      await running.kill()
      await rm(state.path, { recursive: true })
      await start([retry(10)])
      await comesOut(4)
      expect(values().filter((v) => Number(v) === 2)).to.deep.equal([])
      await until(() => dead.seen.length === 1)
      expect(dead.seen[0]).to.deep.include({ key: 'bad', value: '{"n":2}', timestamp: 1_001 })
      expect(dead.seen[0]!.headers).to.include({ from: 'spec' })
      expect(context(dead.seen[0]!.headers)).to.deep.include({ topic: `${id}-in`, offset: '1', attempt: '4' })
      expect(runs[2]).to.equal(4)
      expect([...values()].sort()).to.deep.equal(['1', '3', '4', '5', '6', '7'])
    })

    it('stops its task visibly: health says so, the error is there, the others go on', async () => {
      await publish()
      const running = await start([on(Poison).stop()])
      await until(() => running.tasks['0_0']?.state === 'stopped')
      await comesOut(6, 7)
      expect(running.healthy).to.equal(false)
      expect(running.state).to.equal('member.degraded')
      expect(running.tasks['0_0']!.lastError).to.deep.include({ code: 'ERR_PROCESSING' })
      expect(running.tasks['0_1']!.state).to.equal('running')
      expect(await committed(0)).to.be.at.most(1)
    })

    it('is restarted only as often as the budget allows, as there is no progress; then the runtime fails with its error', async () => {
      await publish()
      const limit = { restarts: 3, within: '1ms' } as const
      const running = await start([on(Poison).restart({ backoff: exponential(10, 10), limit })], {
        commitInterval: '20s'
      })
      const failed = await running.stopped.then(
        () => undefined,
        (error) => error
      )
      expect(failed).to.deep.include({ code: 'ERR_PROCESSING' })
      expect(runs[2]).to.equal(4)
      expect(await committed(0)).to.be.at.most(1)
    })

    it('without a rule fails the runtime at once, and nothing is lost', async () => {
      await publish()
      const running = await start([])
      const failed = await running.stopped.then(
        () => undefined,
        (error) => error
      )
      expect(failed).to.deep.include({ code: 'ERR_PROCESSING' })
      expect(await committed(0)).to.be.at.most(1)
    })

    it('needs its dead-letter topic: a missing one ends the start, with the nearest name', async () => {
      const starting = start([on(Poison).skip({ to: deadLetter(`${id}-deat`) })])
      const failed = await starting.catch((error) => error)
      expect(failed.code).to.equal('ERR_MISSING_TOPIC')
      expect(failed.message).to.include(`dead-letter topic "${id}-deat" (did you mean "${id}-dead"?)`)
    })
  })
}
