/** The job on a real Kafka in two processes; with a crash, one is killed in the middle and a third takes over. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { startKafka } from '../../lib/testing/kafka.ts'
import type { Figures } from './expected.ts'
import { publishAirports, publishFlights } from './publish.ts'
import { Results } from './results.ts'
import { type Progress, progressBar } from './screen.ts'
import { createTopics } from './topics.ts'
import { type Input, pace, whenCounted } from './watch.ts'
import { startWorker, type Worker } from './workers.ts'

export async function onKafka(
  input: Input,
  options: { brokers: string[] | undefined; crash: boolean }
): Promise<Figures> {
  const own = options.brokers
    ? undefined
    : await startKafka({ log: (line) => console.error(line), signal: input.signal })
  const brokers = options.brokers ?? own!.brokers
  console.error(own ? own.how : `Kafka at ${brokers.join(', ')}`)
  // On a broker that others use, topics and group have names of their own and are removed at the end.
  const shared = own === undefined || own.way === 'env'
  const prefix = shared ? `millrace-demo-${Date.now().toString(36)}-` : ''
  const transport = kafkaTransport({ brokers })
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-demo-'))
  const bar = progressBar(input.flights.length)
  const workers: Worker[] = []
  try {
    return await runJob(input, { transport, brokers, prefix, stateDir, bar, workers, crash: options.crash })
  } finally {
    bar.stop()
    await Promise.all(workers.map((worker) => worker.end()))
    if (shared) {
      await removeAll(transport, prefix).catch((error) => console.error(`topics ${prefix}… stay: ${error.message}`))
    }
    await transport.close()
    await own?.stop()
    await rm(stateDir, { recursive: true, force: true })
  }
}

interface Job {
  transport: Transport
  brokers: string[]
  prefix: string
  stateDir: string
  bar: Progress
  workers: Worker[]
  crash: boolean
}

async function runJob({ flights, airports, seconds, signal }: Input, job: Job): Promise<Figures> {
  const { transport, bar, workers } = job
  const name = (topic: string): string => `${job.prefix}${topic}`
  let died: (error: Error) => void
  const failed = new Promise<never>((_, reject) => (died = reject))
  failed.catch(() => {})
  signal.addEventListener('abort', () => died(signal.reason as Error))

  await createTopics(transport, name)
  await publishAirports(transport, name, airports)
  signal.throwIfAborted()
  const start = (number: number): Worker => {
    const worker = startWorker({
      number,
      brokers: job.brokers,
      prefix: job.prefix,
      stateDir: join(job.stateDir, `${number}`),
      died
    })
    workers.push(worker)
    return worker
  }
  const [first, second] = [start(1), start(2)]
  await Promise.race([Promise.all([first.ready, second.ready]), failed])
  console.error('two processes are running the job, exactly-once')

  const results = new Results(transport, name, (error) => died(error))
  await results.start()
  let crashed = !job.crash
  const counted = whenCounted(results, flights.length, (done) => {
    bar.update(done, workers.map((worker) => `${worker.number}:${worker.alive ? worker.tasks : '✗'}`).join(' '))
    if (crashed || done < flights.length * 0.4) return
    crashed = true
    first.kill()
    start(3)
  })
  await Promise.race([Promise.all([publishFlights(transport, name, flights, pace(seconds)), counted]), failed])
  if (job.crash) await Promise.race([workers[2]!.ready, failed])
  await Promise.race([Promise.all(workers.filter((worker) => worker.alive).map((worker) => worker.drain())), failed])
  await results.toEnd()
  await results.close()
  bar.stop()
  if (job.crash) {
    const [, , third] = workers
    console.error(`process 1 was killed with SIGKILL in the middle; process 3 took over ${third!.mostTasks} tasks`)
  }
  return results.figures
}

async function removeAll(transport: Transport, prefix: string): Promise<void> {
  const own = (await transport.admin.topics()).filter((topic) => topic.startsWith(prefix))
  await transport.admin.deleteTopics(own)
  // Refused while a killed process still counts as a member; then it goes by the broker's own retention of empty groups.
  await transport.admin.deleteGroup(`${prefix}flights-job`).catch(() => {})
}
