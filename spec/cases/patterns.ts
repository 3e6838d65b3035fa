/** Topics that match a pattern, and partitions, that come while a job runs: the same on the embedded log and on Kafka. */
import { expect } from 'chai'
import {
  createRuntime,
  type MillraceOptions,
  type RunningRuntime,
  string,
  type TopologyBuilder,
  topic,
  topology
} from '../../actors/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'

export interface PatternEnv {
  readonly transport: Transport
  /** In front of every topic. */
  readonly id: string
}

export function patternCases(open: () => Promise<PatternEnv>): void {
  let env: PatternEnv
  let state: Awaited<ReturnType<typeof stateDirectory>>
  let number = 0
  let id = ''
  let output = ''
  let results: Watcher
  const started: RunningRuntime[] = []

  before(async () => {
    env = await open()
  })
  beforeEach(async () => {
    state = await stateDirectory()
    id = `${env.id}-${++number}`
    output = `${id}_out`
    await createTopics(env.transport, { [output]: 1 })
    results = await new Watcher(env.transport, output).start()
  })
  afterEach(async () => {
    for (const runtime of started.splice(0)) await runtime.kill().catch(() => {})
    await results.close()
    await state.remove()
  })

  const start = async (
    t: TopologyBuilder,
    directory = 'one',
    options: Partial<MillraceOptions> = {}
  ): Promise<RunningRuntime> => {
    const runtime = await createRuntime({
      id,
      topology: t,
      transport: env.transport,
      stateDir: `${state.path}/${directory}`,
      commitInterval: 20,
      heartbeatInterval: 50,
      metadataInterval: 100,
      ...options
    }).run({ signals: false })
    started.push(runtime)
    return runtime
  }
  const given = (): string[] => results.seen.map(({ key, value }) => `${key} ${value}`).sort()
  const seen = (...expected: string[]): Promise<unknown> =>
    until(() => given().join() === [...expected].sort().join(), {
      timeoutMs: 30_000,
      what: () => `results: ${given()}`
    })
  const pattern = (): RegExp => new RegExp(`${id}-orders-[a-z]+`)
  const copying = (): TopologyBuilder => {
    const t = topology()
    t.stream(topic(pattern(), string())).to(topic(output, string()))
    return t
  }
  const counting = (): TopologyBuilder => {
    const t = topology()
    t.stream(topic(pattern(), string()))
      .groupByKey()
      .count({ name: 'n', caching: false })
      .toStream()
      .mapValues((n) => `${n}`)
      .to(topic(output, string()))
    return t
  }

  it('topics that match are read, those too that are made while the job runs, with more partitions', async () => {
    await createTopics(env.transport, { [`${id}-orders-a`]: 1, [`${id}-orders-1`]: 1 })
    await publish(env.transport, `${id}-orders-a`, [['a', 'first']])
    await publish(env.transport, `${id}-orders-1`, [['no', 'match']])
    const running = await start(copying())
    await seen('a first')
    await createTopics(env.transport, { [`${id}-orders-b`]: 3 })
    const three: [string, string][] = [
      ['b', 'x'],
      ['c', 'x'],
      ['d', 'x'],
      ['e', 'x']
    ]
    await publish(env.transport, `${id}-orders-b`, three)
    await publish(env.transport, `${id}-orders-a`, [['a', 'second']])
    await seen('a first', 'a second', 'b x', 'c x', 'd x', 'e x')
    expect(Object.keys(running.tasks).sort()).to.deep.equal(['0_0', '0_1', '0_2'])
  })

  it('no topic may match at the start', async () => {
    const running = await start(counting())
    await until(() => running.state === 'member.steady')
    await createTopics(env.transport, { [`${id}-orders-a`]: 2 })
    await publish(env.transport, `${id}-orders-a`, [
      ['a', 'x'],
      ['a', 'x'],
      ['b', 'x']
    ])
    await seen('a 1', 'a 2', 'b 1')
  })

  it('a task that gets another topic goes on with its state, in the process where it runs, exactly once', async () => {
    const options = { guarantee: 'exactly-once' } as const
    await createTopics(env.transport, { [`${id}-orders-a`]: 2 })
    await publish(env.transport, `${id}-orders-a`, [
      ['a', 'x'],
      ['b', 'x'],
      ['c', 'x']
    ])
    const one = await start(counting(), 'one', options)
    const two = await start(counting(), 'two', options)
    await until(() => [one, two].every((r) => r.state === 'member.steady' && Object.keys(r.tasks).length === 1), {
      timeoutMs: 20_000,
      what: 'both have a task'
    })
    await seen('a 1', 'b 1', 'c 1')
    const before = [one, two].map((r) => Object.keys(r.tasks)[0])
    await createTopics(env.transport, { [`${id}-orders-b`]: 2 })
    await publish(env.transport, `${id}-orders-b`, [
      ['a', 'y'],
      ['b', 'y'],
      ['c', 'y']
    ])
    await seen('a 1', 'a 2', 'b 1', 'b 2', 'c 1', 'c 2')
    expect([one, two].map((r) => Object.keys(r.tasks)[0])).to.deep.equal(before)
    // The first process leads, and tells the other what it has found.
    await publish(env.transport, `${id}-orders-a`, [['a', 'z']])
    await seen('a 1', 'a 2', 'a 3', 'b 1', 'b 2', 'c 1', 'c 2')
  })

  it('partitions that are added to a topic are read where no state lies in its partitions', async () => {
    const input = `${id}_in`
    await createTopics(env.transport, { [input]: 1 })
    const t = topology()
    t.stream(topic(input, string()))
      .groupBy(({ value }) => value, { key: string(), name: 'by-value' })
      .count({ name: 'n', caching: false })
      .toStream()
      .mapValues((n) => `${n}`)
      .to(topic(output, string()))
    await publish(env.transport, input, [['k', 'x']])
    await start(t)
    await seen('x 1')
    await env.transport.admin.addPartitions(input, 3)
    await publish(
      env.transport,
      input,
      ['a', 'b', 'c', 'd', 'e'].map((key) => [key, 'x'])
    )
    await seen('x 1', 'x 2', 'x 3', 'x 4', 'x 5', 'x 6')
  })

  it('partitions that are added where state lies in them end the job with ERR_INTERNAL_TOPIC', async () => {
    const input = `${id}_in`
    await createTopics(env.transport, { [input]: 1 })
    const t = topology()
    t.stream(topic(input, string())).groupByKey().count({ name: 'n' })
    const running = await start(t)
    const end = running.stopped.then(
      () => undefined,
      (error) => error
    )
    await until(() => running.state === 'member.steady')
    await env.transport.admin.addPartitions(input, 3)
    const error = await end
    expect(error?.code).to.equal('ERR_INTERNAL_TOPIC')
    expect(error.message).to.contain(`"${id}-n-changelog" has 1 partitions, the topology needs 3`)
  })
}
