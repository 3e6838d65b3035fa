/** Members for the group cases: a handler that notes what happens to it, and requests of members that are no clients of ours. */
import type { TransportError } from '../../../lib/errors.ts'
import type { Assignment, Group, GroupHandler, GroupMeta, Member } from '../../../lib/kafka/port.ts'
import type { ApiMap } from '../../../lib/kafka/protocol/api.ts'
import type { ApiName } from '../../../lib/kafka/wire.ts'
import { type Tp, tpKey } from '../../../lib/record.ts'
import type { Side } from './support.ts'

export class Follower implements GroupHandler {
  readonly name: string
  /** In order: "rebalance", "revoked t-0", "assigned t-0 t-1", "lost t-0", "error fenced". */
  readonly events: string[] = []
  owned: string[] = []
  meta: GroupMeta | undefined
  data = ''
  received = ''
  /** What the plan saw when this member led last. */
  seen: Member[] = []
  group!: Group
  revoking: () => Promise<void> = async () => {}
  rebalancing: () => Promise<void> = async () => {}

  constructor(name: string) {
    this.name = name
    this.data = name
  }

  static async join(
    side: Side,
    name: string,
    groupId: string,
    topics: string[],
    over: { instanceId?: string; rebalanceMs?: number; prepare?: (f: Follower) => void } = {}
  ): Promise<Follower> {
    const follower = new Follower(name)
    over.prepare?.(follower)
    const options = {
      groupId,
      topics,
      instanceId: over.instanceId,
      sessionMs: side.sessionMs,
      rebalanceMs: over.rebalanceMs ?? 10_000,
      heartbeatMs: 100
    }
    const transport = await side.another()
    follower.group = await transport.group(options, follower)
    return follower
  }

  userData(): Buffer {
    return Buffer.from(this.data)
  }

  /** Sticky and balanced: everybody keeps what it has up to its share. */
  assign(members: Member[], partitionCount: (topic: string) => number): Assignment[] {
    this.seen = members
    const all: Tp[] = [...new Set(members.flatMap((m) => m.topics))].flatMap((topic) =>
      Array.from({ length: partitionCount(topic) }, (_, partition) => ({ topic, partition }))
    )
    const share = Math.ceil(all.length / members.length)
    const free = new Map(all.map((tp) => [tpKey(tp.topic, tp.partition), tp]))
    const plan = new Map<string, Tp[]>()
    for (const m of members) {
      const kept = m.owned.filter((tp) => free.has(tpKey(tp.topic, tp.partition))).slice(0, share)
      for (const tp of kept) free.delete(tpKey(tp.topic, tp.partition))
      plan.set(m.memberId, kept)
    }
    for (const tp of free.values()) {
      const least = members.reduce((a, b) => (plan.get(b.memberId)!.length < plan.get(a.memberId)!.length ? b : a))
      plan.get(least.memberId)!.push(tp)
    }
    return members.map((m) => ({
      memberId: m.memberId,
      partitions: plan.get(m.memberId)!,
      userData: Buffer.from(`for ${m.userData}`)
    }))
  }

  async onRebalance(): Promise<void> {
    this.events.push('rebalance')
    await this.rebalancing()
  }

  async onRevoked(tps: Tp[], meta: GroupMeta): Promise<void> {
    this.meta = meta
    await this.revoking()
    this.owned = this.owned.filter((p) => !keys(tps).includes(p))
    this.events.push(`revoked ${keys(tps).join(' ')}`)
  }

  async onAssigned(added: Tp[], all: Tp[], userData: Buffer, meta: GroupMeta): Promise<void> {
    this.meta = meta
    this.owned = keys(all)
    this.received = userData.toString()
    this.events.push(`assigned ${keys(added).join(' ')}`)
  }

  async onLost(tps: Tp[], cause: TransportError): Promise<void> {
    this.owned = []
    this.events.push(`lost ${keys(tps).join(' ')}: ${cause.fault}`)
  }

  onError(error: TransportError): void {
    this.events.push(`error ${error.fault}`)
  }

  of(kind: string): string[] {
    return this.events.filter((e) => e.startsWith(kind))
  }
}

const keys = (tps: readonly Tp[]): string[] => tps.map((tp) => tpKey(tp.topic, tp.partition)).sort()

/** Sends group requests as a foreign client would, each member on a connection of its own. */
export class Foreigner {
  readonly #side: Side
  readonly #lane: string
  readonly groupId: string
  readonly #topic: string

  constructor(side: Side, lane: string, groupId: string, topic: string) {
    this.#side = side
    this.#lane = lane
    this.groupId = groupId
    this.#topic = topic
  }

  async send<A extends ApiName>(
    api: A,
    request: ApiMap[A]['request'],
    key = this.groupId
  ): Promise<ApiMap[A]['response']> {
    const type = key === this.groupId ? 'group' : 'transaction'
    for (;;) {
      const lane = this.#side.wire.lane(`foreign:${this.#lane}`)
      const { nodeId, error } = await lane.call('any', 'FindCoordinator', { key, type })
      if (error === 0) return lane.call(nodeId, api, request)
    }
  }

  /** Comes again by itself when it is given an id first. */
  async join(
    memberId = '',
    metadata = subscription(this.#topic),
    protocol = 'millrace'
  ): Promise<ApiMap['JoinGroup']['response']> {
    const answer = await this.send('JoinGroup', {
      groupId: this.groupId,
      sessionTimeoutMs: this.#side.sessionMs,
      rebalanceTimeoutMs: 20_000,
      memberId,
      instanceId: null,
      protocolType: 'consumer',
      protocols: [{ name: protocol, metadata }]
    })
    return answer.error === 79 ? this.join(answer.memberId, metadata, protocol) : answer
  }

  async sync(memberId: string, generation: number, members: string[] = []): Promise<number> {
    const assignments = members.map((id) => ({ memberId: id, assignment: Buffer.alloc(0) }))
    return (await this.send('SyncGroup', { ...this.ref(memberId, generation), assignments })).error
  }

  async heartbeat(memberId: string, generation: number): Promise<number> {
    return (await this.send('Heartbeat', this.ref(memberId, generation))).error
  }

  async leave(memberId: string, instanceId: string | null = null): Promise<number> {
    const answer = await this.send('LeaveGroup', { groupId: this.groupId, members: [{ memberId, instanceId }] })
    return answer.members[0]!.error
  }

  async commit(memberId: string, generation: number, partition = 0): Promise<number> {
    const topics = [{ topic: this.#topic, partitions: [{ partition, offset: 1, metadata: null }] }]
    const answer = await this.send('OffsetCommit', { ...this.ref(memberId, generation), topics })
    return answer.topics[0]!.partitions[0]!.error
  }

  ref(memberId: string, generation: number) {
    return { groupId: this.groupId, generation, memberId, instanceId: null }
  }
}

/** A consumer's subscription, version 0: the only part that brokers look into. */
export function subscription(topic: string): Buffer {
  const name = Buffer.from(topic)
  const bytes = Buffer.alloc(2 + 4 + 2 + name.length + 4)
  bytes.writeInt32BE(1, 2)
  bytes.writeInt16BE(name.length, 6)
  name.copy(bytes, 8)
  bytes.writeInt32BE(-1, 8 + name.length)
  return bytes
}
