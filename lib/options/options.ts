/** The options of a runtime: their types with units and defaults, and the one place where they are checked. */

import {
  bytes,
  type Check,
  callable,
  duration,
  durationOrForever,
  having,
  identifier,
  oneOf,
  positiveDuration,
  refuseUnknown,
  text,
  whole,
  wrong
} from '../check.ts'
import { ConfigError } from '../errors.ts'
import type { KafkaWireOptions } from '../kafka/kafkajs.ts'
import { checkKafkaOptions } from '../kafka/kafkaOptions.ts'
import type { Transport } from '../kafka/port.ts'
import type { Binding } from '../store/port.ts'
import { DEFAULT_RULES } from '../supervise/defaults.ts'
import { checkRules, type Rule } from '../supervise/rules.ts'
import type { Guarantee, Logger, TaskEnv } from '../task/port.ts'
import { type Clock, type Duration, type Random, systemClock, systemRandom } from '../time.ts'
import type { Buildable } from '../topology/built.ts'
import { combine, type TopologyPart } from './combine.ts'

/** Takes XState's inspection events: a function, or an observer such as `createBrowserInspector().inspect`. */
// biome-ignore lint/suspicious/noExplicitAny: XState's type, which lib does not import; its own observers fit
export type Inspect = ((event: any) => void) | { next?(event: any): void }

/** What `createRuntime` takes. Durations are milliseconds or `'30s'`; sizes are bytes. */
export interface MillraceOptions {
  /** Name of the job: consumer group, prefix of internal topics and transactional ids. All processes of a job share it. */
  id: string
  /** What to run: a behaviour, a builder of a topology, a `Topology`, or several of them. */
  topology: Buildable | readonly TopologyPart[]
  /** How to reach Kafka. Give this or `transport`. */
  kafka?: KafkaWireOptions
  /** Another log behind the same port, such as `embeddedTransport()`. It is yours: the runtime does not close it. */
  transport?: Transport
  /** Where local state lies. Default `./state/<id>`. Processes on one machine should each have their own. */
  stateDir?: string
  /** Default 'at-least-once', as in Kafka Streams. 'exactly-once' puts state, output and offsets into one transaction per commit. */
  guarantee?: Guarantee
  /** Default 100 ms exactly-once, 1 s at-least-once (Kafka Streams: 30 s). Aggregations appear downstream at this pace. */
  commitInterval?: Duration
  /** All write-back caches of the process together. Default 64 MiB. */
  cacheBytes?: number
  /** Read ahead per source partition. Default 1 MiB. */
  queueBytes?: number
  /** Output in flight per task before it waits for the broker. Default 8 MiB. */
  outboxBytes?: number
  /** Without a heartbeat for so long the group takes the process for dead. Default 45 s. */
  sessionTimeout?: Duration
  /** How long a rebalance waits for tasks to be handed over. Default 60 s. */
  rebalanceTimeout?: Duration
  /** Default 3 s; at most a third of sessionTimeout. */
  heartbeatInterval?: Duration
  /** How often the leader of the group looks for topics that match a pattern, and for partitions that were added. Default 5 min. */
  metadataInterval?: Duration
  /** Static membership: a restart within sessionTimeout moves no task. Unique per process. */
  instanceId?: string
  /** Where other processes of the job find this one, in any form they understand: NotOwnerError carries it. Default: not told. */
  advertise?: string
  /** What keeps the state. Default 'rocksdb-native'. */
  store?: Binding
  /**
   * How many other processes keep a copy of each task's state up to date, from its changelogs: what a crash leaves to restore is then the tail. Each
   * costs the disk and the reading of a second state. They need a store on disk, and a `stateDir` of its own for each process. The group's leader
   * decides: give all processes the same. Default 0.
   */
  standbys?: number
  /** Of internal topics. Default -1: the broker's default. */
  replicationFactor?: number
  /**
   * What becomes of a topology that does not fit the state the last version has left (another serde, other windows, a renamed store …): 'refuse'
   * (default) ends the start with ERR_TOPOLOGY_CHANGED, 'accept' warns and goes on with that state.
   */
  topologyChange?: 'refuse' | 'accept'
  /** How long a task waits for an empty input that the broker is known to have more of; 0 = not at all, -1 = for ever. Default 0. */
  maxTaskIdle?: Duration | -1
  /** After so long the broker aborts a transaction that nobody ends. Default rebalanceTimeout · 1.5; exactly-once needs more than rebalanceTimeout. */
  transactionTimeout?: Duration
  /** pino, or anything of its shape. Default: nothing is logged. */
  logger?: Logger
  /** XState's inspection of a runtime that runs alone; embedded, that of the host is used. */
  inspect?: Inspect
  supervise?: {
    /** Asked before the default rules, in order; the first that matches decides. See `on`. */
    rules?: readonly Rule[]
    /** 'one-for-all': with a task that is restarted all others of this process are, and none opens before all have closed. Default 'one-for-one'. */
    strategy?: 'one-for-one' | 'one-for-all'
    /** What an escalated failure of one task does: 'fail' ends the runtime with that error (default), 'stop-task' keeps the others going. */
    onEscalate?: 'fail' | 'stop-task'
  }
  shutdown?: {
    /** How long a drain may take before what is left is closed without a commit. Default 20 s. */
    drainWithin?: Duration
    /** How long closing one task may take before it is given up as leaked. Default 10 s. */
    closeWithin?: Duration
  }
  /** @internal */ clock?: Clock
  /** @internal */ random?: Random
  /** @internal Called at each step of open and commit; a throw is a crash of the task. */
  probe?: TaskEnv['probe']
}

