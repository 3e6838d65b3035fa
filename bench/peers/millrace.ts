/** The engine's own job, as a user's program would run it: `createRuntime` over the workload's topology, one process. */
import { createRuntime } from '../../actors/index.ts'
import { began, job, stopped } from '../harness/side.ts'
import { topologyOf } from '../workloads/topologies.ts'

const work = job()
const { group, brokers, guarantee, stateDir } = work
const runtime = createRuntime({ id: group, topology: topologyOf(work), kafka: { brokers }, stateDir, guarantee })
const app = await runtime.run()
if (app.tasks && Object.keys(app.tasks).length > 0) began()
app.on('task.ready', began)
await Promise.race([stopped(), app.stopped])
await app.drain()
