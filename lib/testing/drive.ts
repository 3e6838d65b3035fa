/** Runs a topology without a broker: records go in by call, results are read back, time moves when it is told to. */

import type { Answered, AskedKey, Asking, Given, Questionable } from '../behaviour/questions.ts'
import type { Topic } from '../dsl/topic.ts'
import { TopologyError } from '../errors.ts'
import { partitionFor } from '../kafka/partitioner.ts'
import { combine, type TopologyPart } from '../options/combine.ts'
import { SILENT } from '../options/options.ts'
import { type Headers, NO_HEADERS, type StreamRecord } from '../record.ts'
import { cacheBudget } from '../store/cache/budget.ts'
import { type GlobalState, openGlobalState } from '../store/globalState.ts'
import { memoryDriver } from '../store/memory.ts'
import type { MaybePromise, StoreSpec } from '../store/port.ts'
import { openTaskState, type TaskState } from '../store/taskState.ts'
import type { Rule } from '../supervise/rules.ts'
import { expiry } from '../task/expiry.ts'
import { IdleTime } from '../task/idleTime.ts'
import { Schedules } from '../task/schedule.ts'
import { StreamTime } from '../task/streamTime.ts'
import { Supervisor } from '../task/supervisor.ts'
import { VirtualClock } from '../time.ts'
import type { Buildable, BuiltTopology } from '../topology/built.ts'
import { type InstanceEnv, TopologyInstance } from '../topology/instance.ts'
import type { Answer, OperatorRequest, RecordContext, SinkNode, SubTopology } from '../topology/node.ts'
import { Origin } from '../topology/origin.ts'
import { type ResolvedPartitions, resolvePartitions } from '../topology/partitions.ts'
import { matcher } from '../topology/patterns.ts'
import { deadLetters, decoded, lazy, partitionBy, type Raw, type Received, toSet } from './driveRecords.ts'

export type { Received } from './driveRecords.ts'

export interface DriveOptions {
  /** Wall clock at the start, ms. Default 0. */
  readonly startTime?: number
  /** False: every update goes on at once. Default true: once per `commit`. */
  readonly cache?: boolean
  /** Of each task's caches: with a small number rows come and go as they do under pressure. Default: no limit. */
  readonly cacheBytes?: number
  readonly applicationId?: string
  /** Rules for records that fail, as those of a runtime. A pause before a repeat takes no time. Dead letters are read as bytes. */
  readonly supervise?: readonly Rule[]
  /** Partition counts of source topics. Default 1 each; those of internal topics follow, as in a runtime. */
  readonly partitions?: Readonly<Record<string, number>>
}

export interface Sent {
  /** Event time, ms. Default: the wall clock. */
  readonly timestamp?: number
  readonly headers?: Headers
  /** Default: by the key, as a producer does; a null key goes to partition 0. */
  readonly partition?: number
}

type TopicLike<K, V> = Pick<Topic<K, V>, 'name' | 'key' | 'value'>

let runs = 0 // keeps the in-memory databases of one process apart

/**
 * A topology in memory, with one partition a topic unless more are asked for. Records pass through the same bytes as on a topic; repartition topics, and topics
 * that are written and read, are passed on inside.
 * @example
 * const d = await drive(t, { cache: false })
 * await d.send(flights, 'JFK', { delay: 12 }, { timestamp: 1000 })
 * d.output(counts) // [{ topic, key: 'JFK', value: 1, timestamp: 1000, headers: [] }]
 */
