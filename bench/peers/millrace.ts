/** The engine's own job, as a user's program would run it: `createRuntime` over the workload's topology, one process. */
import { createRuntime, topology } from '../../actors/index.ts'
import { began, job, ready, stopped } from '../harness/child.ts'
import { PARTITIONS, type Source } from '../harness/types.ts'
import { workload } from '../workloads/index.ts'

const work = job()
const { group, brokers, guarantee, stateDir, streamed, partitions = PARTITIONS, tasks = partitions, commitMs } = work
const { standbys = 0, sessionMs } = work

// As the JVM's program does, it leaves (and so commits) once it has taken all: nobody is measured by the clock of commits.
let records = 0
let all: () => void
const consumed = new Promise<void>((resolve) => {
  all = resolve
})
const taken = (): void => {
  if (++records === streamed) all()
}
const source: Source = (t, from) => t.stream(from).peek(taken)

const builder = topology()
const built = workload(work.workload).build(builder, work, source, taken) ?? builder
const runtime = createRuntime({
  ...{ id: group, topology: built, kafka: { brokers: [...brokers] }, stateDir, guarantee },
  standbys,
  ...(sessionMs ? { sessionTimeout: sessionMs, heartbeatInterval: sessionMs / 3 } : {}),
  ...(commitMs ? { commitInterval: commitMs } : {})
})
const stop = stopped()
const app = await runtime.run()
const look = (): void => {
  const states = Object.values(app.tasks).map(({ state }) => state)
  if (states.includes('running')) began()
  if (states.length === tasks && states.every((state) => state === 'running')) ready()
}
app.on('task.ready', () => setImmediate(look)) // once the snapshot has it
app.on('task.closed', () => setImmediate(look)) // as others join, one has too many at first
look()
await Promise.race([consumed, stop, app.stopped])
await app.drain()
await stop
