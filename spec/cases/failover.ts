/** A process is gone without a word, and the one with its standbys takes over: the same on the embedded log and on Kafka. */
import { existsSync } from 'node:fs'
import { expect } from 'chai'
import { createRuntime, type RunningRuntime, string, topic, topology } from '../../actors/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { tpKey } from '../../lib/record.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'
import { watched } from './readers.ts'

export interface FailoverEnv {
  readonly id: string
  /** Connections of one process. */
  connect(): Transport
  readonly sessionMs: number
}

const KEYS = 500
const PARTITIONS = 4
const input = (from: number, to: number): [string, string][] =>
  Array.from({ length: to - from }, (_, i) => [`k${((from + i) * 7) % KEYS}`, 'x'])
const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0)

interface Process {
  readonly name: string
  readonly transport: Transport
  readonly runtime: RunningRuntime
  /** Where its restore lane began to read, by changelog partition; the last. */
  readonly began: Map<string, number>
  /** Standbys by task, and how far each is behind. */
  readonly lags: Map<string, number>
}

export function failoverCases(open: () => Promise<FailoverEnv>): void {
  let env: FailoverEnv
  let transport: Transport
  let state: Awaited<ReturnType<typeof stateDirectory>>
  const processes: Process[] = []
  let closers: (() => Promise<void>)[] = []

  before(async () => {
    env = await open()
    transport = env.connect()
    state = await stateDirectory()
  })
  afterEach(async () => {
    for (const { runtime, transport } of processes.splice(0)) {
      await runtime.kill().catch(() => {})
      await transport.close()
    }
    for (const close of closers) await close()
    closers = []
  })
  after(async () => {
    await transport?.close()
    await state?.remove()
  })

  for (const guarantee of ['exactly-once', 'at-least-once'] as const) {
    it(`the standbys take over and read only what they had not read yet, and every count is right, ${guarantee}`, async () => {
      const id = `${env.id}-${guarantee}`
      const [source, output] = [`${id}-in`, `${id}-out`]
      await createTopics(transport, { [source]: PARTITIONS, [output]: PARTITIONS })
      const counts = await new Watcher(transport, output).start()
      closers.push(() => counts.close())

      const start = async (name: string): Promise<Process> => {
        const own = env.connect()
        const began = new Map<string, number>()
        const t = topology()
        t.stream(topic(source, string()))
          .groupByKey()
          .count({ name: 'counts' })
          .toStream()
          .mapValues((count) => `${count}`)
          .to(topic(output, string()))
        const runtime = await createRuntime({
          id,
          topology: t,
          transport: noting(own, began),
          stateDir: `${state.path}/${id}-${name}`,
          guarantee,
          standbys: 1,
          commitInterval: 50,
          sessionTimeout: env.sessionMs,
          heartbeatInterval: env.sessionMs / 10
        }).run({ signals: false })
        runtime.stopped.catch(() => {}) // who is cut off fails
        const lags = new Map<string, number>()
        runtime.on('standby.progress', ({ task, lag }) => lags.set(task, lag))
        const process = { name, transport: own, runtime, began, lags }
        processes.push(process)
        return process
      }
      const reached = (n: number): Promise<unknown> =>
        until(() => sum(counts.latest()) === n, {
          timeoutMs: 20_000,
          what: () => `${n} counted: ${sum(counts.latest())}`
        })
      const committed = (n: number): Promise<unknown> => {
        const tps = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: source, partition }))
        const of = async (): Promise<number> =>
          [...(await transport.committed(id, tps)).values()].reduce((all, { offset }) => all + Math.max(0, offset), 0)
        return until(async () => (await of()) >= n, { timeoutMs: 20_000, what: `${n} are committed` })
      }
      const runs = ({ runtime }: Process, tasks: number): Promise<unknown> =>
        until(
          () => {
            const states = Object.values(runtime.tasks).map(({ state }) => state)
            return states.length === tasks && states.every((s) => s === 'running') && runtime.state === 'member.steady'
          },
          { timeoutMs: 30_000, what: () => `${tasks} tasks run: ${JSON.stringify(runtime.tasks)}` }
        )

      await publish(transport, source, input(0, 3_000))
      const a = await start('a')
      await reached(3_000)
      const b = await start('b')
      await Promise.all([runs(a, 2), runs(b, 2)])
      const [ofA, ofB] = [Object.keys(a.runtime.tasks).sort(), Object.keys(b.runtime.tasks).sort()]
      const follows = ({ lags }: Process, tasks: string[]): Promise<unknown> =>
        until(() => tasks.every((task) => lags.get(task) === 0), {
          timeoutMs: 20_000,
          what: () => `the standbys of ${tasks} have read all: ${JSON.stringify([...lags])}`
        })
      await Promise.all([follows(a, ofB), follows(b, ofA)])
      for (const task of ofA) expect(existsSync(`${state.path}/${id}-b/${task}/db`)).to.equal(true)
      await publish(transport, source, input(3_000, 3_400), 3_000)
      await reached(3_400)
      // At-least-once may count again what was not committed: that is another claim.
      await committed(3_400)

      const changelog = (task: string) => ({ topic: `${id}-counts-changelog`, partition: Number(task.slice(2)) })
      const ends = await transport.offsets(ofA.map(changelog), 'lso')
      b.began.clear()
      await a.transport.close() // as kill -9 looks to the broker
      void a.runtime.kill().catch(() => {})
      await publish(transport, source, input(3_400, 4_000), 3_400)
      await runs(b, PARTITIONS)
      await reached(4_000)
      for (const task of ofA) {
        const { topic, partition } = changelog(task)
        const end = ends.get(tpKey(topic, partition))!
        expect(end).to.be.greaterThan(100)
        // Not read at all is as good: there was nothing left.
        expect(b.began.get(tpKey(topic, partition)) ?? end).to.be.at.least(end - 20)
      }
      await b.runtime.drain()
      await counts.toEnd()
      for (const [key, count] of Object.entries(counts.latest())) expect([key, count]).to.eql([key, 4_000 / KEYS])
      if (guarantee === 'exactly-once') {
        const perKey = new Map<string, number>()
        for (const { key, value } of counts.seen) {
          expect(Number(value)).to.be.greaterThan(perKey.get(key) ?? 0)
          perKey.set(key, Number(value))
        }
      }
    })
  }
}

/** The same, and notes from where its restore lane reads. */
const noting = (transport: Transport, began: Map<string, number>): Transport =>
  watched(transport, ({ lane }, next, tp, offset, sink) => {
    if (lane === 'restore') began.set(tpKey(tp.topic, tp.partition), offset)
    next(tp, offset, sink)
  })
