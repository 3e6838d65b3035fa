/** Global tables in a whole job: the same on the embedded log and on Kafka. */
import { expect } from 'chai'
import { createRuntime, MillraceError, type RunningRuntime, string, topic, topology } from '../../actors/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'
import { watched } from './readers.ts'

export interface GlobalTableEnv {
  readonly transport: Transport
  /** In front of every topic. */
  readonly id: string
}

/** The transport, counting the records of a topic that its readers are given. */
function counting(transport: Transport, wanted: string): { transport: Transport; records(): number } {
  let records = 0
  const counted = watched(transport, (_, next, tp, offset, sink) =>
    next(tp, offset, (batch) => {
      if (tp.topic === wanted) records += batch.records.count
      sink(batch)
    })
  )
  return { transport: counted, records: () => records }
}

export function globalTableCases(open: () => Promise<GlobalTableEnv>): void {
  let env: GlobalTableEnv
  let state: Awaited<ReturnType<typeof stateDirectory>>
  let number = 0
  let id = ''
  let visits = ''
  let names = ''
  let output = ''
  let results: Watcher
  const started: RunningRuntime[] = []
  /** Batches that came to the table. */
  let applied = 0

  before(async () => {
    env = await open()
  })
  beforeEach(async () => {
    state = await stateDirectory()
    id = `${env.id}-${++number}`
    ;[visits, names, output] = [`${id}-visits`, `${id}-names`, `${id}-out`]
    applied = 0
    await createTopics(env.transport, { [visits]: 2, [names]: 3, [output]: 1 })
    results = await new Watcher(env.transport, output).start()
  })
  afterEach(async () => {
    for (const runtime of started.splice(0)) await runtime.kill().catch(() => {})
    await results.close()
    await state.remove()
  })

  const start = async (directory: string, transport = env.transport): Promise<RunningRuntime> => {
    const t = topology()
    const table = t.globalTable(topic(names, string()), { name: 'everybody' })
    t.stream(topic(visits, string()))
      .leftJoin(table, (_, name) => name ?? 'nobody', { on: ({ value }) => value })
      .to(topic(output, string()))
    const stateDir = `${state.path}/${directory}`
    const probe = (_: string, step: string): void => {
      if (step === 'global:applied') applied++
    }
    const options = { id, topology: t, transport, stateDir, probe, commitInterval: 20, heartbeatInterval: 50 } as const
    const runtime = await createRuntime(options).run({ signals: false })
    started.push(runtime)
    return runtime
  }
  const visit = (...entries: [string, string][]): Promise<void> => publish(env.transport, visits, entries)
  const name = (...entries: [string, string][]): Promise<void> => publish(env.transport, names, entries)
  const given = (): string[] => results.seen.map(({ key, value }) => `${key} ${value}`)
  const seen = (n: number): Promise<unknown> =>
    until(() => results.seen.length >= n, { timeoutMs: 20_000, what: () => `results: ${given()}` })
  const after = async (change: () => Promise<void>): Promise<void> => {
    const before = applied
    await change()
    await until(() => applied > before, { timeoutMs: 20_000, what: 'the table has the change' })
  }
  const many = Array.from({ length: 500 }, (_, i): [string, string] => [`n${i}`, `Name ${i}`])

  it('are whole before the first record is taken, in each process, and are kept up', async () => {
    await name(...many)
    await visit(['a', 'n0'], ['b', 'n499'], ['c', 'n250'], ['d', 'x'])
    await start('one')
    await start('two')
    await seen(4)
    expect(given().sort()).to.deep.equal(['a Name 0', 'b Name 499', 'c Name 250', 'd nobody'])
    await name(['x', 'Xena'], ['n0', 'Zero'])
    await until(
      async () => {
        await visit(['e', 'x'], ['f', 'n0'])
        await results.toEnd()
        return given().includes('e Xena') && given().includes('f Zero')
      },
      { timeoutMs: 20_000, everyMs: 100, what: () => `results: ${given().slice(4)}` }
    )
  })

  it('are read from their position after a restart: only what is new comes again', async () => {
    await name(...many)
    const first = await start('one')
    await visit(['a', 'n7'])
    await seen(1)
    await first.drain()
    await name(['n7', 'Seven'])
    const log = counting(env.transport, names)
    await start('one', log.transport)
    await visit(['b', 'n7'], ['c', 'n8'])
    await seen(3)
    expect(given().sort()).to.deep.equal(['a Name 7', 'b Seven', 'c Name 8'])
    expect(log.records()).to.equal(1)
  })

  it('begin anew when their topic was made anew', async () => {
    await name(['x', 'Xena'], ['y', 'Yann'], ['z', 'Zoe'])
    const first = await start('one')
    await first.drain()
    await env.transport.admin.deleteTopics([names])
    await createTopics(env.transport, { [names]: 3 })
    await name(['x', 'Xerxes'])
    await start('one')
    await visit(['a', 'x'], ['b', 'y'])
    await seen(2)
    expect(given().sort()).to.deep.equal(['a Xerxes', 'b nobody'])
  })

  it('see what was committed only', async () => {
    const producer = await env.transport.txnProducer(`${id}-names`, { lane: 0, timeoutMs: 60_000 })
    const write = (value: string): void => {
      const [k, v] = [Buffer.from('x'), Buffer.from(value)]
      producer.writer(names, 0).append(1, k, 0, 1, v, 0, v.length, NO_HEADERS)
    }
    write('Never')
    await producer.flush()
    await producer.abort()
    write('Xena')
    await producer.flush()
    await start('one') // is not held up by the open transaction
    await visit(['a', 'x'])
    await seen(1)
    await after(() => producer.commit())
    await producer.close()
    await visit(['b', 'x'])
    await seen(2)
    expect(given()).to.deep.equal(['a nobody', 'b Xena'])
  })

  it('end the runtime when their position is gone, and are read anew by the next', async () => {
    await name(...many)
    const running = await start('one')
    const end = running.stopped.then(
      () => undefined,
      (error: unknown) => error
    )
    await env.transport.admin.deleteTopics([names])
    await createTopics(env.transport, { [names]: 3 })
    await name(['x', 'Xena'], ['n1', 'One'])
    const error = await end
    expect(error).to.be.instanceOf(MillraceError)
    expect((error as MillraceError).code).to.equal('ERR_GLOBAL_TABLE')
    expect((error as MillraceError).message).to.contain(`of "${names}"`)
    await start('one')
    await visit(['a', 'x'], ['b', 'n1'], ['c', 'n2'])
    await seen(3)
    expect(given().sort()).to.deep.equal(['a Xena', 'b One', 'c nobody'])
  })
}
