/** One process of a job, as a user's own program would be: started by the migration and bad-input specs. */
import { createRuntime, json, string, topic, topology } from '../../actors/index.ts'
import { stopwatch } from '../../lib/time.ts'

export interface JobArguments {
  id: string
  brokers: string[]
  stateDir: string
  input: string
  output: string
  /** Joins this topic as a table. */
  table?: string
  /** What is wrong with it. */
  fault?: 'decode' | 'encode' | 'option'
  reachTimeoutMs?: number
  /** Default 10 s. */
  sessionMs?: number
}

export type JobMessage =
  | { type: 'state'; live: string[]; state: string }
  /** Longest time between two records of a partition, in ms, since `mark`. */
  | { type: 'gaps'; gaps: Record<string, number> }

const args = JSON.parse(process.argv[2]!) as JobArguments
const tell = (message: JobMessage): void => {
  if (process.connected) process.send!(message)
}

const lastSeen = new Map<string, number>()
const gaps = new Map<string, number>()
const note = (partition: string): void => {
  const now = stopwatch()
  const before = lastSeen.get(partition)
  if (before !== undefined) gaps.set(partition, Math.max(gaps.get(partition) ?? 0, now - before))
  lastSeen.set(partition, now)
}

function job() {
  const t = topology()
  const output = topic(args.output, { value: string() })
  if (args.fault === 'decode') {
    t.stream(topic(args.input, { value: json<{ n: number }>() }))
      .mapValues((value) => `${value.n}`)
      .to(output)
  } else if (args.fault === 'encode') {
    t.stream(topic(args.input, { value: string() }))
      .mapValues((value) => ({ value, big: 1n }))
      .to(topic(args.output, { value: json() }))
  } else if (args.table) {
    const table = t.table(topic(args.table, { value: string() }))
    t.stream(topic(args.input, { value: string() }))
      .join(table, (left, right) => `${left}${right}`)
      .to(output)
  } else {
    // Keys are `<partition>/<n>`: counted where they lie, so that task p reads and writes partition p.
    t.stream(topic(args.input, { value: string() }))
      .peek(({ key }) => note(key.slice(0, key.indexOf('/'))))
      .groupByKey()
      .count({ name: 'seen', caching: false })
      .toStream()
      .mapValues((count) => `${count}`)
      .to(output)
  }
  return t
}

// JOB_LOG=1 tells what each process of a job lives through.
const print = (facts: object, message: string): void => {
  const { error, ...rest } = facts as { error?: Error }
  console.error(new Date().toISOString().slice(14), process.pid, message, JSON.stringify(rest), error?.message ?? '')
}
const logger = { debug() {}, info: print, warn: print, error: print }

const runtime = createRuntime({
  id: args.id,
  topology: job(),
  kafka: { brokers: args.brokers, ...(args.reachTimeoutMs ? { reachTimeoutMs: args.reachTimeoutMs } : {}) },
  stateDir: args.stateDir,
  guarantee: 'exactly-once',
  ...(process.env.JOB_LOG ? { logger } : {}),
  sessionTimeout: args.sessionMs ?? '10s',
  heartbeatInterval: args.sessionMs ? args.sessionMs / 6 : '500ms',
  rebalanceTimeout: '20s',
  ...(args.fault === 'option' ? { comitInterval: 5 } : {})
})
const app = await runtime.run()
if (process.env.JOB_LOG) app.on('runtime.rebalanced', (event) => print(event, 'rebalanced'))
const live = new Set<string>()
tell({ type: 'state', live: [], state: app.state })
app.on('task.ready', ({ task }) => tell({ type: 'state', live: [...live.add(task)], state: app.state }))
app.on('task.closed', ({ task }) => {
  live.delete(task)
  tell({ type: 'state', live: [...live], state: app.state })
})
process.on('message', (message) => {
  if (message === 'mark') gaps.clear()
  if (message === 'gaps') tell({ type: 'gaps', gaps: Object.fromEntries(gaps) })
})
process.once('disconnect', () => void app.kill().catch(() => {})) // the spec is gone
await app.stopped
if (process.connected) process.disconnect()
