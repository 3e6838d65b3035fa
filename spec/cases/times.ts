/** Times of partitions over a restart with an empty directory, and rows that live for a time restored: the same on the embedded log and on Kafka. */
import { expect } from 'chai'
import {
  createRuntime,
  json,
  long,
  nullable,
  type RunningRuntime,
  string,
  type TopologyBuilder,
  topic,
  topology
} from '../../actors/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'

export interface TimesEnv {
  readonly transport: Transport
  /** A new name at each call. */
  readonly name: () => string
}

export function timesCases(open: () => Promise<TimesEnv>): void {
  let env: TimesEnv
  let state: Awaited<ReturnType<typeof stateDirectory>>
  const started: RunningRuntime[] = []

  before(async () => {
    env = await open()
    state = await stateDirectory()
  })
  afterEach(async () => {
    for (const runtime of started.splice(0)) await runtime.kill().catch(() => {})
  })
  after(() => state?.remove())

  /** A process with an empty directory, each time. */
  const start = async (id: string, define: (t: TopologyBuilder) => void): Promise<RunningRuntime> => {
    const t = topology()
    define(t)
    const stateDir = `${state.path}/${id}-${started.length}-${env.name()}`
    const options = { id, topology: t, transport: env.transport, stateDir, guarantee: 'exactly-once' } as const
    const runtime = await createRuntime({ ...options, heartbeatInterval: 50 }).run({ signals: false })
    started.push(runtime)
    return runtime
  }
  const watch = async <T>(
    name: string,
    use: (watcher: Watcher, seen: (n: number) => Promise<string[]>) => Promise<T>
  ) => {
    const watcher = await new Watcher(env.transport, name).start()
    const given = (): string[] => watcher.seen.map(({ key, value }) => `${key} ${value}`)
    const seen = async (n: number): Promise<string[]> => {
      await until(() => watcher.seen.length >= n, { timeoutMs: 20_000, what: () => `${n} records: ${given()}` })
      await watcher.toEnd()
      return given()
    }
    try {
      return await use(watcher, seen)
    } finally {
      await watcher.close()
    }
  }

  it('an extractor is given the highest time of its partition, of records before a restart too', async () => {
    const id = env.name()
    const [input, output] = [`${id}-in`, `${id}-out`]
    await createTopics(env.transport, { [input]: 1, [output]: 1 })
    // A record without a time of its own takes that of its partition.
    const define = (t: TopologyBuilder): void =>
      t
        .stream(
          topic(input, {
            value: json<number | ''>(),
            timestamp: (r, partitionTime) => (r.value === '' ? partitionTime : r.value)
          })
        )
        .map((r) => ({ key: r.key, value: `${r.timestamp}` }))
        .to(topic(output, string()))
    await watch(output, async (_, seen) => {
      await publish(env.transport, input, [
        ['a', '5000'],
        ['b', '3000'],
        ['c', '""']
      ])
      const first = await start(id, define)
      expect(await seen(3)).to.deep.equal(['a 5000', 'b 3000', 'c 5000'])
      await first.drain()
      await publish(env.transport, input, [
        ['d', '""'],
        ['e', '7000'],
        ['f', '""']
      ])
      const second = await start(id, define)
      expect((await seen(6)).slice(3)).to.deep.equal(['d 5000', 'e 7000', 'f 7000'])
      await second.drain()
    })
  })

  it('rows that live for a time are restored with their times: they leave when they would have', async () => {
    const id = env.name()
    const [input, output] = [`${id}-in`, `${id}-out`]
    await createTopics(env.transport, { [input]: 1, [output]: 1 })
    const define = (t: TopologyBuilder): void =>
      t
        .stream(topic(input, string()))
        .groupByKey()
        .count({ name: 'counts', ttl: 100 })
        .toStream()
        .to(topic(output, { value: nullable(json<number>()) }))
    await watch(output, async (_, seen) => {
      await publish(
        env.transport,
        input,
        [
          ['a', 'x'],
          ['b', 'x'],
          ['b', 'x']
        ],
        1_000
      )
      const first = await start(id, define)
      expect((await seen(2)).sort()).to.deep.equal(['a 1', 'b 2'])
      await first.drain()
      // b is renewed at 1050, so only a leaves at 1100; both rows and what knows their ends come from the changelogs.
      await publish(env.transport, input, [['b', 'x']], 1_050)
      await publish(env.transport, input, [['c', 'x']], 1_120)
      const second = await start(id, define)
      expect((await seen(5)).slice(2).sort()).to.deep.equal(['a ', 'b 3', 'c 1'])
      await second.drain()
      await publish(env.transport, input, [['a', 'x']], 1_160)
      const third = await start(id, define)
      expect((await seen(7)).slice(5).sort()).to.deep.equal(['a 1', 'b '])
      await third.drain()
    })
  })

  it('a repartition topic is empty after a drain: what was read is deleted', async () => {
    const id = env.name()
    const [input, output] = [`${id}-in`, `${id}-out`]
    await createTopics(env.transport, { [input]: 1, [output]: 1 })
    await watch(output, async (_, seen) => {
      await publish(env.transport, input, [
        ['a', 'x'],
        ['b', 'y']
      ])
      const runtime = await start(id, (t) =>
        t
          .stream(topic(input, string()))
          .groupBy((r) => r.value, { name: 'by-value', key: string() })
          .count({ name: 'counts', value: long() })
          .toStream()
          .mapValues((n) => `${n}`)
          .to(topic(output, string()))
      )
      await seen(2)
      await runtime.drain()
      const tp = { topic: `${id}-by-value-repartition`, partition: 0 }
      const [begins] = (await env.transport.offsets([tp], 'start')).values()
      expect(begins).to.be.at.least(2)
    })
  })
}
