/** The leader's part in a rebalance: knows the partitions, lets the handler decide, holds back what is still owned. */
import type { Cluster } from './cluster.ts'
import { credible, withhold } from './cooperative.ts'
import type { GroupHandler, Member } from './port.ts'
import type { ApiMap } from './protocol/api.ts'
import { decodeSubscription, encodeAssignment } from './protocol/subscription.ts'

type Joined = ApiMap['JoinGroup']['response']

export class GroupLeader {
  readonly #cluster: Cluster
  readonly #handler: GroupHandler
  /** Partition counts of all members' topics when they were last assigned; empty when we do not lead. */
  #counts = new Map<string, number>()
  #timer: unknown

  constructor(cluster: Cluster, handler: GroupHandler) {
    this.#cluster = cluster
    this.#handler = handler
  }

  /** @throws what the handler's `assign` throws, or TransportError when metadata cannot be had */
  async assign(members: Joined['members']): Promise<ApiMap['SyncGroup']['request']['assignments']> {
    const claims: Member[] = members.map(({ memberId, instanceId, metadata }) => {
      const { topics, owned, generation, userData } = decodeSubscription(metadata)
      return { memberId, instanceId: instanceId ?? undefined, topics, owned: [...owned], generation, userData }
    })
    const found = (await this.#handler.discover?.()) ?? []
    this.#counts = await this.#read([...new Set([...claims.flatMap((member) => member.topics), ...found])])
    const counts = this.#counts
    const plan = await this.#handler.assign(credible(claims), (topic) => counts.get(topic) ?? 0)
    return withhold(claims, plan).map((a) => ({ memberId: a.memberId, assignment: encodeAssignment(a) }))
  }

  /** Looks every `everyMs` whether partitions were added, or topics made, until `stop`; then tells once. */
  watch(everyMs: number, changed: () => void): void {
    this.stop()
    if (this.#counts.size === 0 && !this.#handler.discover) return
    const { clock } = this.#cluster
    const timer = clock.setTimeout(async () => {
      // A broker that does not answer now is asked again at the next look.
      const now = await this.#look().catch(() => this.#counts)
      if (this.#timer !== timer) return
      for (const [topic, count] of now) if (this.#counts.get(topic) !== count) return changed()
      this.watch(everyMs, changed)
    }, everyMs)
    this.#timer = timer
  }

  stop(): void {
    this.#cluster.clock.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Somebody else leads now. */
  resign(): void {
    this.stop()
    this.#counts.clear()
  }

  async #look(): Promise<Map<string, number>> {
    const found = (await this.#handler.discover?.()) ?? []
    return this.#read([...new Set([...this.#counts.keys(), ...found])])
  }

  async #read(topics: string[]): Promise<Map<string, number>> {
    await this.#cluster.refresh(topics)
    const counts = new Map<string, number>()
    for (const topic of topics) counts.set(topic, await this.#cluster.partitionCount(topic))
    return counts
  }
}
