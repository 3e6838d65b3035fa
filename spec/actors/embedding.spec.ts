/** The runtime inside a host's XState system: commands, restart after an error, the host's clock, logger and inspection; and without XState. */
import { expect } from 'chai'
import {
  type AnyActorRef,
  assign,
  createActor,
  type InspectionEvent,
  SimulatedClock,
  sendTo,
  setup,
  spawnChild,
  toPromise
} from 'xstate'
import {
  type MillraceOptions,
  type Runtime,
  type RuntimeEvent,
  type RuntimeStatus,
  string,
  topic,
  topology
} from '../../actors/index.ts'
import type { RuntimeSnapshot } from '../../actors/logic.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, embeddedJobs, publish, type Watcher } from './jobKit.ts'

const counting = (name: string) => {
  const t = topology()
  t.stream(topic(`${name}-in`, { value: string() }))
    .groupByKey()
    .count({ name: 'counts' })
    .toStream()
    .mapValues((count) => `${count}`)
    .to(topic(`${name}-out`, { value: string() }))
  return t
}

describe('a runtime in a host', function () {
  this.timeout(30_000)
  const hosts: AnyActorRef[] = []
  afterEach(() => {
    for (const host of hosts.splice(0)) (host as ReturnType<typeof createActor>).stop()
  })
  const jobs = embeddedJobs({ 'a-in': 2, 'a-out': 2, 'b-in': 2, 'b-out': 2 })
  const job = (name = 'a', more: Partial<MillraceOptions> = {}): Runtime =>
    jobs.runtime(name, { id: name, topology: counting(name), ...more })
  const watch = (name: string): Promise<Watcher> => jobs.watch(name)
  const steady = (actor: () => AnyActorRef | undefined) =>
    until(() => (actor()?.getSnapshot() as RuntimeSnapshot | undefined)?.hasTag('healthy'))

  it('is invoked, found in the system by its name, listened to, and done after DRAIN', async () => {
    const { logic } = job()
    const backend = setup({ actors: { billing: logic } }).createMachine({
      initial: 'up',
      states: {
        up: {
          invoke: { src: 'billing', id: 'billing', systemId: 'billing', onDone: 'down' },
          on: { SIGTERM: { actions: sendTo('billing', { type: 'DRAIN' }) } }
        },
        down: { type: 'final' }
      }
    })
    const root = createActor(backend).start()
    hosts.push(root)
    const billing = root.system.get('billing') as unknown as ReturnType<typeof createActor<typeof logic>>
    const events: RuntimeEvent['type'][] = []
    billing.on('task.ready', ({ type }) => events.push(type))
    billing.on('task.closed', ({ type }) => events.push(type))
    await steady(() => billing)
    expect(() => structuredClone(billing.getSnapshot().context)).not.to.throw()
    expect(JSON.stringify(billing.getPersistedSnapshot()).length).to.be.below(4_000)
    const end = toPromise(root)
    root.send({ type: 'SIGTERM' })
    await end
    expect(events).to.deep.equal(['task.ready', 'task.ready', 'task.closed', 'task.closed'])
  })

  it('is spawned; takes START, PAUSE, RESUME and KILL', async () => {
    const { logic } = job()
    const host = setup({ actors: { job: logic } }).createMachine({
      entry: spawnChild('job', { id: 'job', input: { autostart: false } }),
      on: {
        '*': { actions: sendTo('job', ({ event }) => event as { type: 'START' }) }
      }
    })
    const root = createActor(host).start() as unknown as ReturnType<typeof createActor>
    hosts.push(root)
    const child = (): RuntimeSnapshot =>
      (root.getSnapshot() as unknown as { children: Record<string, AnyActorRef> }).children.job!.getSnapshot()
    expect(child().value).to.equal('idle')
    root.send({ type: 'START' })
    await until(() => child().hasTag('healthy'))
    const out = await watch('a-out')
    root.send({ type: 'PAUSE' })
    await until(() => Object.values(child().context.tasks).every((t) => t.state === 'suspended'))
    await publish(jobs.transport, 'a-in', [['k', 'v']])
    expect(out.seen).to.deep.equal([])
    root.send({ type: 'RESUME' })
    await until(() => out.latest().k === 1)
    root.send({ type: 'KILL' })
    await until(() => child().status === 'done')
  })

  it('fails its host with the cause, and is started again by it, when the cause is mended', async () => {
    const { logic } = job('late')
    const backend = setup({
      types: { context: {} as { error: unknown } },
      actors: { job: logic }
    }).createMachine({
      context: { error: undefined },
      initial: 'up',
      states: {
        up: {
          invoke: {
            src: 'job',
            id: 'job',
            onError: { target: 'degraded', actions: assign({ error: ({ event }) => event.error }) }
          }
        },
        degraded: { on: { AGAIN: 'up' } }
      }
    })
    const root = createActor(backend).start()
    hosts.push(root)
    await until(() => root.getSnapshot().matches('degraded'))
    expect(root.getSnapshot().context.error).to.include({ code: 'ERR_MISSING_TOPIC' })
    await createTopics(jobs.transport, { 'late-in': 1, 'late-out': 1 })
    root.send({ type: 'AGAIN' })
    await steady(() => root.getSnapshot().children.job)
    await publish(jobs.transport, 'late-in', [['k', 'v']])
    const out = await watch('late-out')
    await until(() => out.latest().k === 1)
  })

  it('lives beside another runtime in one system', async () => {
    const host = setup({ actors: { a: job('a').logic, b: job('b').logic } }).createMachine({
      invoke: [
        { src: 'a', id: 'a', systemId: 'a' },
        { src: 'b', id: 'b', systemId: 'b' }
      ]
    })
    const root = createActor(host).start()
    hosts.push(root)
    const outs = [await watch('a-out'), await watch('b-out')]
    await publish(jobs.transport, 'a-in', [['k', 'v']])
    await publish(jobs.transport, 'b-in', [
      ['k', 'v'],
      ['k', 'v']
    ])
    await until(() => outs[0]!.latest().k === 1 && outs[1]!.latest().k === 2)
  })

  it('runs on the clock of its host and writes to its logger, where the options say nothing else', async () => {
    const clock = Object.assign(new SimulatedClock(), {}) as SimulatedClock
    const lines: unknown[][] = []
    const { logic } = job('a', { commitInterval: '1h' })
    const root = createActor(logic, { clock, logger: (...line) => lines.push(line) })
    hosts.push(root)
    root.start()
    // What waits for a time passes as the host's clock says: heartbeats, fetches, and the commit after an hour.
    const later = (what: () => unknown) =>
      until(() => {
        clock.increment(10)
        return what()
      })
    await later(() => root.getSnapshot().hasTag('healthy'))
    const out = await watch('a-out')
    await publish(jobs.transport, 'a-in', [['k', 'v']])
    await later(() => Object.values(root.getSnapshot().context.tasks).every((t) => t.state === 'running'))
    expect(out.seen).to.deep.equal([])
    clock.increment(3_600_000)
    await later(() => out.latest().k === 1)
    expect(lines.map(([level]) => level)).to.include('warn') // the output topic deletes by age
  })

  it('shows an inspector its machines, and what the pumps do as an actor of its own', async () => {
    const seen: InspectionEvent[] = []
    const runtime = job('a', { inspect: (event: InspectionEvent) => seen.push(event) })
    const app = await runtime.run({ signals: false })
    const figures: RuntimeEvent[] = []
    app.on('runtime.progress', (event) => figures.push(event))
    await publish(jobs.transport, 'a-in', [
      ['k', 'v'],
      ['l', 'v']
    ])
    await until(() => figures.length > 0)
    const ids = new Set(seen.map(({ actorRef }) => (actorRef as AnyActorRef).id))
    expect([...ids]).to.include.members(['pump', 'task.0_0', 'task.0_1'])
    const shown = seen.filter(
      (e) => e.type === '@xstate.snapshot' && (e.actorRef as AnyActorRef).id === 'pump' && e.event.type === 'FIGURES'
    )
    expect((shown.at(-1) as { snapshot: { context: object } } & InspectionEvent).snapshot.context).to.include({
      records: 2,
      lag: 0
    })
    await app.drain()
  })

  it('is held by a program without XState: send, subscribe, on, stopped', async () => {
    const app = await job().run({ signals: false })
    const seen: RuntimeStatus[] = []
    const stop = app.subscribe((status) => seen.push(status))
    expect(seen).to.have.length(1)
    await until(() => seen.at(-1)!.healthy)
    app.send({ type: 'PAUSE' })
    await until(() => Object.values(seen.at(-1)!.tasks).every((t) => t.state === 'suspended'))
    expect(() => structuredClone(seen)).not.to.throw()
    app.send({ type: 'DRAIN' })
    expect(await app.stopped).to.include({ exitCode: 0, reached: false })
    expect(seen.at(-1)).to.include({ id: 'a', state: 'stopped', healthy: false })
    stop()
  })
})
