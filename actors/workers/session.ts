/** The handles of one running runtime, outside its machine: clients, readers, group, hosts of tasks, restart budgets. */

import type { AssignmentData } from '../../lib/assign/userData.ts'
import { MillraceError, StateError } from '../../lib/errors.ts'
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import type { Group, GroupHandler, GroupMeta, Transport } from '../../lib/kafka/port.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import type { Settings } from '../../lib/options/options.ts'
import type { Until } from '../../lib/options/until.ts'
import { captureEnds } from '../../lib/prepare/ends.ts'
import { matchedTopics, type PreparedTopology, planOf, prepare, replan } from '../../lib/prepare/prepare.ts'
import { Purge } from '../../lib/prepare/purge.ts'
import type { Router } from '../../lib/query/router.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import { type Budget, decide, FULL_BUDGET, spend } from '../../lib/supervise/decide.ts'
import { deadLetterTopics, on } from '../../lib/supervise/rules.ts'
import type { TaskEnv, TaskPlan, TaskRun } from '../../lib/task/port.ts'
import { routedReader } from '../../lib/task/readerRouter.ts'
import { delay } from '../../lib/time.ts'
import type { BuiltTopology } from '../../lib/topology/built.ts'
import type { OperatorRequest } from '../../lib/topology/node.ts'
import { patternSources } from '../../lib/topology/patterns.ts'
import {
  type ErrorFacts,
  type Failure,
  factsOf,
  type GroupEvent,
  type RunReport,
  type RuntimeCommand,
  type RuntimeFigures,
  type TaskDecision,
  type TaskOutcome,
  type TaskProgress,
  type TaskReport
} from '../events.ts'
import { Batch } from './batch.ts'
import { openGlobals } from './globals.ts'
import { groupHandler } from './groupHandler.ts'
import { Progress } from './progress.ts'
import { Standbys } from './standbys.ts'
import { TaskHost } from './taskHost.ts'

export type SessionMessage =
  | GroupEvent
  | TaskReport
  | RuntimeCommand
  | ({ type: 'PROGRESS' } & TaskProgress)
  | ({ type: 'FIGURES' } & RuntimeFigures)
  | { type: 'STANDBY'; task: string; lag: number }

export interface SessionOptions {
  readonly settings: Settings
  /** A batch ends there. */
  readonly until?: Until | undefined
  readonly createTask: (plan: TaskPlan, env: TaskEnv) => TaskRun
  /** To the coordinator machine. */
  readonly send: (message: SessionMessage) => void
  /** Keeps the error itself; its facts travel. */
  readonly remember: (error: unknown) => ErrorFacts
  /** Is told when tasks come and go. */
  readonly router?: Pick<Router, 'changed'> | undefined
}

/** How a task that closed itself because of a fence comes back while it is still assigned: a transaction time-out looks like a fence. */
const REOPEN = [on(() => true).restart()]

export class Session {
  readonly settings: Settings
  readonly hosts = new Map<string, TaskHost>()
  prepared!: PreparedTopology // from prepare on
  /** As of the last assignment. */
  meta: GroupMeta | undefined
  readonly send: SessionOptions['send']
  readonly #options: SessionOptions
  readonly #budgets = new Map<string, Budget>()
  readonly #liveSince = new Map<string, number>() // by task, while its pump runs
  readonly #closers: (() => Promise<unknown>)[] = [] // run from the last to the first
  #transport: Transport | undefined
  #env: TaskEnv | undefined
  #standbys: Standbys | undefined
  #group: Group | undefined
  #joining: Promise<unknown> = Promise.resolve()
  #preparing: Promise<unknown> = Promise.resolve()
  readonly #leaving = new AbortController()
  #built!: BuiltTopology // with its patterns
  #matched: readonly string[] = [] // by the last look
  #left: Promise<RunReport> | undefined
  #batch: Batch | undefined
  #reached = false
  #progress: Progress | undefined
  readonly #began: number
  /** By the last assignment. */
  #assigned: ReadonlyMap<string, TaskPlan> = new Map()
  #owners: ReadonlyMap<string, string> = new Map() // addresses by task

  constructor(options: SessionOptions) {
    this.#options = options
    this.settings = options.settings
    this.send = options.send
    this.#began = options.settings.clock.now()
  }

  prepare(): Promise<void> {
    const work = this.#prepare()
    this.#preparing = work.catch(() => {})
    return work
  }

