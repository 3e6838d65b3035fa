/**
 * One consumer group of the classic protocol: who is in it, in which generation, and what each request may do.
 *
 *                 join                  all joined, or time-out              leader synced
 *   empty ──────────────────▶ preparing ──────────────────────▶ completing ─────────────────▶ stable
 *     ▲                        │    ▲                               │ join, leave, expiry        │
 *     └──── nobody is left ────┘    └───────────────────────────────┴────────────────────────────┘
 */
import type { ApiMap } from '../kafka/protocol/api.ts'
import { Code } from '../kafka/protocol/errors.ts'
import { GroupOffsets } from './offsets.ts'
import type { Timer, Timers } from './timers.ts'

type JoinRequest = ApiMap['JoinGroup']['request']
type JoinAnswer = ApiMap['JoinGroup']['response']
type SyncRequest = ApiMap['SyncGroup']['request']
type SyncAnswer = ApiMap['SyncGroup']['response']
type Protocols = JoinRequest['protocols']

export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable'

/** How a request names its sender. */
export interface MemberRef {
  readonly generation: number
  readonly memberId: string
  readonly instanceId: string | null
}

interface Member {
  id: string
  readonly instanceId: string | null
  sessionMs: number
  rebalanceMs: number
  protocols: Protocols
  assignment: Buffer
  /** Parked answers. */
  joining: ((answer: JoinAnswer) => void) | undefined
  syncing: ((answer: SyncAnswer) => void) | undefined
  /** Has synced in this generation. */
  synced: boolean
  session: Timer | undefined
}

export interface GroupEnv {
  readonly timers: Timers
  readonly newMemberId: (instanceId: string | null) => string
  /** How long the first join of an empty group waits for others. */
  readonly initialDelayMs: number
}

const NOTHING = Buffer.alloc(0)

export class Group {
  readonly offsets = new GroupOffsets()
  readonly #env: GroupEnv
  #state: GroupState = 'Empty'
  #generation = 0
  #protocolType = ''
  #protocol = ''
  #leader: string | undefined
  // In the order they came: the first that joined leads.
  #members = new Map<string, Member>()
  #static = new Map<string, string>() // instance id → member id
  // Ids handed out with MEMBER_ID_REQUIRED that have not come back; a rebalance waits for them.
  #pending = new Map<string, Timer>()
  #deadline: Timer | undefined // end of the join phase, then of the sync phase
  #waitsForFirst = false // the initial delay runs: joining does not complete before

  constructor(env: GroupEnv) {
    this.#env = env
  }

  get state(): GroupState {
    return this.#state
  }

  get hasMembers(): boolean {
    return this.#members.size > 0
  }

