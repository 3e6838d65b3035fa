/**
 * Coordinator and session over the real group on the embedded log, with tasks that only keep a book. Claims: assignment opens and release
 * closes; retained tasks are never stopped; two runs of one task never overlap; each failure is decided once; stopping leaves nothing.
 */
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { createActor, setup, toPromise } from 'xstate'
import { coordinatorMachine } from '../../actors/coordinator.ts'
import type { RuntimeEvent } from '../../actors/events.ts'
import { type RuntimeLogic, runtimeLogic } from '../../actors/logic.ts'
import { type RunningRuntime, running } from '../../actors/running.ts'
import { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { DecodeError, MillraceError, TransportError } from '../../lib/errors.ts'
import { type MillraceOptions, parseOptions } from '../../lib/options/options.ts'
import { bytes } from '../../lib/serde/index.ts'
import { exponential } from '../../lib/supervise/backoff.ts'
import { on } from '../../lib/supervise/rules.ts'
import { until } from '../../lib/testing/until.ts'
import { Topology } from '../../lib/topology/graph.ts'
import { descriptors, drawnEdges, machineEdges } from './diagram.ts'
import { Book } from './fakeTask.ts'

const topology = (): Topology => {
  const t = new Topology()
  t.addSource({ name: 'in', topics: ['in'], key: bytes(), value: bytes() })
  t.addSink({ name: 'out', parents: ['in'], topic: 'out', key: bytes(), value: bytes() })
  return t
}

describe('the coordinator', () => {
  let broker: EmbeddedBroker
  let book: Book
  const started: RunningRuntime[] = []
  const closers: (() => Promise<void>)[] = []

  beforeEach(async () => {
    broker = embeddedBroker({})
    book = new Book()
    const transport = embeddedTransport({ broker, client: 'setup' })
    const spec = (topic: string) => ({ topic, partitions: 6, replication: 1, config: {} })
    await transport.admin.create([spec('in'), spec('out')])
    await transport.close()
  })

  afterEach(async () => {
    for (const runtime of started.splice(0)) await runtime.kill().catch(() => {})
    for (const close of closers.splice(0)) await close()
    await broker.close()
    expect(book.violations).to.deep.equal([])
  })

  const logicOf = (process: string, options: Partial<MillraceOptions> = {}) => {
    const transport = embeddedTransport({ broker, client: process })
    closers.push(() => transport.close())
    const settings = parseOptions({
      id: 'job',
      topology: topology(),
      transport,
      store: 'memory',
      sessionTimeout: '6s',
      heartbeatInterval: 50,
      rebalanceTimeout: '4s',
      ...options
    })
    return { settings, logic: runtimeLogic(settings, book.create(process)) }
  }

  const start = async (process: string, options: Partial<MillraceOptions> = {}): Promise<RunningRuntime> => {
    const { settings, logic } = logicOf(process, options)
    const runtime = await running(settings, logic, { signals: false })
    started.push(runtime)
    return runtime
  }

  const all = ['0_0', '0_1', '0_2', '0_3', '0_4', '0_5']
  const steady = (...processes: string[]): Promise<unknown> =>
    until(
      () => {
        const counts = processes.map((p) => book.running(p).length)
        return counts.reduce((a, b) => a + b, 0) === 6 && Math.max(...counts) - Math.min(...counts) <= 1
      },
      {
        what: () => `six tasks spread over ${processes}: ${processes.map((p) => `${p} ${book.running(p)}`).join(' | ')}`
      }
    )

  it('is what its diagram says, and has wildcards only for the ends of tasks', () => {
    const path = fileURLToPath(new URL('../../actors/coordinator.ts', import.meta.url))
    expect(machineEdges(coordinatorMachine)).to.deep.equal(drawnEdges(path))
    expect(new Set(descriptors(coordinatorMachine).filter((d) => d.includes('*')))).to.deep.equal(
      new Set(['xstate.done.actor.task.*', 'xstate.error.actor.task.*'])
    )
  })

  it('opens every task, becomes steady and healthy, and drains to nothing', async () => {
    const runtime = await start('a')
    const ready: string[] = []
    runtime.on('task.ready', ({ task }) => ready.push(task))
    await until(() => runtime.state === 'member.steady')
    expect(book.running('a')).to.deep.equal(all)
    expect(ready.sort()).to.deep.equal(all)
    expect(runtime.healthy).to.equal(true)
    await runtime.drain()
    expect(runtime.state).to.equal('stopped')
    expect(book.open.size).to.equal(0)
    expect(book.log.filter((l) => l.endsWith('close clean'))).to.have.length(6)
  })

  it('moves tasks to those that join and from those that leave; tasks that stay are never stopped, only renewed', async () => {
    const a = await start('a')
    await steady('a')
    await start('b')
    await steady('a', 'b')
    const c = await start('c')
    await steady('a', 'b', 'c')
    const kept = book.running('a')
    for (const task of kept) expect(book.log.filter((l) => l === `a ${task} open`)).to.have.length(1)
    for (const task of kept) expect(book.log.some((l) => l.startsWith(`a ${task} renew`))).to.equal(true)
    const moved = all.filter((task) => !kept.includes(task))
    for (const task of moved) expect(book.log).to.include(`a ${task} close clean`)
    await a.drain()
    await steady('b', 'c')
    await c.drain()
    await steady('b')
    expect(book.log.filter((l) => l.includes('dirty'))).to.deep.equal([])
    expect(new Set(book.log.filter((l) => /^b .* run$/.test(l))).size).to.equal(6)
  })

  it('holds the commits of live tasks before each rebalance and hands the new generation to those that stay', async () => {
    await start('a')
    await steady('a')
    await start('b')
    await steady('a', 'b')
    for (const task of book.running('a')) {
      const told = book.log.filter((l) => l.startsWith(`a ${task} `)).map((l) => l.split(' ')[2])
      expect(told.indexOf('hold')).to.be.greaterThan(-1)
      expect(told.indexOf('renew')).to.be.greaterThan(told.indexOf('hold'))
    }
    const metas = [...book.open.values()].filter((t) => t.process === 'a').map((t) => t.meta!.generation)
    expect(new Set(metas).size).to.equal(1)
  })

  it('does not let opening block the group: a task that opens slowly holds up nobody', async () => {
    let letGo!: () => void
    const gate = new Promise<void>((resolve) => {
      letGo = resolve
    })
    book.disturb = (task, step) => (step === 'open' && task.plan.id === '0_0' ? gate : undefined)
    const a = await start('a')
    await until(() => book.running('a').length === 5)
    expect(a.state).to.equal('member.balancing')
    await start('b')
    await until(() => book.running('a').length + book.running('b').length === 5 && book.running('b').length >= 2)
    letGo()
    await steady('a', 'b')
  })

  it('never runs a task twice in one process when it comes back while it is still closing', async () => {
    // a holds the close of a task back; meanwhile b joins and leaves, so that the task is assigned to a again before it has closed.
    let letGo!: () => void
    const gate = new Promise<void>((resolve) => {
      letGo = resolve
    })
    book.disturb = (task, step) => (step === 'close' && task.process === 'a' ? gate : undefined)
    await start('a', { rebalanceTimeout: '400ms', shutdown: { closeWithin: '30s' } })
    await steady('a')
    const b = await start('b', { rebalanceTimeout: '400ms' })
    await until(() => book.log.some((l) => l.startsWith('b ') && l.endsWith('run')), { what: 'b runs a task' })
    await b.drain()
    await until(() => started[0]!.state !== 'member.steady')
    letGo()
    await steady('a')
  })

  it('restarts all with one that failed when told so, and opens none before all have closed', async () => {
    let letGo!: () => void
    const gate = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const a = await start('a', {
      supervise: {
        strategy: 'one-for-all',
        rules: [on(RangeError).restart({ backoff: exponential(20, 20, { jitter: 0 }) })]
      }
    })
    await until(() => a.state === 'member.steady')
    book.disturb = (task, step) => (step === 'close' && task.plan.id === '0_5' ? gate : undefined)
    book.open.get('a 0_3')!.fail(new RangeError('odd'))
    const closed = (): number => book.log.filter((l) => l.endsWith('close dirty')).length
    await until(() => closed() === 5, { what: 'all but the one that hangs have closed' })
    await until(() => Object.values(a.tasks).filter((t) => t.state === 'clean').length === 5)
    expect(a.healthy).to.equal(false)
    expect(book.log.filter((l) => l.endsWith('open'))).to.have.length(6)
    letGo()
    await until(() => a.state === 'member.steady')
    expect(book.log.filter((l) => l.endsWith('open'))).to.have.length(12)
    expect(book.running('a')).to.deep.equal(all)
    expect(a.tasks['0_0']).to.deep.include({ state: 'running', restarts: 1 })
  })

  it('restarts a failed task alone, with back-off, and tells it once', async () => {
    const a = await start('a', {
      supervise: { rules: [on(RangeError).restart({ backoff: exponential(20, 20, { jitter: 0 }) })] }
    })
    await until(() => a.state === 'member.steady')
    const events: RuntimeEvent[] = []
    for (const type of ['task.failed', 'task.restarted', 'task.ready'] as const) a.on(type, (e) => events.push(e))
    book.open.get('a 0_3')!.fail(new RangeError('odd'))
    await until(() => events.some((e) => e.type === 'task.ready'))
    expect(events).to.deep.equal([
      {
        type: 'task.failed',
        task: '0_3',
        error: { name: 'RangeError', code: 'ERR_UNEXPECTED', message: 'odd' },
        directive: 'restart',
        attempt: 1,
        nextMs: 20
      },
      { type: 'task.restarted', task: '0_3', attempt: 1 },
      { type: 'task.ready', task: '0_3' }
    ] satisfies RuntimeEvent[])
    expect(book.log.filter((l) => l.endsWith('open'))).to.have.length(7)
    await until(() => a.state === 'member.steady')
    expect(a.tasks['0_3']).to.deep.include({ state: 'running', restarts: 1 })
  })

  it('reopens a task that was fenced while it is still assigned, after a back-off', async () => {
    const a = await start('a')
    await until(() => a.state === 'member.steady')
    book.open.get('a 0_1')!.fail(new TransportError('fenced', 'fenced'))
    await until(() => a.tasks['0_1']?.state === 'reopening')
    expect(a.state).to.equal('member.degraded')
    await until(() => a.tasks['0_1']?.state === 'running', { timeoutMs: 5_000 })
    expect(book.log.filter((l) => l === 'a 0_1 open')).to.have.length(2)
  })

  it('closes without a commit what it lost with its membership, and opens it again as a new member', async () => {
    const a = await start('a')
    await until(() => a.state === 'member.steady')
    const lost: (readonly string[])[] = []
    a.on('runtime.rebalanced', (e) => e.lost.length > 0 && lost.push(e.lost))
    let once = true
    broker.fault(({ api }) => {
      if (api !== 'Heartbeat' || !once) return undefined
      once = false
      return { answer: { throttleMs: 0, error: 25 } }
    })
    await until(() => book.log.filter((l) => l.endsWith('close dirty')).length === 6)
    await until(() => a.state === 'member.steady' && book.running('a').length === 6)
    expect(lost.map((tasks) => [...tasks].sort())).to.deep.equal([all])
    expect(book.log.filter((l) => l.endsWith('close clean'))).to.deep.equal([])
  })

  it('closes tasks without a commit when they do not drain before the rebalance must go on', async () => {
    const a = await start('a', { rebalanceTimeout: '400ms' })
    await until(() => a.state === 'member.steady')
    for (const task of book.open.values()) task.drain = () => {}
    await start('b', { rebalanceTimeout: '400ms' })
    await steady('a', 'b')
    expect(book.log.filter((l) => /^a .* close dirty$/.test(l))).to.have.length.at.least(3)
  })

  it('fails as a whole with the error itself when a failure escalates; the other tasks commit first', async () => {
    const a = await start('a')
    await until(() => a.state === 'member.steady')
    const error = new DecodeError('The value does not decode.', { details: { topic: 'in', partition: 2, offset: 7 } })
    book.open.get('a 0_2')!.fail(error)
    const thrown = await a.stopped.then(() => undefined, (e) => e) // biome-ignore format: one line
    expect(thrown).to.equal(error)
    expect(a.state).to.equal('failed')
    expect(book.open.size).to.equal(0)
    expect(book.log.filter((l) => l.endsWith('close clean'))).to.have.length(5)
    expect(book.log.filter((l) => l.endsWith('close dirty'))).to.deep.equal(['a 0_2 close dirty'])
  })

  it('keeps the others going when a rule stops one task, and is degraded', async () => {
    const a = await start('a', { supervise: { onEscalate: 'stop-task' } })
    await until(() => a.state === 'member.steady')
    book.open.get('a 0_2')!.fail(new DecodeError('bad'))
    await until(() => a.tasks['0_2']?.state === 'stopped')
    expect(a.state).to.equal('member.degraded')
    expect(a.healthy).to.equal(false)
    expect(a.tasks['0_2']!.lastError).to.include({ code: 'ERR_DECODE' })
    expect(book.running('a')).to.have.length(5)
  })

  it('pauses and resumes every task, and opens new ones paused', async () => {
    const a = await start('a')
    await steady('a')
    a.pause()
    expect(book.log.filter((l) => l.endsWith('pause'))).to.have.length(6)
    expect(a.tasks['0_0']!.state).to.equal('suspended')
    expect(a.state).to.equal('member.steady')
    a.resume()
    expect(a.tasks['0_0']!.state).to.equal('running')
  })

  it('gives up a task that does not close while the runtime drains, and says so', async () => {
    book.disturb = (task, step) => (step === 'close' && task.plan.id === '0_5' ? new Promise(() => {}) : undefined)
    const a = await start('a', { shutdown: { drainWithin: 100, closeWithin: 100 } })
    await steady('a')
    const outcomes: string[] = []
    a.on('task.closed', ({ task, outcome }) => outcomes.push(`${task} ${outcome.kind}`))
    await a.drain()
    expect(outcomes).to.include('0_5 leaked')
    expect(outcomes.filter((o) => o.endsWith('released'))).to.have.length(5)
  })

  it('refuses a second start while the first is live, without touching it, and may run again afterwards', async () => {
    const { settings, logic } = logicOf('a')
    const first = await running(settings, logic, { signals: false })
    started.push(first)
    await steady('a')
    const error = await running(settings, logic, { signals: false }).catch((e) => e)
    expect(error).to.be.instanceOf(MillraceError).with.property('code', 'ERR_STATE')
    expect(book.running('a')).to.have.length(6)
    await first.drain()
    const again = await running(settings, logic, { signals: false })
    started.push(again)
    await steady('a')
  })

  it('drains on abort, and refuses to start with a signal that is aborted', async () => {
    const { settings, logic } = logicOf('a')
    const stop = new AbortController()
    const runtime = await running(settings, logic, { signals: false, signal: stop.signal })
    started.push(runtime)
    await steady('a')
    stop.abort(new Error('enough'))
    await runtime.stopped
    expect(book.open.size).to.equal(0)
    const error = await running(settings, logic, { signal: stop.signal }).catch((e) => e)
    expect(error.message).to.equal('enough')
  })

  it('drains on SIGTERM and takes its listeners away', async () => {
    const { settings, logic } = logicOf('a')
    const before = process.listenerCount('SIGTERM')
    const runtime = await running(settings, logic, {})
    started.push(runtime)
    await steady('a')
    process.emit('SIGTERM')
    await runtime.stopped
    expect(book.log.filter((l) => l.endsWith('close clean'))).to.have.length(6)
    expect(process.listenerCount('SIGTERM')).to.equal(before)
  })

  describe('as logic in the system of a host', () => {
    const hostOf = (logic: RuntimeLogic) =>
      setup({ actors: { job: logic } }).createMachine({
        initial: 'up',
        states: {
          up: {
            invoke: { src: 'job', id: 'job', systemId: 'job', onDone: 'down', onError: 'broken' },
            on: { CUT: 'cut' }
          },
          down: { type: 'final' },
          broken: { on: { AGAIN: 'up' } },
          cut: {}
        }
      })

    it('starts by itself, and is done when the host drains it', async () => {
      const host = createActor(hostOf(logicOf('a').logic)).start()
      await steady('a')
      host.system.get('job')!.send({ type: 'DRAIN' })
      await toPromise(host)
      expect(host.getSnapshot().value).to.equal('down')
      expect(book.open.size).to.equal(0)
    })

    it('ends in error for the host, which may invoke it anew', async () => {
      const host = createActor(hostOf(logicOf('a').logic)).start()
      await steady('a')
      book.open.get('a 0_2')!.fail(new DecodeError('bad'))
      await until(() => host.getSnapshot().value === 'broken')
      expect(book.open.size).to.equal(0)
      host.send({ type: 'AGAIN' })
      await steady('a')
      host.system.get('job')!.send({ type: 'DRAIN' })
      await toPromise(host)
    })

    it('closes everything when the host just stops it', async () => {
      const host = createActor(hostOf(logicOf('a').logic)).start()
      await steady('a')
      host.send({ type: 'CUT' })
      await until(() => book.open.size === 0)
      expect(book.log.filter((l) => l.endsWith('close dirty'))).to.have.length(6)
      await start('b')
      await steady('b')
    })
  })
})
