/** The week on a real Kafka; with a crash, the job is killed between the setting of the timers and their time. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { startKafka } from '../../lib/testing/kafka.ts'
import type { Name } from './job.ts'
import { DAY } from './order.ts'
import { caughtUp, createTopics, passTime, publish, readOutputs } from './topics.ts'
import { END, type Happening, START } from './week.ts'

export interface KafkaOptions {
  readonly brokers: string[] | undefined
  readonly crash: boolean
  readonly signal: AbortSignal
}

export async function onKafka(happenings: readonly Happening[], options: KafkaOptions): Promise<string[]> {
  const { crash, signal } = options
  const own = options.brokers ? undefined : await startKafka({ log: (line) => console.error(line), signal })
  const brokers = options.brokers ?? own!.brokers
  console.error(own ? own.how : `Kafka at ${brokers.join(', ')}`)
  // On a broker that others use, topics and group have names of their own and are removed at the end.
  const prefix = own && own.way !== 'env' ? '' : `millrace-orders-${Date.now().toString(36)}-`
  const name: Name = (topic) => `${prefix}${topic}`
  const transport = kafkaTransport({ brokers })
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-orders-'))
  const workers: Worker[] = []
  const start = (): Worker => {
    // Each with a disk of its own, as on two machines: what it knows comes out of the changelog.
    const worker = new Worker(brokers, prefix, join(stateDir, `${workers.length}`))
    workers.push(worker)
    return worker
  }
  const through = (worker: Worker): Promise<unknown> =>
    Promise.race([caughtUp(transport, name, `${prefix}shop`), worker.died, aborted(signal)])
  try {
    await createTopics(transport, name)
    // In the middle of the week most orders wait for something, with timers set for the days after.
    const cut = crash ? START + 3.5 * DAY : END
    await publish(
      transport,
      name,
      happenings.filter(({ at }) => at < cut)
    )
    if (crash) {
      const first = start()
      await through(first)
      await first.kill()
      console.error(
        'the job was killed (SIGKILL) on the fourth day; the week goes on, and a process on another disk takes over'
      )
      await publish(
        transport,
        name,
        happenings.filter(({ at }) => at >= cut)
      )
    }
    await passTime(transport, name, END)
    const worker = start()
    await through(worker)
    await worker.drain()
    const lines = await readOutputs(transport, name)
    if (crash) console.error(`${setBefore(lines, happenings, cut)} timers were set before the kill and fired after it`)
    return lines
  } finally {
    await Promise.all(workers.map((worker) => worker.kill()))
    if (prefix)
      await removeAll(transport, prefix).catch((error) => console.error(`topics ${prefix}… stay: ${error.message}`))
    await transport.close()
    await own?.stop()
    await rm(stateDir, { recursive: true, force: true })
  }
}

class Worker {
  /** Rejects when it ends without being asked to. */
  readonly died: Promise<never>
  readonly #child: ChildProcess
  readonly #exited: Promise<number | null>
  #asked = false

  constructor(brokers: string[], prefix: string, stateDir: string) {
    const program = fileURLToPath(new URL('./worker.ts', import.meta.url))
    this.#child = fork(program, [brokers.join(','), prefix, stateDir], { execArgv: ['--import', 'tsx'] })
    this.#exited = once(this.#child, 'exit').then(([code]) => code as number | null)
    this.died = this.#exited.then((code) => {
      if (this.#asked) return new Promise<never>(() => {})
      throw new Error(`The job's process ended with status ${code}.`)
    })
    this.died.catch(() => {})
  }

  /** Finish, commit, leave the group. */
  async drain(): Promise<void> {
    this.#asked = true
    this.#child.kill('SIGTERM')
    const code = await this.#exited
    if (code !== 0) throw new Error(`The job did not drain: status ${code}.`)
  }

  /** SIGKILL: no chance to say goodbye. */
  async kill(): Promise<void> {
    this.#asked = true
    this.#child.kill('SIGKILL')
    await this.#exited
  }
}

/** Outputs by timers (reminders, lapses) at or after the cut, of orders placed before. */
function setBefore(lines: readonly string[], happenings: readonly Happening[], cut: number): number {
  const before = new Set(happenings.filter(({ topic, at }) => topic === 'orders' && at < cut).map(({ key }) => key))
  return lines.filter((line) => {
    const [topic, key, at] = line.split(' ', 3) as [string, string, string]
    const timed = topic === 'order-reminders' || line.includes('"lapsed"')
    return timed && before.has(key) && Date.parse(at) >= cut
  }).length
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }))

async function removeAll(transport: Transport, prefix: string): Promise<void> {
  await transport.admin.deleteTopics((await transport.admin.topics()).filter((topic) => topic.startsWith(prefix)))
  // Refused while a killed process still counts as a member; then it goes by the broker's own retention of empty groups.
  await transport.admin.deleteGroup(`${prefix}shop`).catch(() => {})
}
