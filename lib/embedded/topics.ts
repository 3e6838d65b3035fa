/** Topics: names, settings, partitions, and which node leads which partition. */
import { Code } from '../kafka/protocol/errors.ts'
import { refusal, TopicConfig } from './config.ts'
import { PartitionLog } from './log.ts'
import type { Decompress } from './records.ts'

export interface Topic {
  readonly name: string
  readonly config: TopicConfig
  readonly partitions: PartitionLog[]
  /** Node that leads each partition. */
  readonly leaders: number[]
}

export interface Verdict {
  readonly error: number
  readonly message: string | null
}

const OK: Verdict = { error: Code.NONE, message: null }
const no = (error: number, message: string): Verdict => ({ error, message })

export class Topics {
  readonly #byName = new Map<string, Topic>()
  readonly #nodes: number
  readonly #defaultPartitions: number
  readonly #decompress: Decompress

  constructor(nodes: number, defaultPartitions: number, decompress: Decompress) {
    this.#nodes = nodes
    this.#defaultPartitions = defaultPartitions
    this.#decompress = decompress
  }

  get(name: string): Topic | undefined {
    return this.#byName.get(name)
  }

  log(name: string, partition: number): PartitionLog | undefined {
    return this.#byName.get(name)?.partitions[partition]
  }

  all(): Topic[] {
    return [...this.#byName.values()]
  }

  /** -1 partitions or replication = the broker's default. */
  create(name: string, partitions: number, replication: number, settings: Readonly<Record<string, string>>): Verdict {
    if (!/^[a-zA-Z0-9._-]{1,249}$/.test(name) || name === '.' || name === '..') {
      return no(Code.INVALID_TOPIC_EXCEPTION, `Topic name is invalid: "${name}"`)
    }
    if (this.#byName.has(name)) return no(Code.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`)
    if (partitions !== -1 && partitions < 1)
      return no(Code.INVALID_PARTITIONS, 'The number of partitions must be positive')
    if (replication !== -1 && (replication < 1 || replication > this.#nodes)) {
      return no(Code.INVALID_REPLICATION_FACTOR, `Replication factor ${replication} with ${this.#nodes} broker(s)`)
    }
    for (const [setting, value] of Object.entries(settings)) {
      const why = refusal(setting, value)
      if (why) return no(Code.INVALID_CONFIG, why)
    }
    const topic: Topic = { name, config: new TopicConfig(settings), partitions: [], leaders: [] }
    this.#byName.set(name, topic)
    this.#grow(topic, partitions === -1 ? this.#defaultPartitions : partitions)
    return OK
  }

  delete(name: string): number {
    const topic = this.#byName.get(name)
    if (!topic) return Code.UNKNOWN_TOPIC_OR_PARTITION
    this.#byName.delete(name)
    for (const log of topic.partitions) {
      log.deleted = true
      log.wake()
    }
    return Code.NONE
  }

  grow(name: string, total: number): Verdict {
    const topic = this.#byName.get(name)
    if (!topic) return no(Code.UNKNOWN_TOPIC_OR_PARTITION, `There is no topic ${name}`)
    const has = topic.partitions.length
    if (total <= has)
      return no(Code.INVALID_PARTITIONS, `Topic ${name} has ${has} partitions already, ${total} were asked for`)
    this.#grow(topic, total)
    return OK
  }

  alter(name: string, settings: readonly { name: string; value: string | null }[]): Verdict {
    const topic = this.#byName.get(name)
    if (!topic) return no(Code.UNKNOWN_TOPIC_OR_PARTITION, `There is no topic ${name}`)
    for (const setting of settings) {
      const why = setting.value === null ? undefined : refusal(setting.name, setting.value)
      if (why) return no(Code.INVALID_CONFIG, why)
    }
    for (const setting of settings) topic.config.change(setting.name, setting.value)
    return OK
  }

  #grow(topic: Topic, total: number): void {
    for (let p = topic.partitions.length; p < total; p++) {
      topic.partitions.push(new PartitionLog(topic.config, this.#decompress))
      topic.leaders.push(((spread(topic.name) + p) % this.#nodes) + 1)
    }
  }
}

/** A small even hash of a name: spreads leaders and coordinators over the nodes, the same in each run. */
export function spread(name: string): number {
  let hash = 0
  for (let i = 0; i < name.length; i++) hash = (hash * 31 + name.charCodeAt(i)) >>> 0
  return hash
}
