/** One task, from its directory lock to its last commit: the steps that the task machine invokes. */
import { join } from 'node:path'
import { changelogsOf, restoreStores } from '../changelog/restore.ts'
import { changelogTopic } from '../changelog/topics.ts'
import { StateError, type TransportError } from '../errors.ts'
import type { Batch, GroupMeta, Producer, TxnProducer } from '../kafka/port.ts'
import { type Tp, tpKey } from '../record.ts'
import { shrink } from '../store/cache/budget.ts'
import { type DirectoryLock, lockDirectory } from '../store/directory.ts'
import { memoryDriver } from '../store/memory.ts'
import type { DatabaseDriver, MaybePromise } from '../store/port.ts'
import { destroyTaskState, openTaskState, type TaskState } from '../store/taskState.ts'
import { delay } from '../time.ts'
import { TopologyInstance } from '../topology/instance.ts'
import type { Answer, OperatorRequest } from '../topology/node.ts'
import { abortable } from './abortable.ts'
import { Committer, operatorSlot, partitionSlot } from './commit.ts'
import { expiry } from './expiry.ts'
import { storeFace } from './face.ts'
import { asTaskError } from './fenced.ts'
import { IdleTime } from './idleTime.ts'
import { Inbox } from './inbox.ts'
import { Intake } from './intake.ts'
import { allRead, resetOffset, type Start, settledOffsets } from './offsets.ts'
import { Outbox } from './outbox.ts'
import type { TaskEnv, TaskPlan, TaskRun, TaskStep } from './port.ts'
import { Pump } from './pump.ts'
import { SourceQueue } from './queue.ts'
import { SavedNumbers } from './saved.ts'
import { Schedules } from './schedule.ts'
import { StreamTime } from './streamTime.ts'
import { Supervisor } from './supervisor.ts'

/** Connections that the producers of a process share; a broker serves one request at a time on each. */
const LANES = 4
/** How long a stopped pump may wait for acknowledgements, and a transaction for its abort, before both are given up. */
const UNBLOCK_MS = 2_000
/** Under this name, which no node can have, it is kept when the last record was taken. */
const IDLE = '$idle'
/** Cached rows looked at before the cache is called full. */
const EVICTION_STEPS = 20_000

/**
 * A task that is not open yet. `env.stateDirectory` gets one folder per task id.
 * @example
 * const task = createTask(plan, env)
 * await task.open(signal)
 * await task.restore(signal)
 * await task.run(meta, signal) // until drain()
 * await task.close({ clean: true })
 */
export function createTask(plan: TaskPlan, env: TaskEnv): TaskRun {
  return new Task(plan, env)
}

/** What `open` made; all of it is given back by `close`. */
interface Opened {
  readonly lock: DirectoryLock | undefined
  readonly state: TaskState
  readonly producer: Producer | TxnProducer
  readonly starts: readonly Start[]
}

class Task implements TaskRun {
  readonly plan: TaskPlan
  readonly #env: TaskEnv
  readonly #directory: string
  /** Without stores there is nothing to keep: no directory, no lock, no files. Its times ride on the committed offsets alone. */
  readonly #driver: DatabaseDriver
  #opened: Opened | undefined // from open to close
  #restored = false
  #unfinished = false // drained with a record in hand
  #arrivals = 0 // of batches, over all queues
  #pump: Pump | undefined // while run is under way
  #inbox: Inbox | undefined
  #instance: TopologyInstance | undefined
  #committer: Committer | undefined
  #outbox: Outbox | undefined
  #running: Promise<void> = Promise.resolve() // never rejects; settles when run has
  #stop = new AbortController() // aborted by close

  constructor(plan: TaskPlan, env: TaskEnv) {
    this.plan = plan
    this.#env = env
    this.#directory = join(env.stateDirectory, plan.id)
    this.#driver = plan.subtopology.stores.length > 0 ? env.driver : memoryDriver
  }

