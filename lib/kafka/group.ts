/** Membership in a consumer group: join, sync, heartbeats, awaited hooks, cooperative hand-over, static members. */
import { MillraceError, TransportError } from '../errors.ts'
import type { Tp } from '../record.ts'
import { delay } from '../time.ts'
import { byTopic } from './byTopic.ts'
import type { Cluster } from './cluster.ts'
import { minus } from './cooperative.ts'
import { callCoordinator, firstError, isLost } from './coordinatorCall.ts'
import { GroupLeader } from './groupLeader.ts'
import { Heartbeats, type News, sessionOver } from './heartbeat.ts'
import type { Group, GroupHandler, GroupMeta, GroupOptions, Offset } from './port.ts'
import type { ApiMap } from './protocol/api.ts'
import { Code, faultOf, kafkaError } from './protocol/errors.ts'
import { decodeAssignment, encodeSubscription, type MemberAssignment } from './protocol/subscription.ts'
import type { Lane } from './wire.ts'

const PROTOCOL = 'millrace'
const METADATA_MS = 300_000
const COMMIT_MS = 30_000
const LEAVE_MS = 5_000
/** A join is answered when the last member has joined, or after the rebalance time-out; then some for the way. */
const PARKED_MS = 5_000

let instances = 0

/**
 * Joins the group and stays in it until `leave` or `handler.onError`.
 * ```
 *            ┌──────────────────────────────── rebalance · rejoin() · something was revoked ◀─────────────┐
 *            ▼                                                                                            │
 *   onRebalance ─▶ JoinGroup ─▶ (leader: assign) ─▶ SyncGroup ─▶ onRevoked ─▶ onAssigned ─▶ stay ─────────┤
 *                      ▲                                                                      │           │
 *                      └───────────────────────────── onLost ◀── session over · 22 · 25 ◀─────┴── leave() ▶ onRevoked ─▶ LeaveGroup
 * ```
 * Heartbeats run during stay and all hooks; a parked join or sync needs none. The hooks never overlap.
 * Resolves when the coordinator is found, before the first join.
 * @throws UnreachableError, or TransportError, when no coordinator can be found
 */
export async function createGroup(cluster: Cluster, options: GroupOptions, handler: GroupHandler): Promise<Group> {
  await cluster.coordinator('group', options.groupId)
  return new Membership(cluster, options, handler)
}

class Membership implements Group {
  readonly #cluster: Cluster
  readonly #options: GroupOptions
  readonly #handler: GroupHandler
  readonly #lane: Lane
  readonly #heartbeats: Heartbeats
  readonly #leader: GroupLeader
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #meta: GroupMeta | undefined
  #memberId = ''
  /** What the handler was told it has, and the generation that said so. */
  #owned: Tp[] = []
  #generation = -1
  /** onRebalance was called, onAssigned not yet: commits are held, it is not called again. */
  #holding = false
  #rejoin = false
  #forget = false
  #news: News | undefined
  #poke: (() => void) | undefined // wakes `#stay`