export async function drive(
  topology: Buildable | readonly TopologyPart[],
  options: DriveOptions = {}
): Promise<Driver> {
  const built = ('build' in topology ? topology : combine(topology)).build(options.applicationId ?? 'drive')
  const clock = new VirtualClock(options.startTime ?? 0)
  const resolved = resolvePartitions(built, sourceCounts(built, options.partitions ?? {}))
  runs++
  const globals = await openGlobalState({
    directory: `drive-${runs}/global`,
    applicationId: built.applicationId,
    driver: memoryDriver,
    specs: built.globals.map(({ store }) => store),
    cache: cacheBudget(Number.POSITIVE_INFINITY)
  })
  const partitions = (topic: string): number => resolved.partitions(topic) || (options.partitions?.[topic] ?? 1)
  const driver = new Driver(built, clock, { ...resolved, partitions }, globals)
  for (const { sub, partition } of tasksOf(built, resolved)) {
    const taskId = `${sub.id}_${partition}`
    const specs = sub.stores.map((spec): StoreSpec => ({ ...spec, caching: spec.caching && options.cache !== false }))
    const state = await openTaskState({
      directory: `drive-${runs}/${taskId}`,
      applicationId: built.applicationId,
      taskId,
      driver: memoryDriver,
      specs,
      cache: cacheBudget(options.cacheBytes ?? Number.POSITIVE_INFINITY),
      clock
    })
    driver.tasks.push(new DrivenTask(sub, partition, state, built, clock, driver, options.supervise))
  }
  return driver
}

function sourceCounts(built: BuiltTopology, asked: Readonly<Record<string, number>>): Map<string, number> {
  const internal = new Set(built.internalTopics.repartition.map((r) => r.topic))
  const counts = new Map<string, number>()
  for (const node of built.subtopologies.flatMap((sub) => sub.nodes)) {
    if (node.kind !== 'source') continue
    const wanted = node.pattern ? Object.keys(asked).filter(matcher(node.pattern)) : node.topics
    for (const topic of node.topics) {
      const own = node.pattern ? Math.max(1, ...wanted.map((name) => asked[name]!)) : (asked[topic] ?? 1)
      if (!internal.has(topic)) counts.set(topic, own)
    }
  }
  return counts
}

const tasksOf = (built: BuiltTopology, resolved: ResolvedPartitions): { sub: SubTopology; partition: number }[] =>
  built.subtopologies.flatMap((sub) =>
    Array.from({ length: resolved.tasks(sub.id) }, (_, partition) => ({ sub, partition }))
  )

/** Made by `drive`. */
export class Driver {
  /** Reasons of dropped records, in order: 'null-key', 'late' … */
  readonly dropped: string[] = []
  /** @internal */ readonly tasks: DrivenTask[] = []
  /** @internal */ readonly globals: GlobalState
  /** @internal */ order = (waiting: readonly Raw[]): number | undefined => (waiting.length > 0 ? 0 : undefined)
  readonly #built: BuiltTopology
  readonly #clock: VirtualClock
  readonly #partitions: ResolvedPartitions
  readonly #out: Raw[] = [] // not read yet
  readonly #inside: Raw[] = [] // written to topics that the topology reads, not yet passed on
  #offset = 0

  /** @internal */
  constructor(built: BuiltTopology, clock: VirtualClock, partitions: ResolvedPartitions, globals: GlobalState) {
    this.globals = globals
    this.#built = built
    this.#clock = clock
    this.#partitions = partitions
  }

  /** Gives a record to a source topic and processes it, with everything it causes. */
  async send<K, V>(topic: TopicLike<K, V>, key: K | null, value: V | null, sent: Sent = {}): Promise<void> {
    const read = this.tasks.some((task) => task.reads(topic.name))
    const isGlobal = this.#built.globals.some((global) => global.topic === topic.name)
    if (!read && !isGlobal) {
      const known = [
        ...this.#built.subtopologies.flatMap((sub) => sub.sourceTopics),
        ...this.#built.globals.map((g) => g.topic)
      ]
      throw new TopologyError(`The topology does not read the topic "${topic.name}". It reads: ${known.join(', ')}.`)
    }
    const bytes = key === null ? null : topic.key.encode(key)
    const raw = {
      topic: topic.name,
      partition: 0,
      key: bytes,
      value: value === null ? null : topic.value.encode(value),
      timestamp: sent.timestamp ?? this.#clock.now(),
      headers: sent.headers ?? NO_HEADERS
    }
    if (isGlobal) await this.#applied(raw)
    if (!read) return
    const partitions = this.#partitions.partitions(topic.name)
    const partition = sent.partition ?? (bytes ? partitionFor(bytes, 0, bytes.length, partitions) : 0)
    if (!(partition >= 0 && partition < partitions)) {
      throw new TopologyError(
        `The topic "${topic.name}" has ${partitions} partitions here, there is no partition ${partition}. Say how many it has: drive(topology, { partitions: { "${topic.name}": … } }).`
      )
    }
    await this.#deliver({ ...raw, partition })
    await this.#settle()
  }