/** The options, complete and in final units. */
export interface Settings {
  readonly id: string
  readonly topology: Buildable
  readonly kafka: KafkaWireOptions | undefined
  readonly transport: Transport | undefined
  readonly stateDir: string
  readonly advertise: string | undefined
  readonly guarantee: Guarantee
  readonly commitIntervalMs: number
  readonly cacheBytes: number
  readonly queueBytes: number
  readonly outboxBytes: number
  readonly sessionMs: number
  readonly rebalanceMs: number
  readonly heartbeatMs: number
  readonly metadataMs: number
  readonly instanceId: string | undefined
  readonly store: Binding
  readonly standbys: number
  readonly replicationFactor: number
  readonly topologyChange: 'refuse' | 'accept'
  readonly maxTaskIdleMs: number
  readonly transactionTimeoutMs: number
  readonly logger: Logger
  readonly inspect: Inspect | undefined
  /** The user's, then the defaults. */
  readonly rules: readonly Rule[]
  readonly strategy: 'one-for-one' | 'one-for-all'
  readonly onEscalate: 'fail' | 'stop-task'
  readonly drainWithinMs: number
  readonly closeWithinMs: number
  readonly clock: Clock
  readonly random: Random
  readonly probe: TaskEnv['probe']
}

const nothing = (): void => {}
export const SILENT: Logger = Object.freeze({ debug: nothing, info: nothing, warn: nothing, error: nothing })

const TOP = [
  'id',
  'topology',
  'kafka',
  'transport',
  'stateDir',
  'advertise',
  'guarantee',
  'commitInterval',
  'cacheBytes',
  'queueBytes',
  'outboxBytes',
  'sessionTimeout',
  'rebalanceTimeout',
  'heartbeatInterval',
  'metadataInterval',
  'instanceId',
  'store',
  'standbys',
  'replicationFactor',
  'topologyChange',
  'maxTaskIdle',
  'transactionTimeout',
  'logger',
  'inspect',
  'supervise',
  'shutdown',
  'clock',
  'random',
  'probe'
] as const satisfies readonly (keyof MillraceOptions)[]

/**
 * Checks every option and fills in defaults.
 * @throws ConfigError ERR_UNKNOWN_OPTION with the nearest name; ERR_OPTION for a value out of range or two that contradict each other.
 */
export function parseOptions(options: MillraceOptions): Settings {
  if (typeof options !== 'object' || options === null)
    wrong('options', options, 'an object with id, topology and kafka')
  refuseUnknown(options, TOP, '')
  const given = options as unknown as Record<string, unknown>
  const read = <T>(name: keyof MillraceOptions, check: Check<T>, fallback: T): T =>
    given[name] === undefined ? fallback : check(given[name], name)
  const supervise = section(given.supervise, 'supervise', ['rules', 'strategy', 'onEscalate'])
  const shutdown = section(given.shutdown, 'shutdown', ['drainWithin', 'closeWithin'])

  const id = identifier(given.id, 'id')
  const guarantee = read('guarantee', oneOf<Guarantee>('at-least-once', 'exactly-once'), 'at-least-once')
  const rebalanceMs = read('rebalanceTimeout', positiveDuration, 60_000)
  const settings: Settings = {
    id,
    topology: Array.isArray(given.topology)
      ? combine(given.topology)
      : having<Buildable>('a behaviour, a Topology, a builder with build(), or an array of them', 'build')(
          given.topology,
          'topology'
        ),
    ...connection(given),
    stateDir: read('stateDir', text, `./state/${id}`),
    advertise: read<string | undefined>('advertise', text, undefined),
    guarantee,
    commitIntervalMs: read('commitInterval', duration, guarantee === 'exactly-once' ? 100 : 1_000),
    cacheBytes: read('cacheBytes', bytes, 64 << 20),
    queueBytes: read('queueBytes', bytes, 1 << 20),
    outboxBytes: read('outboxBytes', bytes, 8 << 20),
    sessionMs: read('sessionTimeout', positiveDuration, 45_000),
    rebalanceMs,
    heartbeatMs: read('heartbeatInterval', positiveDuration, 3_000),
    metadataMs: read('metadataInterval', positiveDuration, 300_000),
    instanceId: read<string | undefined>('instanceId', identifier, undefined),
    store: read('store', oneOf<Binding>('rocksdb-native', 'rocksdb', 'memory'), 'rocksdb-native'),
    standbys: read('standbys', whole(0, 'a whole number of copies, 0 for none'), 0),
    replicationFactor: read('replicationFactor', replication, -1),
    topologyChange: read('topologyChange', oneOf<'refuse' | 'accept'>('refuse', 'accept'), 'refuse'),
    maxTaskIdleMs: read('maxTaskIdle', durationOrForever, 0),
    transactionTimeoutMs: read('transactionTimeout', positiveDuration, rebalanceMs * 1.5),
    logger: read(
      'logger',
      having<Logger>('a logger with debug, info, warn and error', 'debug', 'info', 'warn', 'error'),
      SILENT
    ),
    inspect: read<Inspect | undefined>('inspect', inspector, undefined),
    rules: Object.freeze([...checkRules(supervise.rules, 'supervise.rules', 'outer'), ...DEFAULT_RULES]),
    strategy: orElse(supervise.strategy, 'supervise.strategy', oneOf('one-for-one', 'one-for-all'), 'one-for-one'),
    onEscalate: orElse(supervise.onEscalate, 'supervise.onEscalate', oneOf('fail', 'stop-task'), 'fail'),
    drainWithinMs: orElse(shutdown.drainWithin, 'shutdown.drainWithin', duration, 20_000),
    closeWithinMs: orElse(shutdown.closeWithin, 'shutdown.closeWithin', positiveDuration, 10_000),
    clock: read(
      'clock',
      having<Clock>('a clock with now, setTimeout and clearTimeout', 'now', 'setTimeout', 'clearTimeout'),
      systemClock
    ),
    random: read('random', callable<Random>('a function that gives numbers in [0, 1)'), systemRandom),
    probe: read<TaskEnv['probe']>('probe', callable('a function'), undefined)
  }
  refuseContradictions(settings)
  return Object.freeze(settings)
}