  constructor(cluster: Cluster, options: GroupOptions, handler: GroupHandler) {
    this.#cluster = cluster
    this.#options = options
    this.#handler = handler
    // A lane per membership, not per group: two members of one group in this process must not wait behind each other's join.
    this.#lane = cluster.wire.lane(`group:${options.groupId}#${++instances}`)
    this.#leader = new GroupLeader(cluster, handler)
    this.#heartbeats = new Heartbeats(cluster, this.#lane, {
      sessionMs: options.sessionMs,
      heartbeatMs: options.heartbeatMs,
      report: (news) => {
        if (this.#news === undefined || this.#news.kind === 'rebalance') this.#news = news
        this.#poke?.()
      }
    })
    this.#done = this.#run()
  }

  get meta(): GroupMeta | undefined {
    return this.#meta
  }

  rejoin(): void {
    this.#rejoin = true
    this.#poke?.()
  }

  /** On the control lane: the group's own may be parked in a join. */
  async commit(meta: GroupMeta, offsets: Offset[]): Promise<void> {
    if (offsets.length === 0) return
    const { groupId, generation, memberId, instanceId = null } = meta
    await callCoordinator(this.#cluster, this.#cluster.wire.lane('control'), {
      kind: 'group',
      key: groupId,
      api: 'OffsetCommit',
      request: {
        groupId,
        generation,
        memberId,
        instanceId,
        topics: byTopic(offsets, ({ partition, offset, metadata = null }) => ({ partition, offset, metadata }))
      },
      code: (answer) => firstError(answer.topics).code,
      what: `Committing offsets of group "${groupId}"`,
      timeoutMs: COMMIT_MS
    })
  }

  leave(options: { forget?: boolean } = {}): Promise<void> {
    this.#forget ||= options.forget ?? false
    this.#stop.abort(new Error('leaving'))
    this.#poke?.()
    return this.#done
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopping) await this.#round()
      await this.#depart()
    } catch (error) {
      await this.#end(error)
    } finally {
      this.#heartbeats.stop()
      this.#leader.resign()
      this.#meta = undefined
      await this.#lane.close().catch(() => {})
    }
  }

  get #stopping(): boolean {
    return this.#stop.signal.aborted
  }

  async #round(): Promise<void> {
    if (this.#meta && !this.#holding) {
      this.#holding = true
      // Whoever joins later than this is expelled: a hook that takes longer goes on beside us, and its commits may be refused.
      const { rebalanceMs, heartbeatMs } = this.#options
      const limit = Math.max(rebalanceMs / 2, rebalanceMs - 2 * heartbeatMs)
      await this.#hook('onRebalance', limit, () => this.#handler.onRebalance())
      if (await this.#wasLost()) return
    }
    this.#leader.stop()
    const joined = this.#stopping ? undefined : await this.#join()
    const assignment = joined && (await this.#sync(joined))
    if (!joined || !assignment) return
    const revoked = await this.#apply(assignment, this.#metaOf(joined))
    // What we let go waits for an owner: join again at once.
    if (!revoked && this.#meta) await this.#stay()
  }

  /** Undefined: leaving. */
  async #join(): Promise<ApiMap['JoinGroup']['response'] | undefined> {
    const { groupId, topics, instanceId = null, sessionMs, rebalanceMs, protocol = PROTOCOL } = this.#options
    this.#heartbeats.stop()
    let contact = this.#heartbeats.contact
    for (let failures = 0; !this.#stopping; failures++) {
      this.#rejoin = false // what is read here is what the others will know
      const metadata = encodeSubscription({
        topics: [...(typeof topics === 'function' ? topics() : topics)],
        userData: this.#handler.userData(),
        owned: this.#owned,
        generation: this.#generation
      })
      const request = {
        groupId,
        sessionTimeoutMs: sessionMs,
        rebalanceTimeoutMs: rebalanceMs,
        memberId: this.#memberId,
        instanceId,
        protocolType: 'consumer',
        protocols: [{ name: protocol, metadata }]
      }
      const answer = await this.#ask('JoinGroup', request, contact)
      if (answer === undefined) return undefined
      if ('failed' in answer) {
        contact = answer.contact
        await this.#pause(failures)
        continue
      }
      if (answer.error === Code.NONE || answer.error === Code.MEMBER_ID_REQUIRED) this.#memberId = answer.memberId
      if (answer.error === Code.NONE) return answer
      contact = this.#cluster.clock.now()
      if (answer.error !== Code.MEMBER_ID_REQUIRED) {
        await this.#judge(answer.error, 'Joining')
        await this.#pause(failures)
      }
    }
    return undefined
  }

  /** Undefined: join again, or leave. */
  async #sync(joined: ApiMap['JoinGroup']['response']): Promise<MemberAssignment | undefined> {
    const meta = this.#metaOf(joined)
    const { groupId, generation, memberId, instanceId = null } = meta
    let assignments: ApiMap['SyncGroup']['request']['assignments'] = []
    // A restarted static leader gets no member list: the assignment stands as it is.
    if (joined.leader === memberId && joined.members.length > 0) {
      this.#heartbeats.start(meta)
      try {
        assignments = await this.#leader.assign(joined.members)
      } catch (error) {
        if (!isPassing(error)) throw fatal('The assignment failed', error)
        await this.#pause(3)
        return undefined
      } finally {
        this.#heartbeats.stop()
      }
    } else this.#leader.resign()
    let contact = this.#cluster.clock.now()
    for (let failures = 0; ; failures++) {
      const request = { groupId, generation, memberId, instanceId, assignments }
      const answer = await this.#ask('SyncGroup', request, contact)
      if (answer === undefined) return undefined
      if ('failed' in answer) {
        if (answer.lost) return undefined
        contact = answer.contact
        await this.#pause(failures)
      } else if (answer.error === Code.NONE) {
        return decodeAssignment(answer.assignment)
      } else {
        const { error } = answer
        await this.#judge(error, 'Synchronising with')
        if (faultOf(error) !== 'coordinator') return undefined
        await this.#pause(failures)
      }
    }
  }

  /** @returns whether something was revoked */
  async #apply({ partitions, userData }: MemberAssignment, meta: GroupMeta): Promise<boolean> {
    const revoked = minus(this.#owned, partitions)
    const added = minus(partitions, this.#owned)
    this.#news = undefined
    this.#meta = meta
    this.#heartbeats.start(meta)
    if (revoked.length > 0) {
      await this.#hook('onRevoked', this.#options.rebalanceMs, () => this.#handler.onRevoked(revoked, meta))
      this.#owned = minus(this.#owned, revoked)
      if (await this.#wasLost()) return false
    }
    this.#owned = [...partitions]
    this.#generation = meta.generation
    this.#holding = false
    await this.#hook('onAssigned', this.#options.rebalanceMs, () =>
      this.#handler.onAssigned(added, [...partitions], userData, meta)
    )
    return !(await this.#wasLost()) && revoked.length > 0
  }

  /** Until something asks for a join, or the membership is lost, or we leave. */
  async #stay(): Promise<void> {
    this.#leader.watch(this.#options.metadataMs ?? METADATA_MS, () => this.rejoin())
    while (!this.#stopping && !this.#rejoin && !this.#news) {
      await new Promise<void>((resolve) => {
        this.#poke = resolve
      })
      this.#poke = undefined
    }
    await this.#wasLost()
  }

  /** @throws when there is no way back; else tells the handler and answers true. */
  async #wasLost(): Promise<boolean> {
    const news = this.#news
    if (!news || news.kind === 'rebalance') return false
    if (news.kind === 'fatal') throw news.cause
    await this.#lose(news.cause, news.forget)
    return true
  }

  async #lose(cause: TransportError, forget: boolean): Promise<void> {
    const had = this.#meta !== undefined
    const tps = this.#owned
    this.#heartbeats.stop()
    this.#leader.resign()
    this.#news = undefined
    this.#meta = undefined
    this.#owned = []
    this.#generation = -1
    this.#holding = false
    if (forget) this.#memberId = ''
    if (had) await this.#hook('onLost', this.#options.rebalanceMs, () => this.#handler.onLost(tps, cause))
  }

  /** What an error code asks for while we are not a stable member. @throws what repeating does not mend */
  async #judge(code: number, what: string): Promise<void> {
    const { groupId } = this.#options
    const error = kafkaError(code, `${what} group "${groupId}"`, { groupId, memberId: this.#memberId })
    const forget = code === Code.UNKNOWN_MEMBER_ID
    if (forget || code === Code.ILLEGAL_GENERATION) {
      await this.#lose(error, forget)
    } else if (error.fault === 'coordinator') this.#cluster.forgetCoordinator('group', groupId)
    else if (error.fault !== 'rebalancing' && !error.retriable) throw error
  }

  /**
   * One request on our lane. Undefined: leaving. `failed`: no answer; the membership is given up when the coordinator has not
   * heard of us for a session. A request that is parked there keeps us alive, so that time does not count.
   */
  async #ask<A extends 'JoinGroup' | 'SyncGroup'>(
    api: A,
    request: ApiMap[A]['request'],
    contact: number
  ): Promise<ApiMap[A]['response'] | { failed: true; contact: number; lost: boolean } | undefined> {
    const { groupId, sessionMs, rebalanceMs } = this.#options
    const { clock } = this.#cluster
    let heard = contact
    try {
      const node = await this.#within(this.#cluster.coordinator('group', groupId), contact + sessionMs - clock.now())
      const call = this.#lane.call(node, api, request, { timeoutMs: rebalanceMs + PARKED_MS })
      return (await this.#within(call)) as ApiMap[A]['response']
    } catch (error) {
      if (this.#stopping) return undefined
      this.#cluster.forgetCoordinator('group', groupId)
      if (error !== OVERDUE && !isPassing(error)) throw error
      if (isLost(error)) heard = clock.now()
    }
    const lost = this.#meta !== undefined && clock.now() - heard >= sessionMs
    if (lost) await this.#lose(sessionOver(this.#meta!, clock.now() - heard), false)
    return { failed: true, contact: heard, lost }
  }

  /** The promise, unless we leave or time is up before. */
  #within<T>(promise: Promise<T>, ms?: number): Promise<T> {
    const over = new AbortController()
    const { signal } = this.#stop
    const stopped = new Promise<never>((_, reject) => {
      if (signal.aborted) reject(signal.reason)
      signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: over.signal })
    })
    const racers: Promise<T>[] = [promise, stopped]
    // Without a membership there is no session to end: then it may take as long as it takes.
    if (ms !== undefined && this.#meta) {
      racers.push(
        delay(this.#cluster.clock, Math.max(0, ms), over.signal).then(() => {
          throw OVERDUE
        })
      )
    }
    for (const racer of racers) racer.catch(() => {})
    return Promise.race(racers).finally(() => over.abort())
  }

  async #pause(failures: number): Promise<void> {
    const ms = Math.min(1_000, 20 * 2 ** Math.min(failures, 10)) * (0.5 + this.#cluster.random() / 2)
    await delay(this.#cluster.clock, ms, this.#stop.signal).catch(() => {})
  }

  /** Awaits the handler, at most `limit` ms. @throws TransportError 'fatal' when it throws */
  async #hook(name: string, limit: number, run: () => Promise<void>): Promise<void> {
    const over = new AbortController()
    const overdue = delay(this.#cluster.clock, limit, over.signal).catch(() => {})
    const work = (async () => run())().catch((cause) => {
      throw fatal(`The handler's ${name} failed`, cause)
    })
    try {
      await Promise.race([work, overdue])
    } finally {
      over.abort()
      work.catch(() => {})
    }
  }

  async #depart(): Promise<void> {
    const meta = this.#meta
    const tps = this.#owned
    this.#owned = []
    if (meta && tps.length > 0) {
      await this.#hook('onRevoked', this.#options.rebalanceMs, () => this.#handler.onRevoked(tps, meta))
    }
    this.#heartbeats.stop()
    // A static member's place is kept for its restart.
    if (this.#options.instanceId === undefined || this.#forget) await this.#sayGoodbye()
  }

  /** On the control lane: our own may be parked in a join, which this ends. Best effort; the session's end does the same later. */
  async #sayGoodbye(): Promise<void> {
    const { groupId, instanceId = null } = this.#options
    if (this.#memberId === '') return
    const over = new AbortController()
    const goodbye = callCoordinator(this.#cluster, this.#cluster.wire.lane('control'), {
      kind: 'group',
      key: groupId,
      api: 'LeaveGroup',
      request: { groupId, members: [{ memberId: this.#memberId, instanceId }] },
      code: (answer) => answer.error,
      what: `Leaving group "${groupId}"`,
      timeoutMs: LEAVE_MS,
      signal: over.signal
    })
    // Looking for a coordinator that is gone has a patience of its own, longer than a process that leaves should wait.
    await Promise.race([goodbye.catch(() => {}), delay(this.#cluster.clock, LEAVE_MS, over.signal).catch(() => {})])
    over.abort()
  }

  /** No way to go on. */
  async #end(reason: unknown): Promise<void> {
    const error = reason instanceof TransportError ? reason : fatal('The group cannot go on', reason)
    try {
      await this.#lose(error, false)
    } catch {
      // The handler failed before, and fails again: the first failure is the one to tell.
    }
    if (this.#options.instanceId === undefined) await this.#sayGoodbye()
    this.#handler.onError(error)
  }

  #metaOf({ generation, memberId }: { generation: number; memberId: string }): GroupMeta {
    const { groupId, instanceId } = this.#options
    return { groupId, generation, memberId, ...(instanceId !== undefined && { instanceId }) }
  }
}

const OVERDUE = new TransportError('The session ended while its coordinator was looked for', 'retriable')

/** A broker may be missing for a while: whatever passes is waited for. */
const isPassing = (error: unknown): boolean => isLost(error) || (error instanceof MillraceError && error.retriable)

function fatal(what: string, cause: unknown): TransportError {
  const message = cause instanceof Error ? cause.message : String(cause)
  return new TransportError(`${what}: ${message}`, 'fatal', { cause })
}
