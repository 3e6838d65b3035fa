/** Topics, their settings, and groups: each call resolves when its effect can be seen. */
import { TransportError } from '../errors.ts'
import { byTopic } from './byTopic.ts'
import type { Cluster } from './cluster.ts'
import { callCoordinator, firstError, mayRepeat } from './coordinatorCall.ts'
import { atLeaders } from './offsets.ts'
import type { Admin, Member, Offset, TopicSpec } from './port.ts'
import { Code, check, kafkaError } from './protocol/errors.ts'
import { decodeSubscription } from './protocol/subscription.ts'
import { retry } from './retry.ts'

const PATIENCE_MS = 30_000
/** For the broker's own work on one request. */
const REQUEST_MS = 15_000

export class ClusterAdmin implements Admin {
  readonly #cluster: Cluster

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  async partitions(topics: string[]): Promise<Map<string, number>> {
    const found = new Map<string, number>()
    if (topics.length === 0) return found
    for (const topic of topics) this.#cluster.invalidate(topic)
    await this.#cluster.refresh(topics)
    for (const topic of topics) {
      const count = await this.#cluster.partitionCount(topic)
      if (count > 0) found.set(topic, count)
    }
    return found
  }

  async topics(): Promise<string[]> {
    const answer = await this.#repeat('Listing topics', () => this.#control.call('any', 'Metadata', { topics: null }))
    return answer.topics.filter((t) => t.error === Code.NONE).map((t) => t.topic)
  }