  join(request: JoinRequest): JoinAnswer | Promise<JoinAnswer> {
    if (!this.#fits(request)) return failedJoin(Code.INCONSISTENT_GROUP_PROTOCOL, request.memberId)
    if (request.memberId === '') return request.instanceId === null ? this.#invite(request) : this.#joinStatic(request)
    const invited = this.#pending.get(request.memberId)
    if (invited) {
      this.#pending.delete(request.memberId)
      this.#env.timers.cancel(invited)
      return this.#add(request.memberId, request)
    }
    const error = this.#identify(request.memberId, request.instanceId)
    if (error !== Code.NONE) return failedJoin(error, request.memberId)
    return this.#rejoin(this.#members.get(request.memberId)!, request)
  }

  sync(request: SyncRequest): SyncAnswer | Promise<SyncAnswer> {
    const error = this.#current(request)
    if (error !== Code.NONE) return { error, assignment: NOTHING }
    if (this.#state === 'PreparingRebalance') return { error: Code.REBALANCE_IN_PROGRESS, assignment: NOTHING }
    const member = this.#members.get(request.memberId)!
    member.synced = true
    this.#touch(member)
    if (this.#state === 'Stable') return { error: Code.NONE, assignment: member.assignment }
    return new Promise((resolve) => {
      member.syncing = resolve
      if (member.id === this.#leader) this.#assign(request.assignments)
    })
  }

  heartbeat(ref: MemberRef): number {
    const error = this.#current(ref)
    if (error !== Code.NONE) return error
    this.#touch(this.#members.get(ref.memberId)!)
    return this.#state === 'PreparingRebalance' ? Code.REBALANCE_IN_PROGRESS : Code.NONE
  }

  leave(memberId: string, instanceId: string | null): number {
    const invited = this.#pending.get(memberId)
    if (invited) {
      this.#env.timers.cancel(invited)
      this.#pending.delete(memberId)
      this.#tryCompleteJoin()
      return Code.NONE
    }
    const id = memberId === '' && instanceId !== null ? this.#static.get(instanceId) : memberId
    if (id === undefined) return Code.UNKNOWN_MEMBER_ID
    const error = this.#identify(id, instanceId)
    if (error === Code.NONE) this.#removeAndRebalance(this.#members.get(id)!)
    return error
  }

  /** The commit table of the reference: transactional commits pass while completing, and without a member always. */
  mayCommit(ref: MemberRef, transactional: boolean): number {
    if (ref.generation < 0 && this.#state === 'Empty') return Code.NONE
    if (ref.generation >= 0 || ref.memberId !== '' || ref.instanceId !== null) {
      const error = this.#current(ref)
      if (error !== Code.NONE) return error
    } else if (!transactional) {
      return Code.UNKNOWN_MEMBER_ID
    }
    if (transactional) return Code.NONE
    if (this.#state === 'CompletingRebalance') return Code.REBALANCE_IN_PROGRESS
    const member = this.#members.get(ref.memberId)
    if (member) this.#touch(member)
    return Code.NONE
  }

  describe(): ApiMap['DescribeGroup']['response'] {
    return {
      error: Code.NONE,
      state: this.#state,
      members: [...this.#members.values()].map((m) => ({
        memberId: m.id,
        instanceId: m.instanceId,
        metadata: this.#state === 'Stable' ? metadataOf(m, this.#protocol) : NOTHING,
        assignment: this.#state === 'Stable' ? m.assignment : NOTHING
      }))
    }
  }

  // ── who asks ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #identify(memberId: string, instanceId: string | null): number {
    if (instanceId !== null) {
      const holder = this.#static.get(instanceId)
      if (holder === undefined) return Code.UNKNOWN_MEMBER_ID
      if (holder !== memberId) return Code.FENCED_INSTANCE_ID
    }
    return this.#members.has(memberId) ? Code.NONE : Code.UNKNOWN_MEMBER_ID
  }

  #current(ref: MemberRef): number {
    const error = this.#identify(ref.memberId, ref.instanceId)
    return error === Code.NONE && ref.generation !== this.#generation ? Code.ILLEGAL_GENERATION : error
  }

  #fits({ protocolType, protocols, memberId }: JoinRequest): boolean {
    if (protocolType === '' || protocols.length === 0) return false
    const others = [...this.#members.values()].filter((m) => m.id !== memberId)
    if (others.length === 0) return true
    if (protocolType !== this.#protocolType) return false
    return protocols.some((p) => others.every((m) => m.protocols.some((q) => q.name === p.name)))
  }

  // ── joining ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A member without a name gets one and must come again with it: a client that gave up leaves no ghost behind. */
  #invite(request: JoinRequest): JoinAnswer {
    const id = this.#env.newMemberId(null)
    const forget = (): void => {
      this.#pending.delete(id)
      this.#tryCompleteJoin()
    }
    this.#pending.set(id, this.#env.timers.after(request.sessionTimeoutMs, forget))
    return failedJoin(Code.MEMBER_ID_REQUIRED, id)
  }

  #joinStatic(request: JoinRequest): JoinAnswer | Promise<JoinAnswer> {
    const instanceId = request.instanceId!
    const id = this.#env.newMemberId(instanceId)
    const old = this.#members.get(this.#static.get(instanceId) ?? '')
    if (!old) return this.#add(id, request)
    // The newcomer takes the place of the old holder, who finds out with its next request.
    const leader = this.#leader
    old.joining?.(failedJoin(Code.FENCED_INSTANCE_ID, old.id))
    old.syncing?.({ error: Code.FENCED_INSTANCE_ID, assignment: NOTHING })
    this.#env.timers.cancel(old.session)
    const member: Member = { ...old, id, joining: undefined, syncing: undefined, session: undefined }
    this.#members = new Map([...this.#members].map(([key, m]) => (m === old ? [id, member] : [key, m])))
    this.#static.set(instanceId, id)
    if (this.#leader === old.id) this.#leader = id
    update(member, request)
    this.#touch(member)
    if (this.#state === 'Stable' && this.#choose() === this.#protocol) {
      return { ...this.#joined(member), leader: leader ?? '', members: [] }
    }
    return this.#park(member)
  }

  #add(id: string, request: JoinRequest): Promise<JoinAnswer> {
    const member: Member = {
      id,
      instanceId: request.instanceId,
      sessionMs: 0,
      rebalanceMs: 0,
      protocols: [],
      assignment: NOTHING,
      joining: undefined,
      syncing: undefined,
      synced: false,
      session: undefined
    }
    update(member, request)
    this.#protocolType = request.protocolType
    this.#members.set(id, member)
    if (request.instanceId !== null) this.#static.set(request.instanceId, id)
    this.#leader ??= id
    this.#touch(member)
    return this.#park(member)
  }

  #rejoin(member: Member, request: JoinRequest): JoinAnswer | Promise<JoinAnswer> {
    const same = sameProtocols(member.protocols, request.protocols)
    const leads = member.id === this.#leader
    // Completing: its join answer was lost. Stable: a follower without news needs no rebalance, the leader always gets one.
    const answered = same && (this.#state === 'CompletingRebalance' || (this.#state === 'Stable' && !leads))
    update(member, request)
    this.#touch(member)
    return answered ? this.#joined(member) : this.#park(member)
  }

  #park(member: Member): Promise<JoinAnswer> {
    return new Promise((resolve) => {
      member.joining?.(failedJoin(Code.UNKNOWN_MEMBER_ID, member.id)) // an older request of the same member
      member.joining = resolve
      if (this.#state === 'PreparingRebalance') this.#tryCompleteJoin()
      else this.#prepare()
    })
  }

  #prepare(): void {
    for (const member of this.#members.values()) {
      member.syncing?.({ error: Code.REBALANCE_IN_PROGRESS, assignment: NOTHING })
      member.syncing = undefined
      member.assignment = this.#state === 'CompletingRebalance' ? NOTHING : member.assignment
    }
    this.#waitsForFirst = this.#state === 'Empty' && this.#env.initialDelayMs > 0
    this.#state = 'PreparingRebalance'
    const wait = this.#waitsForFirst ? this.#env.initialDelayMs : this.#rebalanceMs
    this.#env.timers.cancel(this.#deadline)
    this.#deadline = this.#env.timers.after(wait, () => this.#completeJoin())
    this.#tryCompleteJoin()
  }

  #tryCompleteJoin(): void {
    if (this.#state !== 'PreparingRebalance' || this.#waitsForFirst || this.#pending.size > 0) return
    for (const member of this.#members.values()) if (!member.joining) return
    this.#completeJoin()
  }

  #completeJoin(): void {
    this.#waitsForFirst = false
    this.#env.timers.cancel(this.#deadline)
    for (const member of [...this.#members.values()]) {
      // A static member may be restarting: it keeps its place until its session ends.
      if (!member.joining && member.instanceId === null) this.#remove(member)
    }
    const joined = [...this.#members.values()].filter((m) => m.joining)
    if (joined.length === 0 && this.#members.size > 0) {
      this.#deadline = this.#env.timers.after(this.#rebalanceMs, () => this.#completeJoin())
      return
    }
    this.#generation++
    if (joined.length === 0) {
      this.#state = 'Empty'
      this.#protocol = ''
      return
    }
    if (!joined.some((m) => m.id === this.#leader)) this.#leader = joined[0]!.id
    this.#protocol = this.#choose()
    this.#state = 'CompletingRebalance'
    this.#deadline = this.#env.timers.after(this.#rebalanceMs, () => this.#dropUnsynced())
    for (const member of this.#members.values()) member.synced = false
    for (const member of joined) {
      const answer = member.joining!
      member.joining = undefined
      this.#touch(member)
      answer(this.#joined(member))
    }
  }

  #joined(member: Member): JoinAnswer {
    const leads = member.id === this.#leader
    return {
      error: Code.NONE,
      generation: this.#generation,
      protocolName: this.#protocol,
      leader: this.#leader ?? '',
      memberId: member.id,
      members: leads ? [...this.#members.values()].map((m) => this.#roll(m)) : []
    }
  }

  #roll(member: Member): JoinAnswer['members'][number] {
    return { memberId: member.id, instanceId: member.instanceId, metadata: metadataOf(member, this.#protocol) }
  }

  /** Each member votes for the first of its protocols that all know. */
  #choose(): string {
    const votes = new Map<string, number>()
    const members = [...this.#members.values()]
    for (const member of members) {
      const vote = member.protocols.find((p) => members.every((m) => m.protocols.some((q) => q.name === p.name)))
      if (vote) votes.set(vote.name, (votes.get(vote.name) ?? 0) + 1)
    }
    return [...votes].reduce((best, next) => (next[1] > best[1] ? next : best), ['', 0])[0]
  }

  get #rebalanceMs(): number {
    let longest = 0
    for (const member of this.#members.values()) longest = Math.max(longest, member.rebalanceMs)
    return longest
  }

  // ── assigning, leaving ────────────────────────────────────────────────────────────────────────────────────────────

  #assign(assignments: SyncRequest['assignments']): void {
    this.#state = 'Stable'
    const byId = new Map(assignments.map((a) => [a.memberId, a.assignment]))
    for (const member of this.#members.values()) {
      member.assignment = byId.get(member.id) ?? NOTHING
      const answer = member.syncing
      member.syncing = undefined
      if (!answer) continue
      this.#touch(member)
      answer({ error: Code.NONE, assignment: member.assignment })
    }
  }

  /** Members that took the join answer and never synced would hold their partitions for ever. */
  #dropUnsynced(): void {
    this.#deadline = undefined
    const silent = [...this.#members.values()].filter((m) => !m.synced && m.instanceId === null)
    for (const member of silent) this.#remove(member)
    if (silent.length > 0 && this.#state !== 'PreparingRebalance') this.#prepare()
  }

  #removeAndRebalance(member: Member): void {
    this.#remove(member)
    if (this.#state === 'PreparingRebalance') this.#tryCompleteJoin()
    else this.#prepare()
  }

  #remove(member: Member): void {
    this.#env.timers.cancel(member.session)
    member.joining?.(failedJoin(Code.UNKNOWN_MEMBER_ID, member.id))
    member.syncing?.({ error: Code.UNKNOWN_MEMBER_ID, assignment: NOTHING })
    this.#members.delete(member.id)
    if (member.instanceId !== null) this.#static.delete(member.instanceId)
    if (this.#leader === member.id) this.#leader = this.#members.keys().next().value
  }

  /** A session begins anew. A member that waits for our answer is alive however long that takes. */
  #touch(member: Member): void {
    this.#env.timers.cancel(member.session)
    member.session = this.#env.timers.after(member.sessionMs, () => {
      if (member.joining || member.syncing) this.#touch(member)
      else this.#removeAndRebalance(member)
    })
  }
}

function update(member: Member, request: JoinRequest): void {
  member.sessionMs = request.sessionTimeoutMs
  member.rebalanceMs = request.rebalanceTimeoutMs
  member.protocols = request.protocols.map((p) => ({ name: p.name, metadata: Buffer.from(p.metadata) }))
}

const metadataOf = (member: Member, protocol: string): Buffer =>
  member.protocols.find((p) => p.name === protocol)?.metadata ?? NOTHING

const sameProtocols = (a: Protocols, b: Protocols): boolean =>
  a.length === b.length && a.every((p, i) => p.name === b[i]!.name && p.metadata.equals(b[i]!.metadata))

export const failedJoin = (error: number, memberId: string): JoinAnswer => ({
  error,
  generation: -1,
  protocolName: '',
  leader: '',
  memberId,
  members: []
})
