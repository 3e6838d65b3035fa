/** Where things are: leaders, partition counts, coordinators; cached, refreshed when told that they moved. */
import { TransportError } from '../errors.ts'
import type { Clock, Random } from '../time.ts'
import { Code, kafkaError } from './protocol/errors.ts'
import { retry } from './retry.ts'
import type { Wire } from './wire.ts'

interface TopicMetadata {
  error: number
  /** By partition; -1 = no leader at the moment. */
  leaders: number[]
}

/** How long a leader or coordinator is waited for, in ms: elections and the first use of an internal topic take seconds. */
const PATIENCE_MS = 30_000

export class Cluster {
  readonly wire: Wire
  readonly clock: Clock
  readonly random: Random
  #topics = new Map<string, TopicMetadata>()
  #coordinators = new Map<string, number>()
  #wanted = new Set<string>() // topics of the refresh that has not begun
  #next: Promise<void> | undefined // that refresh
  #running: Promise<unknown> = Promise.resolve()

  constructor(wire: Wire, env: { clock: Clock; random: Random }) {
    this.wire = wire
    this.clock = env.clock
    this.random = env.random
  }

  /** The last known leader; -1 when unknown or gone. */
  cachedLeader(topic: string, partition: number): number {
    return this.#topics.get(topic)?.leaders[partition] ?? -1
  }

  /** What the last metadata said against the topic; undefined when it is well, or was not asked for. */
  refusal(topic: string): TransportError | undefined {
    const found = this.#topics.get(topic)
    return found && found.error !== Code.NONE ? this.#topicError(topic, found.error) : undefined
  }

  /** @throws TransportError 'metadata' when there is none after bounded retries, 'fatal' when the topic may not be read. */
  async leader(topic: string, partition: number): Promise<number> {
    const known = this.cachedLeader(topic, partition)
    if (known >= 0) return known
    return retry(
      this,
      { what: `find the leader of ${topic}-${partition}`, baseMs: 20, timeoutMs: PATIENCE_MS },
      async () => {
        await this.refresh([topic])
        const found = this.#topics.get(topic)
        if (found && found.error !== Code.NONE) throw this.#topicError(topic, found.error)
        const node = found?.leaders[partition] ?? -1
        if (node >= 0) return node
        throw new TransportError(
          found && partition >= found.leaders.length
            ? `Topic "${topic}" has ${found.leaders.length} partitions, so partition ${partition} has no leader. Add partitions, or restart the job if the topic was created anew.`
            : `Partition ${topic}-${partition} has no leader: its brokers are down or an election is under way.`,
          'metadata',
          { details: { topic, partition } }
        )
      }
    )
  }

  /** 0 = no such topic. */
  async partitionCount(topic: string): Promise<number> {
    const cached = this.#topics.get(topic)
    if (cached?.error === Code.NONE) return cached.leaders.length
    return retry(this, { what: `read the partitions of ${topic}`, baseMs: 20, timeoutMs: PATIENCE_MS }, async () => {
      await this.refresh([topic])
      const found = this.#topics.get(topic)
      if (!found || found.error === Code.UNKNOWN_TOPIC_OR_PARTITION) return 0
      if (found.error !== Code.NONE) throw this.#topicError(topic, found.error)
      return found.leaders.length
    })
  }

  /** Asks again. Calls made meanwhile share one request. */
  refresh(topics: string[]): Promise<void> {
    for (const topic of topics) this.#wanted.add(topic)
    if (!this.#next) {
      this.#next = this.#running.then(() => this.#refreshWanted())
      this.#running = this.#next.catch(() => {})
    }
    return this.#next
  }

  async #refreshWanted(): Promise<void> {
    const topics = [...this.#wanted]
    this.#wanted.clear()
    this.#next = undefined
    const answer = await retry(
      this,
      { what: 'read metadata', baseMs: 20, timeoutMs: PATIENCE_MS, retriable: isPassing },
      () => this.wire.lane('control').call('any', 'Metadata', { topics })
    )
    for (const t of answer.topics) {
      const leaders: number[] = []
      for (const p of t.partitions) leaders[p.partition] = p.leader
      this.#topics.set(t.topic, { error: t.error, leaders })
    }
  }

  /** Forgets a topic: the next look-up asks the broker. */
  invalidate(topic: string): void {
    this.#topics.delete(topic)
  }

  async coordinator(type: 'group' | 'transaction', key: string): Promise<number> {
    const id = `${type}:${key}`
    const known = this.#coordinators.get(id)
    if (known !== undefined) return known
    return retry(
      this,
      { what: `find the ${type} coordinator of "${key}"`, baseMs: 20, timeoutMs: PATIENCE_MS, retriable: isPassing },
      async () => {
        const answer = await this.wire.lane('control').call('any', 'FindCoordinator', { key, type })
        if (answer.error !== Code.NONE) {
          throw kafkaError(answer.error, `Finding the ${type} coordinator of "${key}"`, { key, type })
        }
        this.#coordinators.set(id, answer.nodeId)
        return answer.nodeId
      }
    )
  }

  forgetCoordinator(type: 'group' | 'transaction', key: string): void {
    this.#coordinators.delete(`${type}:${key}`)
  }

  #topicError(topic: string, code: number): TransportError {
    return kafkaError(code, `Reading the metadata of topic "${topic}"`, { topic })
  }
}

/** Asking again costs nothing here, so a lost answer is no reason to give up; nobody answering at all is (it was waited for). */
const isPassing = (error: unknown): boolean =>
  error instanceof TransportError && (error.retriable || error.fault === 'unknown-outcome')
