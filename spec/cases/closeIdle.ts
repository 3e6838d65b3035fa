/** Windows of an idle partition close by wall clock, and stay closed on another machine: the same on the embedded log and on Kafka. */
import { expect } from 'chai'
import { createRuntime, type RunningRuntime, string, topic, topology, tumbling } from '../../actors/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'

export interface CloseIdleEnv {
  readonly transport: Transport
  readonly id: string
}

export function closeIdleCases(open: () => Promise<CloseIdleEnv>): void {
  let env: CloseIdleEnv
  let state: Awaited<ReturnType<typeof stateDirectory>>
  const started: RunningRuntime[] = []

  before(async () => {
    env = await open()
    state = await stateDirectory()
  })
  after(async () => {
    for (const runtime of started) await runtime.kill().catch(() => {})
    await state?.remove()
  })

  it('closes the windows of a partition without records; what comes late is late in another process with an empty directory too', async () => {
    const { transport, id } = env
    const [input, output] = [`${id}-in`, `${id}-out`]
    await createTopics(transport, { [input]: 2, [output]: 1 })
    const start = async (directory: string): Promise<RunningRuntime> => {
      const t = topology()
      t.stream(topic(input, string()))
        .groupByKey()
        .windowedBy(tumbling(1_000), { emit: 'close', closeIdleAfter: 300 })
        .count({ name: 'counts' })
        .toStream()
        .map((r) => ({ key: `${r.key.key} ${r.key.start}`, value: `${r.value}` }))
        .to(topic(output, string()))
      const stateDir = `${state.path}/${directory}`
      const options = {
        id,
        topology: t,
        transport,
        stateDir,
        guarantee: 'exactly-once',
        heartbeatInterval: 50
      } as const
      const runtime = await createRuntime(options).run({ signals: false })
      started.push(runtime)
      return runtime
    }
    const results = await new Watcher(transport, output).start()
    const given = (): string[] => results.seen.map(({ key, value }) => `${key} ${value}`)
    try {
      // Both keys of a partition each, or of one: idle is what gets no record.
      await publish(
        transport,
        input,
        [
          ['a', 'x'],
          ['b', 'x'],
          ['a', 'x']
        ],
        100
      )
      const first = await start('one')
      await until(() => results.seen.length >= 2, { timeoutMs: 20_000, what: () => `windows: ${given()}` })
      await first.drain()
      const second = await start('two')
      await publish(
        transport,
        input,
        [
          ['a', 'late'],
          ['b', 'late']
        ],
        200
      )
      await publish(
        transport,
        input,
        [
          ['a', 'x'],
          ['b', 'x']
        ],
        50_000
      )
      await until(() => results.seen.length >= 4, { timeoutMs: 20_000, what: () => `windows: ${given()}` })
      await second.drain()
      await results.toEnd()
      expect(given().sort()).to.deep.equal(['a 0 2', 'a 50000 1', 'b 0 1', 'b 50000 1'])
    } finally {
      await results.close()
    }
  })
}
