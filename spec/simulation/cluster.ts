/** Two or three runtimes of one job on one embedded broker, and a storm drawn from a seed: crashes, drains, joins, lost answers, fences, isolation. */
import { join } from 'node:path'
import {
  createRuntime,
  FencedError,
  int,
  type MillraceError,
  on,
  type RunningRuntime,
  string,
  topic,
  topology,
  tumbling
} from '../../actors/index.ts'
import { type EmbeddedBroker, embeddedBroker, embeddedTransport, type WireFault } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { tpKey } from '../../lib/record.ts'
import type { Guarantee, Logger } from '../../lib/task/port.ts'
import { until } from '../../lib/testing/until.ts'
import { delay, type Random, seededRandom, systemClock } from '../../lib/time.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'

const PARTITIONS = 3
const USERS = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gil']
const REGIONS = ['north', 'south', 'east']
const WINDOW = 40
const ID = 'job'

/** Calls that a broken connection may hit at any time. The rest (topics, metadata) happens once, at the start. */
const HURT = new Set([
  'Produce',
  'Fetch',
  'Heartbeat',
  'JoinGroup',
  'SyncGroup',
  'OffsetCommit',
  'OffsetFetch',
  'InitProducerId',
  'AddPartitionsToTxn',
  'AddOffsetsToTxn',
  'TxnOffsetCommit',
  'EndTxn',
  'ListOffsets'
])
/** Calls that the broker may get twice, as a repeat after a lost answer would bring them. */
const TWICE = new Set(['Produce', 'TxnOffsetCommit', 'EndTxn', 'AddPartitionsToTxn', 'OffsetCommit'])

/** Orders by user: joined with the user's table row, counted per region behind a repartition topic, counted per user and window. */
function job() {
  const t = topology()
  const users = t.table(topic('users', { value: string() }), { name: 'users-table' })
  const orders = t.stream(topic('orders', { value: string() }))
  orders.join(users, (order, user) => `${order}:${user}`, { name: 'named' }).to(topic('joined', { value: string() }))
  orders
    .groupBy(({ value }) => regionOf(value), { name: 'by-region', key: string() })
    .count({ name: 'regions', value: int() })
    .toStream()
    .mapValues((count) => `${count}`)
    .to(topic('totals', { value: string() }))
  orders
    .groupByKey()
    .windowedBy(tumbling(WINDOW, { grace: 100_000 }))
    .count({ name: 'windows', value: int() })
    .toStream(({ key }) => `${key.key}@${key.start}`, { key: string() })
    .mapValues((count) => `${count}`)
    .to(topic('windowed', { value: string() }))
  return t
}

const regionOf = (order: string): string => REGIONS[Number(order) % REGIONS.length]!
const userOf = (n: number): string => USERS[(n * 5 + (n >> 3)) % USERS.length]!
const order = (n: number): [string, string] => [userOf(n), String(n)]

interface Process {
  readonly name: string
  readonly client: string
  readonly directory: string
  readonly transport: Transport
  readonly runtime: RunningRuntime
  /** Not one of the cluster any more. */
  ended: boolean
  /** Its directory is free again. */
  gone: boolean
}

export interface Outcome {
  readonly seed: number
  readonly events: readonly string[]
  /** What is wrong with the output; empty = all is right. */
  readonly wrong: readonly string[]
}

export interface StormOptions {
  readonly seed: number
  readonly guarantee: Guarantee
  readonly steps: number
}

export class Cluster {
  readonly #random: Random
  readonly #dice: Random // of the wire, apart: the number of its calls depends on the machine
  readonly #options: StormOptions
  readonly #broker: EmbeddedBroker
  readonly #transport: Transport
  readonly #events: string[] = []
  readonly #failures: unknown[] = []
  readonly #cut = new Set<string>()
  readonly #processes: Process[] = []
  #state!: Awaited<ReturnType<typeof stateDirectory>>
  #lives = 0
  #published = 0
  #storm = true