  async #prepare(): Promise<void> {
    const { settings } = this
    const built = settings.topology.build(settings.id)
    this.#built = built
    const driver = databaseDriver(settings.store)
    const keeps = built.globals.length > 0 || built.subtopologies.some(({ stores }) => stores.length > 0)
    if (keeps) driver.load?.()
    const { clock, random, logger } = settings
    const transport = settings.transport ?? ownTransport(settings)
    this.#transport = transport
    if (settings.transport === undefined) this.#closers.push(() => transport.close())
    this.prepared = await prepare({
      built,
      transport,
      replicationFactor: settings.replicationFactor,
      deadLetters: deadLetterTopics(settings.rules),
      topologyChange: settings.topologyChange,
      clock
    })
    for (const warning of this.prepared.warnings) logger.warn({ application: settings.id }, warning)
    const fail = (error: unknown): void => this.send({ type: 'FAILED', error: this.#options.remember(error) })
    const source = routedReader(transport, { isolation: 'committed', lane: 'source' }, fail)
    this.#closers.push(() => source.close())
    const restore = routedReader(transport, { isolation: 'committed', lane: 'restore' }, fail)
    this.#closers.push(() => restore.close())
    const purge = new Purge({ admin: transport.admin, topics: this.prepared.repartitionTopics, clock, logger })
    this.#closers.push(() => purge.close())
    const cache = { limit: settings.cacheBytes, used: 0 }
    const progress = new Progress(
      clock,
      (report) => this.send({ type: 'PROGRESS', ...report }),
      (figures) => {
        const batch = this.#batch?.progress
        this.send({ type: 'FIGURES', ...figures, cacheBytes: cache.used, ...(batch ? { batch } : {}) })
      },
      (task, lag) => this.send({ type: 'STANDBY', task, lag })
    )
    this.#progress = progress
    this.#closers.push(async () => progress.close())
    const globals = await openGlobals({
      settings,
      prepared: this.prepared,
      transport,
      cache,
      signal: this.#leaving.signal,
      failed: fail,
      closing: (close) => this.#closers.push(close)
    })
    const { until } = this.#options
    const ends = until === undefined ? undefined : await captureEnds(transport, this.prepared, until)
    if (ends) this.#batch = new Batch({ ends, groupId: settings.id, transport, clock })
    this.#env = {
      applicationId: settings.id,
      guarantee: settings.guarantee,
      transport,
      readers: { source, restore },
      group: () => this.#group,
      partitionCount: (topic) => this.partitionCount(topic),
      driver,
      stateDirectory: settings.stateDir,
      takeOver: async (plan) => this.#standbys?.takeOver(plan),
      clock,
      random,
      logger,
      rules: settings.rules,
      commitIntervalMs: settings.commitIntervalMs,
      transactionTimeoutMs: settings.transactionTimeoutMs,
      maxTaskIdleMs: settings.maxTaskIdleMs,
      queueBytes: settings.queueBytes,
      outboxBytes: settings.outboxBytes,
      cache,
      globals,
      ends: ends?.input,
      probe: settings.probe,
      events: {
        dropped: (task, reason, at) => logger.debug({ task, reason, ...at }, 'A record was dropped'),
        restored: (task, part) => progress.restored(task, part),
        committed: (task, offsets, records, figures) => {
          if (progress.committed(task, offsets, records, figures)) this.#budgets.delete(task)
          this.#batch?.committed(offsets)
          purge.committed(offsets)
        }
      }
    }
    const standbys = new Standbys({ env: this.#env, onLag: (task, lag) => progress.following(task, lag) })
    this.#standbys = standbys
    this.#closers.push(() => standbys.close())
  }

  /** Resolves when the group's coordinator was found and the join is under way; assignments come by events. */
  async join(): Promise<void> {
    const { id, instanceId, sessionMs, rebalanceMs, heartbeatMs } = this.settings
    const handler: GroupHandler = groupHandler(this, this.#options.remember)
    const joining = this.#transport!.group(
      {
        groupId: id,
        // What was found counts as subscribed at once: a broker forgets the offsets of topics that nobody subscribes to.
        topics: () => [...new Set([...this.prepared.sourceTopics, ...this.#matched])],
        instanceId,
        sessionMs,
        rebalanceMs,
        heartbeatMs,
        metadataMs: this.settings.metadataMs
      },
      handler
    )
    this.#joining = joining.catch(() => {})
    this.#group = await joining
    this.#batch?.caughtUp(this.#leaving.signal).then(
      () => {
        this.#reached = true
        this.send({ type: 'DRAIN' })
      },
      (error) => {
        if (!this.#leaving.signal.aborted) this.send({ type: 'FAILED', error: this.#options.remember(error) })
      }
    )
  }

  /** Of every topic the topology reads, keeps or writes by a fixed name. */
  partitionCount(topic: string): number {
    return this.prepared.partitions(topic) || (this.prepared.otherCounts.get(topic) ?? 0)
  }

  /** Topics that match a pattern now. */
  async discover(): Promise<readonly string[]> {
    this.#matched = await matchedTopics(this.#built, this.#transport!.admin)
    return this.#matched
  }

  /** As the leader: plans anew when topics came, went or grew. @throws TopicError, TopologyError when the topology cannot work with them */
  async replan(count: (topic: string) => number): Promise<void> {
    const { counts, built } = this.prepared
    const matched = new Set(this.#matched)
    const gone = new Set(patternSources(built).flatMap(({ topics }) => topics.filter((topic) => !matched.has(topic))))
    const now = new Map<string, number>()
    for (const topic of new Set([...counts.keys(), ...matched])) {
      // Partitions do not get fewer: an answer without some is a passing one.
      const partitions = Math.max(counts.get(topic) ?? 0, count(topic))
      if (partitions > 0 && !gone.has(topic)) now.set(topic, partitions)
    }
    if (sameCounts(counts, now)) return
    const plan = await replan(this.#built, now, this.#transport!.admin, this.settings.replicationFactor)
    this.prepared = { ...this.prepared, ...plan }
  }

  /** As a member: takes over what the leader has planned with. */
  adopt(counts: ReadonlyMap<string, number>): void {
    if (!sameCounts(this.prepared.counts, counts)) this.prepared = { ...this.prepared, ...planOf(this.#built, counts) }
  }

  /** Leaves the group and closes everything this session opened. Never rejects; each step is bounded or logged. */
  leave(): Promise<RunReport> {
    this.#leaving.abort(new MillraceError('The runtime stops.', 'ERR_STATE'))
    this.#left ??= this.#leave()
    return this.#left
  }

  async #leave(): Promise<RunReport> {
    const { logger, clock, drainWithinMs } = this.settings
    const attempt = async (what: string, step: () => Promise<unknown>): Promise<void> => {
      const limit = new AbortController()
      try {
        const overdue = delay(clock, Math.max(drainWithinMs, 10_000), limit.signal).then(() => {
          throw new MillraceError(`${what} took too long and was given up.`, 'ERR_TIMEOUT')
        })
        overdue.catch(() => {})
        await Promise.race([step(), overdue])
      } catch (error) {
        logger.warn({ error }, `${what} failed while the runtime stops`)
      } finally {
        limit.abort()
      }
    }
    // Without a transport a pending first contact ends at once; a join in flight must end before it can be left.
    if (this.#group === undefined && this.settings.transport === undefined && this.#transport) {
      const transport = this.#transport
      await attempt('Closing the connections', () => transport.close())
    }
    await this.#preparing
    await this.#joining
    const group = this.#group
    if (group) await attempt('Leaving the group', () => group.leave())
    for (const close of this.#closers.reverse()) await attempt('Closing', close)
    return {
      records: this.#progress?.records ?? 0,
      partitions: this.prepared?.plans.reduce((n, plan) => n + plan.sources.length, 0) ?? 0,
      ms: clock.now() - this.#began,
      reached: this.#reached,
      exitCode: this.#options.until === undefined || this.#reached ? 0 : 2
    }
  }

  /**
   * @param tasks followed from here on: what is revoked leaves it
   * @param target what the leader wants here once others have let go
   */
  owns(tasks: ReadonlyMap<string, TaskPlan>, { owners = {}, active, standby }: Omit<AssignmentData, 'version'>): void {
    this.#assigned = tasks
    const plans = this.#env?.driver.durable ? this.prepared.plans : []
    this.#standbys?.follow(
      plans.filter(({ id }) => standby.includes(id) && !tasks.has(id)),
      // What is to come here stays warm until it does, and what has come until it opens.
      { kept: new Set([...active, ...tasks.keys()]), free: (task) => this.hosts.get(task)?.ended }
    )
    this.#owners = new Map(Object.entries(owners).flatMap(([address, ids]) => ids.map((id) => [id, address])))
    this.#options.router?.changed()
  }

  /** Standbys that are up to date. */
  get warm(): readonly string[] {
    return this.#standbys?.ready ?? []
  }

  /** For the router. */
  get built(): BuiltTopology | undefined {
    return this.meta && this.prepared.built
  }

  assigned(task: string): boolean {
    return this.#assigned.has(task)
  }

  ownerOf(task: string): string | undefined {
    return this.#owners.get(task)
  }

  async request(task: string, node: string, request: OperatorRequest): Promise<unknown> {
    const host = this.hosts.get(task)
    if (host === undefined) throw new StateError(`Task ${task} does not run yet.`)
    return host.request(node, request)
  }

  /** The host of a task that opens: a new one for each life of its machine. */
  host(id: string): TaskHost | undefined {
    const known = this.hosts.get(id)
    const plan = this.prepared.plans.find((p) => p.id === id)
    if (known || !plan || !this.meta) return known
    const host = new TaskHost({
      plan,
      meta: this.meta,
      create: (p) => this.#options.createTask(p, this.#env!),
      judge: (error) => this.#judge(id, error),
      onLive: () => {
        this.#liveSince.set(id, this.settings.clock.now())
        this.#options.router?.changed()
      },
      closeFailed: (error) =>
        this.settings.logger.error({ task: id, error }, 'Closing a task failed; its state directory may stay locked')
    })
    this.hosts.set(id, host)
    return host
  }

  /** No longer assigned: what it cost in restarts is forgotten. */
  forget(task: string): void {
    this.#budgets.delete(task)
    this.#liveSince.delete(task)
  }

  ended(task: string, outcome: TaskOutcome): void {
    const host = this.hosts.get(task)
    this.hosts.delete(task)
    this.#progress?.ended(task)
    host?.end(outcome)
  }

  /** The machine was stopped from outside: nobody drains any more. Closes everything as a crash would leave it, and leaves. */
  abandon(): Promise<RunReport> {
    const closing = [...this.hosts].map(async ([task, host]) => {
      await host.close({ clean: false, wipe: false }).catch(() => {})
      this.ended(task, { kind: 'killed' })
    })
    return Promise.all(closing).then(() => this.leave())
  }

  #judge(task: string, error: unknown): Failure {
    const { rules, onEscalate, clock, random, logger } = this.settings
    const budget = this.#budgets.get(task) ?? FULL_BUDGET
    const liveSince = this.#liveSince.get(task)
    this.#liveSince.delete(task)
    const liveMs = liveSince === undefined ? 0 : clock.now() - liveSince
    let spent = decide(rules, error, budget, liveMs, random)
    let decision: TaskDecision
    if (spent.kind === 'release') {
      spent = decide(REOPEN, new Error('released'), budget, liveMs, random)
      decision =
        spent.kind === 'restart' ? { kind: 'release', reopenMs: spent.delayMs } : { kind: 'escalate', exhausted: true }
    } else decision = spent
    if (decision.kind === 'escalate' && onEscalate === 'stop-task') decision = { kind: 'stop' }
    this.#budgets.set(task, spend(budget, spent))
    logger.warn({ task, error, decision }, `Task ${task} failed: ${decision.kind}`)
    return { error: this.#options.remember(error), decision }
  }
}

/** A topic without partitions counts as none. */
const sameCounts = (a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean =>
  [...a.keys(), ...b.keys()].every((topic) => (a.get(topic) ?? 0) === (b.get(topic) ?? 0))

function ownTransport({ kafka, id, clock, random }: Settings): Transport {
  return createTransport(kafkajsWire({ clientId: id, clock, ...kafka! }), { clock, random })
}

/** Facts of an error, and the error again by its facts: machines carry the first, hosts want the second. */
export class Errors {
  readonly #known = new Map<string, unknown>()

  readonly remember = (error: unknown): ErrorFacts => {
    const facts = factsOf(error)
    this.#known.set(`${facts.code} ${facts.message}`, error)
    // Restarts that go on for months have many messages; the cause of an end is always among the last.
    if (this.#known.size > 100) this.#known.delete(this.#known.keys().next().value!)
    return facts
  }

  find(facts: ErrorFacts | undefined): unknown {
    if (facts === undefined) return new MillraceError('The runtime failed for an unknown reason.', 'ERR_UNEXPECTED')
    return this.#known.get(`${facts.code} ${facts.message}`) ?? new MillraceError(facts.message, facts.code)
  }
}