  async create(specs: TopicSpec[]): Promise<void> {
    if (specs.length === 0) return
    const topics = specs.map((s) => ({ ...s, config: { ...s.config } }))
    await this.#repeat('Creating topics', async () => {
      const answer = await this.#control.call('controller', 'CreateTopics', { timeoutMs: REQUEST_MS, topics })
      for (const { topic, error, message } of answer.topics) {
        // A repeated request meets the topic of its first try.
        if (error !== Code.TOPIC_ALREADY_EXISTS) check(error, `Creating topic "${topic}"${because(message)}`, { topic })
      }
    })
    await Promise.all(specs.map((s) => this.#awaitLeaders(s.topic, 1)))
  }

  async describe(topic: string): Promise<Record<string, string>> {
    const answer = await this.#repeat(`Reading the settings of "${topic}"`, async () => {
      const a = await this.#control.call('any', 'DescribeConfigs', { topic })
      check(a.error, `Reading the settings of topic "${topic}"${because(a.message)}`, { topic })
      return a
    })
    const settings: Record<string, string> = {}
    for (const { name, value } of answer.entries) if (value !== null) settings[name] = value
    return settings
  }

  async alter(topic: string, settings: Record<string, string | null>): Promise<void> {
    const request = { topic, settings: Object.entries(settings).map(([name, value]) => ({ name, value })) }
    await this.#repeat(`Changing the settings of "${topic}"`, async () => {
      const { error, message } = await this.#control.call('controller', 'IncrementalAlterConfigs', request)
      check(error, `Changing the settings of topic "${topic}"${because(message)}`, { topic })
    })
    // The controller answers before the brokers know: a describe right after would show the old settings.
    await this.#repeat(`Changing the settings of "${topic}"`, async () => {
      const { entries } = await this.#control.call('any', 'DescribeConfigs', { topic })
      for (const { name, value } of request.settings) {
        const entry = entries.find((e) => e.name === name)
        const seen = value === null ? entry?.isDefault !== false : entry?.isDefault === false && entry.value === value
        if (!seen) throw new TransportError(`A broker still shows the old "${name}" of topic "${topic}".`, 'metadata')
      }
    })
  }

  async addPartitions(topic: string, total: number): Promise<void> {
    await this.#repeat(`Adding partitions to "${topic}"`, async (attempt) => {
      const request = { timeoutMs: REQUEST_MS, topic, total }
      const { error, message } = await this.#control.call('controller', 'CreatePartitions', request)
      // 37 INVALID_PARTITIONS: on a repeat, the first try may have done it.
      if (error === 37 && attempt > 1 && (await this.partitions([topic])).get(topic) === total) return
      check(error, `Adding partitions to topic "${topic}"${because(message)}`, { topic, total })
    })
    await this.#awaitLeaders(topic, total)
  }

  async deleteTopics(topics: string[]): Promise<void> {
    if (topics.length === 0) return
    await this.#repeat('Deleting topics', async () => {
      const answer = await this.#control.call('controller', 'DeleteTopics', { timeoutMs: REQUEST_MS, topics })
      for (const { topic, error } of answer.topics) {
        if (error !== Code.UNKNOWN_TOPIC_OR_PARTITION) check(error, `Deleting topic "${topic}"`, { topic })
      }
    })
    // The controller answers before the brokers know: a topic created again at once would meet its ghost.
    await this.#repeat('Deleting topics', async () => {
      const [ghost] = (await this.partitions(topics)).keys()
      if (ghost !== undefined)
        throw new TransportError(`Topic "${ghost}" is deleted, but a broker still lists it.`, 'metadata')
    })
  }

  async deleteRecords(before: Offset[]): Promise<void> {
    await atLeaders(this.#cluster, before, 'Deleting records', async (node, asked) => {
      const topics = byTopic(asked, ({ partition, offset }) => ({ partition, offset }))
      const answer = await this.#control.call(node, 'DeleteRecords', { timeoutMs: REQUEST_MS, topics })
      return answer.topics.flatMap(({ topic, partitions }) =>
        partitions.map(({ partition, error }) => ({ topic, partition, error }))
      )
    })
  }

  async members(groupId: string): Promise<Member[]> {
    const answer = await callCoordinator(this.#cluster, this.#control, {
      kind: 'group',
      key: groupId,
      api: 'DescribeGroup',
      request: { groupId },
      code: (a) => (a.error === Code.GROUP_ID_NOT_FOUND ? Code.NONE : a.error),
      what: `Describing group "${groupId}"`,
      timeoutMs: PATIENCE_MS
    })
    // Before the first join ends there is no metadata yet.
    return answer.members
      .filter((m) => m.metadata.length > 0)
      .map(({ memberId, instanceId, metadata }) => {
        const { topics, owned, generation, userData } = decodeSubscription(metadata)
        return {
          memberId,
          ...(instanceId === null ? {} : { instanceId }),
          topics,
          owned: [...owned],
          generation,
          userData
        }
      })
  }

  async resetOffsets(groupId: string, to: Offset[]): Promise<void> {
    if (to.length === 0) return
    const request = {
      groupId,
      generation: -1,
      memberId: '',
      instanceId: null,
      topics: byTopic(to, ({ partition, offset, metadata }) => ({ partition, offset, metadata: metadata ?? null }))
    }
    await callCoordinator(this.#cluster, this.#control, {
      kind: 'group',
      key: groupId,
      api: 'OffsetCommit',
      request,
      code: (a) => firstError(a.topics).code,
      what: `Resetting the offsets of group "${groupId}" (only a group without members can be reset: stop the job first)`,
      timeoutMs: PATIENCE_MS
    })
  }

  async deleteGroup(groupId: string): Promise<void> {
    await callCoordinator(this.#cluster, this.#control, {
      kind: 'group',
      key: groupId,
      api: 'DeleteGroup',
      request: { groupId },
      code: (a) => (a.error === Code.GROUP_ID_NOT_FOUND ? Code.NONE : a.error),
      what: `Deleting group "${groupId}"`,
      timeoutMs: PATIENCE_MS
    })
  }

  get #control() {
    return this.#cluster.wire.lane('control')
  }

  #repeat<T>(what: string, fn: (attempt: number) => Promise<T>): Promise<T> {
    return retry(this.#cluster, { what, baseMs: 20, timeoutMs: PATIENCE_MS, retriable: mayRepeat }, fn)
  }

  async #awaitLeaders(topic: string, atLeast: number): Promise<void> {
    this.#cluster.invalidate(topic)
    const count = await this.#repeat(`Waiting for topic "${topic}"`, async () => {
      this.#cluster.invalidate(topic)
      const n = await this.#cluster.partitionCount(topic)
      if (n < atLeast)
        throw kafkaError(Code.LEADER_NOT_AVAILABLE, `Waiting for the partitions of topic "${topic}"`, { topic })
      return n
    })
    for (let p = 0; p < count; p++) await this.#cluster.leader(topic, p)
  }
}

const because = (message: string | null): string => (message ? ` (${message})` : '')