  /** What was written to a topic since the last call, decoded by the serdes of its sink. */
  output<K = unknown, V = unknown>(topic: TopicLike<K, V> | string): Received<K, V>[] {
    const name = typeof topic === 'string' ? topic : topic.name
    return this.outputs((raw) => raw === name) as Received<K, V>[]
  }

  /** What was written to any topic of the user's since the last call, in order. */
  outputs(wanted: (topic: string) => boolean = () => true): Received[] {
    const taken: Received[] = []
    const rest: Raw[] = []
    for (const raw of this.#out.splice(0)) {
      if (wanted(raw.topic)) taken.push(decoded(raw))
      else rest.push(raw)
    }
    this.#out.push(...rest)
    return taken
  }

  /** What the behaviour answers to a query, from the state as it is. Throws what the handler throws. */
  query<B extends Questionable, N extends Asking<B, 'query'>>(
    behaviour: B,
    key: AskedKey<B>,
    name: N,
    ...[input]: Given<B, 'query', N, []>
  ): Promise<Answered<B, 'query', N>> {
    return this.#request(behaviour, { kind: 'query', name, key, input }) as Promise<Answered<B, 'query', N>>
  }

  /** Worked with all it causes, then answered. Throws what the handler throws. */
  ask<B extends Questionable, N extends Asking<B, 'ask'>>(
    behaviour: B,
    key: AskedKey<B>,
    name: N,
    ...[input]: Given<B, 'ask', N, []>
  ): Promise<Answered<B, 'ask', N>> {
    return this.#request(behaviour, { kind: 'ask', name, key, input }) as Promise<Answered<B, 'ask', N>>
  }

  async #request({ name, key }: Questionable, request: OperatorRequest): Promise<unknown> {
    const tasks = this.tasks.filter((task) => task.has(name))
    if (tasks.length === 0) throw new TopologyError(`The topology has no behaviour "${name}".`)
    const bytes = key.encode(request.key)
    const answer = await tasks[partitionFor(bytes, 0, bytes.length, tasks.length)]!.answer(name, request)
    await this.#settle()
    if ('refused' in answer) throw answer.refused
    return answer.reply
  }

  /** Moves the wall clock; punctuators that come due fire in the order of their times, then time goes on for what closes while no record comes. */
  async advance(ms: number): Promise<void> {
    const target = this.#clock.now() + ms
    await this.#clock.advance(ms)
    for (const task of this.tasks) await task.punctuate('wall', target)
    await this.#settle()
    for (const task of this.tasks) {
      await task.goOn(target)
      await this.#settle()
    }
  }

  /** Flushes caches, until nothing is left to give on, and saves the state as a task does at commit. */
  async commit(): Promise<void> {
    for (const task of this.tasks) await task.expire()
    for (let again = true; again; ) {
      again = false
      for (const task of this.tasks) again = (await task.flush()) || again
      await this.#settle()
    }
    for (const task of this.tasks) await task.state.commit(new Map())
  }

  /** New operators over the committed state and saved times, as after a restart. Commits first. */
  async restart(): Promise<void> {
    await this.commit()
    for (const task of this.tasks) task.restart()
  }

  /** Closes operators and state. */
  async close(): Promise<void> {
    for (const task of this.tasks) await task.close()
    await this.globals.close()
  }

  /** @internal */
  partitionsOf(topic: string): number {
    return this.#partitions.partitions(topic)
  }

  /** @internal */
  isInternal(topic: string): boolean {
    return this.#built.internalTopics.repartition.some((r) => r.topic === topic)
  }

  /** @internal */
  wrote(raw: Raw): void {
    if (!this.isInternal(raw.topic)) this.#out.push(raw)
    const isGlobal = this.#built.globals.some(({ topic }) => topic === raw.topic)
    if (isGlobal || this.tasks.some((task) => task.reads(raw.topic))) this.#inside.push(raw)
  }

  async #settle(): Promise<void> {
    for (let next = this.order(this.#inside); next !== undefined; next = this.order(this.#inside)) {
      const [raw] = this.#inside.splice(next, 1) as [Raw] // in order, unless a spec lets topics lag
      await this.#applied(raw)
      await this.#deliver(raw)
    }
  }

  /** A record of a topic that global tables are made of. */
  async #applied(raw: Omit<Raw, 'sink'>): Promise<void> {
    for (const { topic, store } of this.#built.globals) {
      if (topic !== raw.topic) continue
      const tp = { topic, partition: raw.partition }
      await this.globals.write([{ store: store.name, tp, sets: [toSet(raw, 0)], next: 0, at: 0 }])
    }
  }

  async #deliver(raw: Omit<Raw, 'sink'>): Promise<void> {
    const task = this.tasks.find((t) => t.partition === raw.partition && t.reads(raw.topic))
    if (task === undefined) return
    await task.process(raw, this.#offset++)
  }
}