function connection(given: Record<string, unknown>): Pick<Settings, 'kafka' | 'transport'> {
  if ((given.kafka === undefined) === (given.transport === undefined)) {
    throw new ConfigError(
      given.kafka === undefined
        ? `There is no option "kafka": say where the brokers are, as in kafka: { brokers: ['localhost:9092'] }, or give a transport.`
        : 'Both "kafka" and "transport" are given. Leave one of them out.',
      { details: { option: 'kafka' } }
    )
  }
  if (given.transport !== undefined) {
    const transport = having<Transport>('a transport, such as embeddedTransport()', 'reader', 'group', 'txnProducer')
    return { kafka: undefined, transport: transport(given.transport, 'transport') }
  }
  checkKafkaOptions(given.kafka, 'kafka.')
  return { kafka: given.kafka, transport: undefined }
}

/** Settings that are fine alone and cannot work together. */
function refuseContradictions(s: Settings): void {
  const refuse = (option: string, message: string): never => {
    throw new ConfigError(message, { details: { option } })
  }
  if (s.heartbeatMs * 3 > s.sessionMs) {
    refuse(
      'heartbeatInterval',
      `heartbeatInterval (${s.heartbeatMs} ms) is more than a third of sessionTimeout (${s.sessionMs} ms): two lost heartbeats would end the membership. Make it ${Math.floor(s.sessionMs / 3)} ms or less.`
    )
  }
  if (s.standbys > 0 && s.store === 'memory') {
    refuse(
      'standbys',
      "standbys keep copies on disk, and store is 'memory': leave standbys out, or keep the state in 'rocksdb-native' or 'rocksdb'."
    )
  }
  if (s.guarantee !== 'exactly-once') return
  if (s.transactionTimeoutMs <= s.rebalanceMs) {
    refuse(
      'transactionTimeout',
      `transactionTimeout (${s.transactionTimeoutMs} ms) must be longer than rebalanceTimeout (${s.rebalanceMs} ms): a transaction is held open while the group rebalances, and the broker would abort it.`
    )
  }
  if (s.transactionTimeoutMs <= s.commitIntervalMs) {
    refuse(
      'transactionTimeout',
      `transactionTimeout (${s.transactionTimeoutMs} ms) must be longer than commitInterval (${s.commitIntervalMs} ms): the broker would abort every transaction before it is committed.`
    )
  }
}

function section(value: unknown, name: string, known: readonly string[]): Record<string, unknown> {
  if (value === undefined) return {}
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    wrong(name, value, `an object with ${known.join(', ')}`)
  }
  refuseUnknown(value as object, known, `${name}.`)
  return value as Record<string, unknown>
}

const orElse = <T>(value: unknown, name: string, check: Check<T>, fallback: T): T =>
  value === undefined ? fallback : check(value, name)

const replication: Check<number> = (value, name) =>
  value === -1 ? -1 : whole(1, 'a whole number of replicas, or -1 for the default of the broker')(value, name)

const inspector: Check<Inspect> = (value, name) =>
  typeof value === 'function'
    ? (value as Inspect)
    : having<Inspect>('a function, or an observer with next', 'next')(value, name)