  async open(signal: AbortSignal): Promise<void> {
    if (this.#opened) throw new StateError(`Task ${this.plan.id} is open already.`)
    const { plan } = this
    const env = this.#env
    this.#stop = new AbortController()
    const undo: (() => Promise<unknown>)[] = []
    try {
      signal.throwIfAborted()
      const kept = this.#driver.durable ? await env.takeOver?.(plan) : undefined
      let lock = kept?.lock
      if (kept)
        undo.push(
          () => kept.lock.release(),
          () => kept.state.close()
        )
      else if (this.#driver.durable) {
        lock = await lockDirectory(this.#directory, {
          applicationId: env.applicationId,
          taskId: plan.id,
          clock: env.clock
        })
        const { release } = lock
        undo.push(() => release())
      }
      await this.#step('open:locked', signal)

      const state =
        kept?.state ??
        (await openTaskState({
          directory: this.#directory,
          applicationId: env.applicationId,
          taskId: plan.id,
          driver: this.#driver,
          specs: plan.subtopology.stores,
          cache: env.cache,
          clock: env.clock
        }))
      if (!kept) undo.push(() => state.close())
      await this.#step('open:database', signal)

      // A broker that is gone is asked for minutes; whoever was told to let go must not be waited for as long.
      const producer = await abortable(this.#producer(signal), signal, (late) => late.close())
      undo.push(() => producer.close())
      await this.#step('open:producer', signal)

      const starts = await abortable(settledOffsets(env, plan, producer), signal)
      await this.#step('open:offsets', signal)
      this.#opened = { lock, state, producer, starts }
      this.#restored = false
    } catch (error) {
      for (const step of undo.reverse()) await step().catch(() => {})
      throw asTaskError(error, this.plan)
    }
  }

  async restore(signal: AbortSignal): Promise<void> {
    const { state } = this.#must('restore')
    const { plan } = this
    const env = this.#env
    try {
      let ended = false
      await restoreStores({
        state,
        changelogs: changelogsOf(env.applicationId, plan.subtopology.stores, plan.partition),
        transport: {
          // The end is taken after InitProducerId: a predecessor's open transaction would hold it back.
          offsets: async (tps, at) => {
            const offsets = await abortable(env.transport.offsets(tps, at), signal)
            if (at === 'lso' && !ended) {
              ended = true
              await this.#step('restore:end', signal)
            }
            return offsets
          }
        },
        reader: env.readers.restore,
        clock: env.clock,
        signal,
        onProgress: (progress) => env.events.restored(plan.id, progress)
      })
      if (!ended) await this.#step('restore:end', signal)
      await this.#step('restore:done', signal)
      this.#restored = true
    } catch (error) {
      throw asTaskError(error, this.plan)
    }
  }

  run(meta: GroupMeta, signal: AbortSignal): Promise<void> {
    const running = this.#run(meta, AbortSignal.any([signal, this.#stop.signal]))
    this.#running = running.catch(() => {})
    return running
  }

  async #run(meta: GroupMeta, signal: AbortSignal): Promise<void> {
    const { state, producer, starts } = this.#must('run')
    if (!this.#restored) throw new StateError(`Task ${this.plan.id} must be restored before it runs.`)
    if (this.#pump) throw new StateError(`Task ${this.plan.id} runs already.`)
    const env = this.#env
    let unblock: unknown
    const onAbort = (): void => {
      // A pump that waits for a broker that is gone would wait for the whole delivery time.
      unblock ??= env.clock.setTimeout(() => void producer.close().catch(() => {}), UNBLOCK_MS)
    }
    try {
      // No await before the pump runs: hold, pause and drain may be called as soon as `run` was.
      const parts = this.#assemble(state, producer, starts)
      parts.committer.renew(meta)
      signal.addEventListener('abort', onAbort)
      if (signal.aborted) onAbort()
      this.#pump = parts.pump
      for (const queue of parts.queues) this.#read(queue, queue.position, parts.pump)
      await parts.pump.run(signal)
      this.#unfinished = parts.pump.unfinished
      // Drained, and still ours: the positions are whole as of now, however long the task was idle.
      if (!this.#unfinished) await state.touch()
    } catch (error) {
      throw asTaskError(error, this.plan)
    } finally {
      signal.removeEventListener('abort', onAbort)
      if (unblock !== undefined) env.clock.clearTimeout(unblock)
      this.#pump = undefined
      for (const { tp } of starts) env.readers.source.remove(tp)
      try {
        this.#instance?.close()
      } catch (error) {
        env.logger.warn({ task: this.plan.id, error }, `An operator of task ${this.plan.id} failed while it was closed`)
      }
    }
  }

  async close(options: { clean: boolean; wipe?: boolean }): Promise<void> {
    this.#stop.abort(new StateError(`Task ${this.plan.id} was closed.`))
    const opened = this.#opened
    // The database must not be closed under running calls.
    await this.#running
    this.#outbox?.close()
    if (opened !== undefined) {
      this.#opened = undefined
      const { producer, state, lock } = opened
      // Downstream must not wait for the transaction's time-out. Once a commit was tried, an abort would be wrong.
      if ((!options.clean || this.#unfinished) && 'abort' in producer && this.#committer?.tried !== true)
        await this.#bounded(producer.abort())
      await producer.close().catch(() => {})
      try {
        await state.close()
        if (options.wipe) await destroyTaskState(this.#directory, this.#driver)
      } finally {
        await lock?.release()
      }
    } else if (options.wipe) await this.#wipe()
    this.#committer = undefined
    this.#outbox = undefined
    this.#inbox = undefined
    this.#instance = undefined
  }

  hold(): Promise<void> {
    return this.#pump?.hold() ?? Promise.resolve()
  }

  renew(meta: GroupMeta): void {
    this.#pump?.renew(meta)
  }

  pause(): void {
    this.#pump?.pause()
  }

  resume(): void {
    this.#pump?.resume()
  }

  drain(): void {
    this.#pump?.drain()
  }

  inspect<T>(read: (store: (name: string) => unknown) => T | Promise<T>): Promise<T> {
    return this.#box.ask(read)
  }

  get #box(): Inbox {
    return (this.#pump && this.#inbox) ?? new Inbox(this.plan.id, () => {})
  }

  request(node: string, request: OperatorRequest): Promise<unknown> {
    const work = (): MaybePromise<Answer> => this.#instance!.answer(node, request)
    return request.kind === 'ask' ? this.#box.request(work) : this.#box.query(work)
  }

  /** Everything of one run, wired together. */
  #assemble(
    state: TaskState,
    producer: Producer | TxnProducer,
    starts: readonly Start[]
  ): { pump: Pump; committer: Committer; queues: SourceQueue[] } {
    const { plan } = this
    const env = this.#env
    const { subtopology: sub, id: taskId } = plan
    const streamTime = new StreamTime()
    const schedules = new Schedules()
    const now = env.clock.now()
    const saved = new SavedNumbers((slot) => state.time(operatorSlot(slot)))
    const dropped = (reason: string, at: (Tp & { offset: number }) | undefined): void =>
      env.events.dropped(taskId, reason, at)

    const queues = starts.map(({ tp, source, offset, committed, end, times }) => {
      // Both were written with a commit; the database's copy is missing on another machine, the log's one when it was too long.
      const partitionTime = Math.max(times.time, state.time(partitionSlot(tp.topic, tp.partition)) ?? -1)
      streamTime.observe(partitionTime)
      for (const [slot, value] of Object.entries(times.saved)) saved.load(slot, value)
      return new SourceQueue({
        tp,
        source,
        start: offset,
        // A start at the end is a decision: without a commit it would be taken anew, and later, after a restart.
        committed: committed < 0 && source.offsetReset !== 'latest' ? offset : committed,
        end,
        partitionTime,
        highBytes: env.queueBytes,
        limit: env.ends?.get(tpKey(tp.topic, tp.partition)),
        reader: env.readers.source,
        onNegative: (at) => {
          committer.records++
          dropped('negative-timestamp', { ...tp, offset: at })
        },
        onFailed: (error, at) => supervisor.extracting(source.name, sub.supervise ?? [], error, at, env.clock.now())
      })
    })

    const idleTime = new IdleTime({
      now,
      at: saved.get(IDLE, 'at'),
      keep: (at) => saved.set(IDLE, 'at', at)
    })
    const outbox = new Outbox({
      taskId,
      producer,
      partitionCount: env.partitionCount,
      lookUp: async (topic) => (await env.transport.admin.partitions([topic])).get(topic) ?? 0,
      random: env.random
    })
    const supervisor = new Supervisor({
      applicationId: env.applicationId,
      taskId,
      rules: env.rules ?? [],
      random: env.random,
      logger: env.logger,
      write: (topic, record) => outbox.raw(topic, record),
      dropped: (_node, at) => dropped('skipped', at),
      untouched: () => pump.untouched,
      wait: (delayMs) => pump.wait(delayMs)
    })
    const instance: TopologyInstance = new TopologyInstance(sub, {
      supervisor,
      applicationId: env.applicationId,
      taskId,
      partition: plan.partition,
      clock: env.clock,
      emit: (sink, record) => outbox.emit(sink, record),
      store: (name) => state.store(name),
      ...(env.globals ? { global: (name: string) => env.globals!.rows(name) } : {}),
      schedule: (_node, intervalMs, type, fire) => schedules.add(intervalMs, type, fire, env.clock.now()),
      onIdle: (afterMs, advance) => idleTime.add(afterMs, advance),
      drop: (_node, reason) => dropped(reason, pump.source),
      log: (node, facts, message) => env.logger.info({ task: taskId, node, ...facts }, message),
      streamTime: () => streamTime.now,
      source: () => pump.source,
      place: (source) => pump.place(source),
      wake: () => pump.wake(),
      saved: (node, slot) => saved.get(node, slot),
      save: (node, slot, value) => saved.set(node, slot, value)
    })
    this.#instance = instance

    const committer: Committer = new Committer({
      taskId,
      partition: plan.partition,
      producer,
      group: env.group,
      stores: instance.flushOrder.map((name) => state.store(name)),
      changelogTopic: (store) => changelogTopic(env.applicationId, store),
      state,
      queues,
      outbox,
      work: instance,
      expire: () => expire(),
      saved,
      probe: (step) => env.probe?.(taskId, step),
      committed: (offsets, records, figures) => env.events.committed(taskId, offsets, records, figures)
    })
    const inbox = new Inbox(taskId, () => pump.wake())
    const pump: Pump = new Pump({
      taskId,
      intake: new Intake(queues, env.maxTaskIdleMs),
      sourceOf: (topic) => instance.source(topic),
      work: instance,
      measure: (meter) => instance.measure(meter),
      schedules,
      streamTime,
      idleTime,
      atEnd: () => allRead(env.transport, queues),
      committer,
      inbox,
      stores: (name) => storeFace(state, name, streamTime),
      producer,
      outboxBytes: env.outboxBytes,
      full: () => {
        if (!state.full) return false
        shrink(env.cache, EVICTION_STEPS)
        return state.full
      },
      marks: instance.guarded ? () => outbox.total + state.changes : undefined,
      commitIntervalMs: env.commitIntervalMs,
      commitBehind: env.ends !== undefined,
      clock: env.clock,
      logger: env.logger
    })
    // Operators may ask for the source and the time from here on.
    instance.init()
    const expire = expiry(
      sub,
      state,
      (node) => saved.has(node),
      () => streamTime.now,
      env.guarantee === 'exactly-once'
    )
    this.#committer = committer
    this.#outbox = outbox
    this.#inbox = inbox
    return { pump, committer, queues }
  }

  #read(queue: SourceQueue, offset: number, pump: Pump): void {
    const { tp } = queue
    this.#env.readers.source.add(
      tp,
      offset,
      (batch: Batch) => {
        queue.push(batch, ++this.#arrivals)
        pump.wake()
      },
      (error) => {
        if (error.fault !== 'out-of-range') return pump.fail(error)
        this.#reset(queue, pump, error).catch((failure) => pump.fail(failure))
      }
    )
  }

  async #reset(queue: SourceQueue, pump: Pump, error: TransportError): Promise<void> {
    const { tp, source } = queue
    const why = `its log does not hold the position any more (${error.message})`
    const offset = await resetOffset(this.#env.transport, source, tp, why)
    const end = (await this.#env.transport.offsets([tp], 'lso')).get(tpKey(tp.topic, tp.partition)) ?? offset
    if (this.#pump !== pump) return
    this.#env.logger.warn(
      { task: this.plan.id, ...tp, offset, error },
      `Partition ${tp.partition} of topic "${tp.topic}" does not hold the position of task ${this.plan.id} any more; it reads on from offset ${offset} ` +
        `(offsetReset: '${source.offsetReset ?? 'earliest'}'). Records in between are lost to this job: was its retention too short?`
    )
    queue.jump(offset, end)
    if (source.offsetReset === 'latest') queue.committed = -1 // a new decision
    this.#read(queue, offset, pump)
  }

  /** A database that could not even be opened. Its lock was given back: whoever has taken it since must not lose its files. */
  async #wipe(): Promise<void> {
    const { applicationId, clock } = this.#env
    const driver = this.#driver
    const owner = { applicationId, taskId: this.plan.id, clock }
    const lock = driver.durable ? await lockDirectory(this.#directory, owner) : undefined
    try {
      await destroyTaskState(this.#directory, driver)
    } finally {
      await lock?.release()
    }
  }

  #producer(signal: AbortSignal): Promise<Producer | TxnProducer> {
    const { transport, applicationId, guarantee, transactionTimeoutMs } = this.#env
    const { id, partition, subtopology } = this.plan
    const lane = (subtopology.id + partition) % LANES
    return guarantee === 'exactly-once'
      ? transport.txnProducer(`${applicationId}-${id}`, { timeoutMs: transactionTimeoutMs, lane, signal })
      : transport.producer({ lane, signal })
  }

  async #step(step: TaskStep, signal: AbortSignal): Promise<void> {
    await this.#env.probe?.(this.plan.id, step)
    signal.throwIfAborted()
  }

  #must(what: string): Opened {
    if (this.#opened) return this.#opened
    throw new StateError(`Task ${this.plan.id} must be open before ${what}.`)
  }

  async #bounded(work: Promise<void>): Promise<void> {
    const limit = new AbortController()
    await Promise.race([work.catch(() => {}), delay(this.#env.clock, UNBLOCK_MS, limit.signal).catch(() => {})])
    limit.abort()
  }
}