class DrivenTask implements InstanceEnv {
  readonly applicationId: string
  readonly taskId: string
  readonly partition: number
  readonly clock: VirtualClock
  readonly state: TaskState
  readonly supervisor: Supervisor
  readonly #sub: SubTopology
  readonly #driver: Driver
  #time = new StreamTime()
  #schedules = new Schedules()
  #idleTime: IdleTime
  #instance: TopologyInstance
  #source: RecordContext | undefined
  #placed: RecordContext | undefined | null = null
  #partitionTimes = new Map<string, number>()
  readonly #keepsTime = new Set<string>() // nodes that have asked for a number
  /** What has expired leaves with the commit that begins, as at-least-once. */
  readonly expire: () => Promise<void>

  constructor(
    sub: SubTopology,
    partition: number,
    state: TaskState,
    built: BuiltTopology,
    clock: VirtualClock,
    driver: Driver,
    rules: readonly Rule[] = []
  ) {
    this.applicationId = built.applicationId
    this.taskId = `${sub.id}_${partition}`
    this.partition = partition
    this.clock = clock
    this.state = state
    this.#sub = sub
    this.#driver = driver
    this.supervisor = new Supervisor({
      applicationId: built.applicationId,
      taskId: this.taskId,
      rules,
      random: () => 0,
      logger: SILENT,
      write: (topic, record) => driver.wrote({ ...record, topic, partition: 0, sink: deadLetters(topic) }),
      dropped: (node) => this.drop(node, 'skipped'),
      untouched: () => false,
      wait: () => Promise.resolve()
    })
    this.#idleTime = this.#newIdleTime()
    this.#instance = new TopologyInstance(sub, this)
    this.#instance.init()
    const keepsTime = (node: string): boolean => this.#keepsTime.has(node)
    this.expire = expiry(sub, state, keepsTime, () => this.#time.now, false)
  }

  restart(): void {
    this.#instance.close()
    this.#schedules = new Schedules()
    this.#idleTime = this.#newIdleTime()
    this.#instance = new TopologyInstance(this.#sub, this)
    this.#instance.init()
  }

  async close(): Promise<void> {
    this.#instance.close()
    await this.state.close()
  }

  reads(topic: string): boolean {
    if (this.#sub.sourceTopics.includes(topic)) return true
    const internal = this.#driver.isInternal(topic)
    return this.#sub.nodes.some(
      (node) => node.kind === 'source' && node.pattern && !internal && matcher(node.pattern)(topic)
    )
  }

  async process(raw: Omit<Raw, 'sink'>, offset: number): Promise<void> {
    const source = this.#instance.source(raw.topic)
    const { node } = source
    const set = toSet(raw, offset)
    const before = this.#partitionTimes.get(raw.topic) ?? -1
    const timestamp = node.timestamp ? node.timestamp(lazy(set, raw, node, raw.timestamp), before) : raw.timestamp
    if (timestamp < 0) return this.drop(node.name, 'negative-timestamp')
    this.#partitionTimes.set(raw.topic, Math.max(before, timestamp))
    this.#time.observe(timestamp)
    this.#idleTime.taken(this.clock.now())
    this.#source = new Origin(raw.topic, this.partition, set, 0, raw.headers)
    try {
      await source.prefetch(set, 0, 1)
      await source.process(lazy(set, raw, node, timestamp))
      this.#source = undefined
      await this.#instance.settle(true)
    } finally {
      this.#source = undefined
    }
    await this.punctuate('stream', this.#time.now)
  }

  has(node: string): boolean {
    return this.#sub.nodes.some(({ name }) => name === node)
  }

  answer(node: string, request: OperatorRequest): MaybePromise<Answer> {
    return this.#instance.answer(node, request)
  }

  async punctuate(type: 'stream' | 'wall', time: number): Promise<void> {
    await this.#schedules.fire(type, time)
  }

  #newIdleTime(): IdleTime {
    return new IdleTime({
      now: this.clock.now(),
      at: this.saved('$idle', 'at'),
      keep: (at) => this.save('$idle', 'at', at)
    })
  }

  /** The wall clock has moved and no record came. */
  async goOn(now: number): Promise<void> {
    if (this.#idleTime.next <= now) this.#idleTime.begin(now, this.#time.now)
    while (this.#idleTime.passing) {
      await this.flush()
      await this.#idleTime.step()
    }
  }

  async flush(): Promise<boolean> {
    let flushed = false
    while (this.state.dirty || this.#instance.unsettled) {
      flushed = true
      await this.#instance.settle(true)
      for (const name of this.#instance.flushOrder) await this.state.store(name).flush(undefined)
    }
    return flushed
  }

  // What operators ask of their task

  emit(sink: SinkNode, record: StreamRecord<unknown, unknown>): void {
    const { key, value, timestamp, headers } = record
    const topic = typeof sink.topic === 'string' ? sink.topic : sink.topic(record)
    const bytes = key == null ? null : sink.key.encode(key)
    const count = this.#driver.partitionsOf(topic)
    this.#driver.wrote({
      topic,
      partition: count > 1 ? partitionBy(sink, record, bytes, count) : 0,
      key: bytes,
      value: value === null ? null : sink.value.encode(value),
      timestamp,
      headers,
      sink
    })
  }

  global(name: string): ReturnType<GlobalState['rows']> {
    return this.#driver.globals.rows(name)
  }

  store(name: string): ReturnType<TaskState['store']> {
    return this.state.store(name)
  }

  schedule(
    _node: string,
    intervalMs: number,
    type: 'stream' | 'wall',
    fire: (time: number) => MaybePromise<void>
  ): ReturnType<Schedules['add']> {
    return this.#schedules.add(intervalMs, type, fire, this.clock.now())
  }

  onIdle(afterMs: number, advance: (time: number) => MaybePromise<void>): void {
    this.#idleTime.add(afterMs, advance)
  }

  drop(_node: string, reason: string): void {
    this.#driver.dropped.push(reason)
  }

  streamTime(): number {
    return this.#time.now
  }

  source(): RecordContext | undefined {
    return this.#placed === null ? this.#source : this.#placed
  }

  place(source: RecordContext | undefined | null): RecordContext | undefined | null {
    const before = this.#placed
    this.#placed = source
    return before
  }

  saved(node: string, slot: string): number | undefined {
    this.#keepsTime.add(node)
    return this.state.time(`${node}/${slot}`)
  }

  save(node: string, slot: string, value: number): void {
    this.state.setTime(`${node}/${slot}`, value)
  }
}
