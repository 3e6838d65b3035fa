/** A member of a group for specs: assigns round robin, keeps what the hooks said in order, and lets a spec await it. */
import type { TransportError } from '../../lib/errors.ts'
import type { Cluster } from '../../lib/kafka/cluster.ts'
import { createGroup } from '../../lib/kafka/group.ts'
import type { Assignment, Group, GroupHandler, GroupMeta, GroupOptions, Member } from '../../lib/kafka/port.ts'
import type { Tp } from '../../lib/record.ts'
import { until } from '../../lib/testing/until.ts'

export interface Hooks {
  onRebalance?(): Promise<void>
  onRevoked?(tps: Tp[], meta: GroupMeta): Promise<void>
  onAssigned?(added: Tp[], all: Tp[], userData: Buffer, meta: GroupMeta): Promise<void>
  assign?(members: Member[], count: (topic: string) => number): Assignment[]
}

/** What a member keeps stays with it, the rest goes to whoever has least: sticky, so that hand-overs are small. */
export function sticky(members: Member[], count: (topic: string) => number): Assignment[] {
  const order = [...members].sort((a, b) => (a.instanceId ?? a.memberId).localeCompare(b.instanceId ?? b.memberId))
  const topics = [...new Set(members.flatMap((m) => m.topics))].sort()
  const all = topics.flatMap((topic) => Array.from({ length: count(topic) }, (_, partition) => ({ topic, partition })))
  const share = Math.ceil(all.length / members.length)
  const plan = order.map((m) => ({ memberId: m.memberId, partitions: [] as Tp[], userData: Buffer.from('plan') }))
  const free = all.filter((tp) => {
    const owner = order.findIndex((m) => m.owned.some((o) => o.topic === tp.topic && o.partition === tp.partition))
    if (owner < 0 || plan[owner]!.partitions.length >= share) return true
    plan[owner]!.partitions.push(tp)
    return false
  })
  for (const tp of free) plan.reduce((a, b) => (b.partitions.length < a.partitions.length ? b : a)).partitions.push(tp)
  return plan
}

export class TestMember implements GroupHandler {
  readonly name: string
  /** `rebalance`, `revoked 1,3`, `assigned +0 =0,2`, `lost 0`, `error fenced`: in the order they were called. */
  readonly log: string[] = []
  owned: number[] = []
  meta: GroupMeta | undefined
  error: TransportError | undefined
  data = ''
  seen: Member[] = []
  group!: Group
  readonly #hooks: Hooks

  constructor(name: string, hooks: Hooks = {}) {
    this.name = name
    this.#hooks = hooks
  }

  async join(cluster: Cluster, groupId: string, topics: string[], options: Partial<GroupOptions> = {}): Promise<this> {
    const base = { groupId, topics, sessionMs: 6_000, rebalanceMs: 10_000, heartbeatMs: 50 }
    this.group = await createGroup(cluster, { ...base, ...options }, this)
    return this
  }

  /** Resolves when it owns exactly these partitions and has its metadata. */
  async owns(...partitions: number[]): Promise<void> {
    await until(() => this.meta !== undefined && `${this.owned}` === `${partitions}`, {
      timeoutMs: 20_000,
      what: () => `${this.name} owns [${partitions}]; it owns [${this.owned}] after ${this.log.join(' | ')}`
    })
  }

  /** Resolves when the log has such a line. */
  async says(line: string | RegExp): Promise<void> {
    await until(() => this.log.some((l) => (typeof line === 'string' ? l === line : line.test(l))), {
      timeoutMs: 20_000,
      what: () => `${this.name} says "${line}"; it said ${this.log.join(' | ')}`
    })
  }

  userData(): Buffer {
    return Buffer.from(this.data)
  }

  assign(members: Member[], count: (topic: string) => number): Assignment[] {
    this.seen = members
    return (this.#hooks.assign ?? sticky)(members, count)
  }

  async onRebalance(): Promise<void> {
    this.log.push('rebalance')
    await this.#hooks.onRebalance?.()
  }

  async onRevoked(tps: Tp[], meta: GroupMeta): Promise<void> {
    this.log.push(`revoking ${numbers(tps)}`)
    await this.#hooks.onRevoked?.(tps, meta)
    const gone = new Set(numbers(tps))
    this.owned = this.owned.filter((p) => !gone.has(p))
    this.log.push(`revoked ${numbers(tps)}`)
  }

  async onAssigned(added: Tp[], all: Tp[], userData: Buffer, meta: GroupMeta): Promise<void> {
    await this.#hooks.onAssigned?.(added, all, userData, meta)
    this.owned = numbers(all)
    this.meta = meta
    this.log.push(`assigned +${numbers(added)} =${numbers(all)}`)
  }

  async onLost(tps: Tp[], cause: TransportError): Promise<void> {
    this.owned = []
    this.meta = undefined
    this.log.push(`lost ${numbers(tps)} (${cause.kafkaCode ?? cause.fault})`)
  }

  onError(error: TransportError): void {
    this.error = error
    this.log.push(`error ${error.fault}`)
  }
}

const numbers = (tps: readonly Tp[]): number[] => tps.map((tp) => tp.partition).sort((a, b) => a - b)
