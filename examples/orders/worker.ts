/** A process of the job on Kafka: what a user's own program would be. */
import { createRuntime } from '../../actors/index.ts'
import { orders } from './job.ts'

const [brokers, prefix, stateDir] = process.argv.slice(2) as [string, string, string]
const runtime = createRuntime({
  id: `${prefix}shop`,
  topology: orders((topic) => `${prefix}${topic}`),
  kafka: { brokers: brokers.split(',') },
  stateDir,
  guarantee: 'exactly-once',
  sessionTimeout: '6s', // a killed process is missed after six seconds
  heartbeatInterval: '1s'
})
try {
  const app = await runtime.run() // drains on SIGTERM
  process.once('disconnect', () => void app.drain()) // whoever started it is gone: do not stay behind
  await app.stopped
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
process.disconnect?.()
