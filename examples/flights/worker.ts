/** One process of the job: what a user's own program would be. */
import { createRuntime } from '../../actors/index.ts'
import { flightsTopology } from './topology.ts'
import type { WorkerMessage } from './workers.ts'

const [brokers, prefix, stateDir] = process.argv.slice(2) as [string, string, string]
const tell = (message: WorkerMessage): void => {
  if (process.connected) process.send!(message)
}

try {
  const runtime = createRuntime({
    id: `${prefix}flights-job`,
    topology: flightsTopology((topic) => `${prefix}${topic}`),
    kafka: { brokers: brokers.split(',') },
    stateDir,
    guarantee: 'exactly-once',
    sessionTimeout: '6s', // a killed process is missed after six seconds
    heartbeatInterval: '1s'
  })
  const app = await runtime.run() // drains on SIGTERM
  const running = new Set<string>()
  app.on('task.ready', ({ task }) => tell({ tasks: running.add(task).size }))
  app.on('task.closed', ({ task }) => {
    running.delete(task)
    tell({ tasks: running.size })
  })
  process.once('disconnect', () => void app.drain()) // the demo is gone: do not stay behind
  tell({ ready: true })
  await app.stopped
  process.disconnect?.()
} catch (error) {
  tell({ failed: (error as Error).message })
  process.exitCode = 1
  process.disconnect?.()
}