  constructor(options: StormOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#dice = seededRandom(options.seed + 1_000_003)
    const latency = seededRandom(options.seed + 2_000_003)
    this.#broker = embeddedBroker({
      random: seededRandom(options.seed + 3_000_003),
      minSessionMs: 100,
      markerDelayMs: Math.floor(this.#random() * 8),
      latencyMs: () => latency() * 2
    })
    this.#transport = embeddedTransport({ broker: this.#broker, client: 'spec' })
  }

  /** The whole story: start, storm, calm, the end of all input; then what is wrong with the output. */
  async run(): Promise<Outcome> {
    const { seed, steps } = this.#options
    this.#state = await stateDirectory()
    const watchers: Watcher[] = []
    try {
      await createTopics(this.#transport, {
        users: PARTITIONS,
        orders: PARTITIONS,
        joined: PARTITIONS,
        totals: PARTITIONS,
        windowed: PARTITIONS
      })
      for (const name of ['joined', 'totals', 'windowed']) {
        watchers.push(await new Watcher(this.#transport, name).start())
      }
      await publish(
        this.#transport,
        'users',
        USERS.map((user) => [user, user.toUpperCase()] as const)
      )
      await this.#publish(60)
      this.#broker.fault((call) => this.#fault(call.client, call.api))
      await this.#start()
      await this.#start()
      for (let step = 0; step < steps; step++) {
        await this.#publish(10 + Math.floor(this.#random() * 40))
        await this.#step()
        await delay(systemClock, Math.floor(this.#random() * 120))
      }
      this.#storm = false
      this.#cut.clear()
      this.#log('calm')
      if (this.#alive.length === 0) {
        // All may have crashed one after the other, and still hold their disks.
        await until(() => this.#free.length > 0, { timeoutMs: 20_000, what: 'a process that crashed is gone' })
        await this.#start()
      }
      await this.#publish(30)
      await this.#settled()
      // What is on its way through the repartition topic: a transaction's markers make "all of it is committed" no offset one could wait for.
      await until(() => this.#judge(watchers).length === 0, { timeoutMs: 20_000 }).catch(() => {})
      for (const process of this.#alive) await this.#drain(process)
      for (const watcher of watchers) await watcher.toEnd()
      return { seed, events: this.#events, wrong: this.#judge(watchers) }
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}\n  ${this.#events.join('\n  ')}`, { cause: error })
    } finally {
      this.#storm = false
      for (const process of this.#processes) if (!process.gone) await process.runtime.kill().catch(() => {})
      for (const process of this.#processes) await process.transport.close()
      for (const watcher of watchers) await watcher.close()
      await this.#transport.close()
      await this.#broker.close()
      await this.#state.remove()
    }
  }

  get #alive(): Process[] {
    return this.#processes.filter((process) => !process.ended)
  }

  /** Names whose disk nobody holds. */
  get #free(): string[] {
    return ['x', 'y', 'z', 'w', 'v'].filter((name) => !this.#processes.some((p) => !p.gone && p.name === name))
  }

  async #step(): Promise<void> {
    const roll = this.#random()
    const alive = this.#alive
    const one = alive[Math.floor(this.#random() * alive.length)]
    if (alive.length === 0 || (roll < 0.25 && alive.length < 3)) return this.#start()
    if (one === undefined) return
    if (roll < 0.45) return this.#crash(one)
    if (roll < 0.6) return this.#drain(one)
    if (roll < 0.75) return this.#fence()
    if (roll < 0.9) return this.#isolate(one)
    this.#log('nothing')
  }

  async #start(): Promise<void> {
    const free = this.#free
    if (free.length === 0) return
    const name = free[Math.floor(this.#random() * free.length)]!
    const life = ++this.#lives
    const client = `${name}#${life}`
    // On its old disk, or on a new machine.
    const directory = join(this.#state.path, this.#random() < 0.7 ? name : client)
    this.#log(`start ${client} on ${directory.slice(directory.lastIndexOf('/') + 1)}`)
    const transport = embeddedTransport({ broker: this.#broker, client })
    const runtime = await createRuntime({
      id: ID,
      topology: job(),
      transport,
      stateDir: directory,
      guarantee: this.#options.guarantee,
      standbys: this.#options.seed % 2,
      commitInterval: 15,
      sessionTimeout: 400,
      heartbeatInterval: 30,
      rebalanceTimeout: 1_500,
      transactionTimeout: 3_000,
      cacheBytes: this.#random() < 0.5 ? 4_000 : 64 << 20,
      logger: this.#logger(client),
      probe: (task, step) => {
        if (this.#storm && this.#dice() < 0.002) {
          this.#log(`crash of task ${task} of ${client} at ${step}`)
          throw new Error('a crash by the dice')
        }
      },
      supervise: {
        rules: [
          on(FencedError).release(),
          on((error) => (error as Error).message === 'a crash by the dice').restart({
            backoff: { min: 5, max: 50, jitter: 0.5 },
            limit: { restarts: 1_000, within: '1m' }
          })
        ]
      },
      shutdown: { drainWithin: '4s', closeWithin: '10s' }
    }).run({ signals: false })
    const process: Process = { name, client, directory, transport, runtime, ended: false, gone: false }
    this.#processes.push(process)
    runtime.stopped.then(
      () => {
        process.ended = process.gone = true
      },
      (error: MillraceError) => {
        process.ended = process.gone = true
        this.#failures.push(error)
        this.#log(`${client} failed: ${error.code} ${error.message}`)
      }
    )
  }

  /** Its machine is gone: not one more byte gets out, nobody says goodbye. */
  async #crash(process: Process): Promise<void> {
    this.#log(`crash ${process.client}`)
    this.#cut.add(process.client)
    process.ended = true
    process.runtime.kill().catch(() => {})
  }

  async #drain(process: Process): Promise<void> {
    this.#log(`drain ${process.client}`)
    process.ended = true
    await process.runtime.drain().catch(() => {})
  }

  /** Somebody else opens the transactional id of a task: its owner is fenced. */
  async #fence(): Promise<void> {
    if (this.#options.guarantee !== 'exactly-once') return
    const task = `${Math.floor(this.#random() * 2)}_${Math.floor(this.#random() * PARTITIONS)}`
    this.#log(`fence ${task}`)
    const producer = await this.#transport.txnProducer(`${ID}-${task}`, { timeoutMs: 1_000, lane: 3 })
    await producer.close()
  }

  /** Cut off for longer than its session while it works on, then back: a zombie that must not do harm. */
  async #isolate(process: Process): Promise<void> {
    if (this.#options.guarantee !== 'exactly-once') return
    this.#log(`isolate ${process.client}`)
    this.#cut.add(process.client)
    await delay(systemClock, 300 + Math.floor(this.#random() * 400))
    if (!process.ended) this.#cut.delete(process.client)
    this.#log(`back ${process.client}`)
  }

  #fault(client: string, api: string): WireFault | undefined {
    if (this.#cut.has(client))
      return this.#dice() < 0.5 ? { refuse: true, delayMs: 5 } : { lose: 'request', delayMs: 5 }
    if (!this.#storm || client === 'spec' || !HURT.has(api)) return undefined
    const roll = this.#dice()
    if (roll < 0.008) return { lose: 'answer' }
    if (roll < 0.014) return { lose: 'request' }
    if (roll < 0.02) return { refuse: true }
    if (roll < 0.05) return { delayMs: Math.floor(this.#dice() * 30) }
    if (roll < 0.07 && TWICE.has(api)) return { twice: true }
    return undefined
  }

  async #publish(count: number): Promise<void> {
    const from = this.#published
    this.#published += count
    // Event times behind those of the table.
    await publish(
      this.#transport,
      'orders',
      Array.from({ length: count }, (_, i) => order(from + i)),
      100 + from
    )
  }

  /** All input is committed, twice in a row, and every process is at peace. */
  async #settled(): Promise<void> {
    const names = ['users', 'orders']
    const tps = names.flatMap((name) =>
      Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: name, partition }))
    )
    let lag = ''
    let before = ''
    await until(
      async () => {
        const failed = this.#alive.length === 0
        if (failed) throw new Error('every process has ended')
        const ends = await this.#transport.offsets(tps, 'hw')
        const committed = await this.#transport.committed(ID, tps)
        const behind = tps.filter(({ topic: name, partition }) => {
          const key = tpKey(name, partition)
          return (committed.get(key)?.offset ?? 0) < (ends.get(key) ?? 0)
        })
        lag = behind.map(({ topic: name, partition }) => tpKey(name, partition)).join(' ')
        const now = JSON.stringify([...ends, ...[...committed].map(([key, at]) => [key, at.offset])])
        const same = now === before
        before = now
        return same && behind.length === 0 && this.#alive.every((process) => process.runtime.state === 'member.steady')
      },
      {
        timeoutMs: 45_000,
        everyMs: 150,
        what: () =>
          `all is committed; behind: ${lag}; ${this.#alive.map((p) => `${p.client} ${p.runtime.state} ${JSON.stringify(p.runtime.tasks)}`).join(' ')}`
      }
    )
  }

  #judge([joined, totals, windowed]: Watcher[]): string[] {
    const exact = this.#options.guarantee === 'exactly-once'
    const wrong: string[] = this.#failures.map((error) => `a process failed: ${(error as Error).message}`)
    const count = (keys: Iterable<string>): Map<string, number> => {
      const counts = new Map<string, number>()
      for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
      return counts
    }
    const numbers = Array.from({ length: this.#published }, (_, n) => n)
    const times = count(joined!.seen.map(({ key, value }) => `${key}=${value}`))
    for (const n of numbers) {
      const line = `${userOf(n)}=${n}:${userOf(n).toUpperCase()}`
      const seen = times.get(line) ?? 0
      if (seen < 1 || (exact && seen > 1)) wrong.push(`joined "${line}" is there ${seen} times`)
      times.delete(line)
    }
    for (const line of times.keys()) wrong.push(`joined "${line}" is not right`)
    const check = (what: string, watcher: Watcher, expected: Map<string, number>): void => {
      const last = new Map<string, number>()
      for (const { key, value } of watcher.seen) {
        if (exact && Number(value) <= (last.get(key) ?? 0)) {
          wrong.push(`${what} of ${key} went from ${last.get(key)} to ${value}`)
        }
        last.set(key, Number(value))
      }
      for (const [key, value] of expected) {
        const seen = last.get(key) ?? 0
        if (exact ? seen !== value : seen < value) wrong.push(`${what} of ${key} ends with ${seen}, not ${value}`)
        last.delete(key)
      }
      for (const key of last.keys()) wrong.push(`${what} has ${key}, which never was`)
    }
    check('total', totals!, count(numbers.map((n) => regionOf(String(n)))))
    check('window', windowed!, count(numbers.map((n) => `${userOf(n)}@${Math.floor((100 + n) / WINDOW) * WINDOW}`)))
    return wrong
  }

  #log(event: string): void {
    this.#events.push(event)
  }

  #logger(client: string): Logger {
    const note = (facts: object, message: string): void => {
      const { error, decision } = facts as { error?: Error & { code?: string }; decision?: unknown }
      this.#log(
        `  ${client}: ${message}${error ? ` [${error.code} ${error.message}]` : ''}${decision ? ` ${JSON.stringify(decision)}` : ''}`
      )
    }
    return { debug() {}, info() {}, warn: note, error: note }
  }
}
