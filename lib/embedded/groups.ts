/** The group coordinator: finds the group a request means, and stores its offsets. */
import { byTopic } from '../kafka/byTopic.ts'
import type { ApiMap } from '../kafka/protocol/api.ts'
import { Code } from '../kafka/protocol/errors.ts'
import { failedJoin, Group, type GroupEnv, type MemberRef } from './group.ts'
import type { GroupOffsets } from './offsets.ts'

const MAX_METADATA_BYTES = 4096
const NOTHING = Buffer.alloc(0)

type CommitTopics = ApiMap['OffsetCommit']['request']['topics']

export interface GroupsOptions {
  minSessionMs: number
  maxSessionMs: number
}

export class Groups {
  readonly #byId = new Map<string, Group>()
  readonly #env: GroupEnv
  readonly #options: GroupsOptions
  readonly #exists: (topic: string, partition: number) => boolean

  constructor(env: GroupEnv, options: GroupsOptions, exists: (topic: string, partition: number) => boolean) {
    this.#env = env
    this.#options = options
    this.#exists = exists
  }

  join(request: ApiMap['JoinGroup']['request']) {
    const { groupId, memberId, sessionTimeoutMs } = request
    if (groupId === '') return failedJoin(Code.INVALID_GROUP_ID, memberId)
    if (sessionTimeoutMs < this.#options.minSessionMs || sessionTimeoutMs > this.#options.maxSessionMs) {
      return failedJoin(Code.INVALID_SESSION_TIMEOUT, memberId)
    }
    const group = memberId === '' ? this.#group(groupId) : this.#byId.get(groupId)
    return group ? group.join(request) : failedJoin(Code.UNKNOWN_MEMBER_ID, memberId)
  }

  sync(request: ApiMap['SyncGroup']['request']) {
    return this.#byId.get(request.groupId)?.sync(request) ?? { error: Code.UNKNOWN_MEMBER_ID, assignment: NOTHING }
  }

  heartbeat(request: ApiMap['Heartbeat']['request']): number {
    return this.#byId.get(request.groupId)?.heartbeat(request) ?? Code.UNKNOWN_MEMBER_ID
  }

  leave({ groupId, members }: ApiMap['LeaveGroup']['request']): ApiMap['LeaveGroup']['response'] {
    const group = this.#byId.get(groupId)
    return {
      error: Code.NONE,
      members: members.map((m) => ({ ...m, error: group?.leave(m.memberId, m.instanceId) ?? Code.UNKNOWN_MEMBER_ID }))
    }
  }

  commit(request: ApiMap['OffsetCommit']['request']): ApiMap['OffsetCommit']['response'] {
    const error = this.#mayCommit(request.groupId, request, false)
    return this.#write(request.topics, error, (topic, p) => {
      this.#group(request.groupId).offsets.commit(topic, p.partition, p.offset, p.metadata)
    })
  }

  /** Stores what counts only when the producer's transaction commits. `error`: what the transaction itself says. */
  stage(request: ApiMap['TxnOffsetCommit']['request'], error: number): ApiMap['TxnOffsetCommit']['response'] {
    const verdict = error !== Code.NONE ? error : this.#mayCommit(request.groupId, request, true)
    return this.#write(request.topics, verdict, (topic, p) => {
      this.#group(request.groupId).offsets.stage(request.producerId, topic, p.partition, p.offset, p.metadata)
    })
  }

  fetch({ groupId, topics, requireStable }: ApiMap['OffsetFetch']['request']): ApiMap['OffsetFetch']['response'] {
    const offsets = this.#byId.get(groupId)?.offsets
    const one = (topic: string, partition: number) => {
      const found = offsets?.get(topic, partition)
      const unstable = requireStable && offsets?.isPending(topic, partition)
      if (unstable) return { partition, error: Code.UNSTABLE_OFFSET_COMMIT, offset: -1, metadata: '' }
      return { partition, error: Code.NONE, offset: found?.offset ?? -1, metadata: found?.metadata ?? '' }
    }
    return {
      error: Code.NONE,
      topics: (topics ?? byTopic(offsets?.all() ?? [], ({ partition }) => partition)).map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map((p) => one(topic, p))
      }))
    }
  }

  describe(groupId: string): ApiMap['DescribeGroup']['response'] {
    return this.#byId.get(groupId)?.describe() ?? { error: Code.NONE, state: 'Dead', members: [] }
  }

  delete(groupId: string): number {
    const group = this.#byId.get(groupId)
    if (!group) return Code.GROUP_ID_NOT_FOUND
    if (group.state !== 'Empty') return Code.NON_EMPTY_GROUP
    this.#byId.delete(groupId)
    return Code.NONE
  }

  offsets(groupId: string): GroupOffsets | undefined {
    return this.#byId.get(groupId)?.offsets
  }

  forgetTopic(topic: string): void {
    for (const group of this.#byId.values()) group.offsets.forgetTopic(topic)
  }

  #group(groupId: string): Group {
    let group = this.#byId.get(groupId)
    if (group) return group
    group = new Group(this.#env)
    this.#byId.set(groupId, group)
    return group
  }

  #mayCommit(groupId: string, ref: MemberRef, transactional: boolean): number {
    if (groupId === '') return Code.INVALID_GROUP_ID
    const group = this.#byId.get(groupId)
    if (group) return group.mayCommit(ref, transactional)
    return ref.generation < 0 ? Code.NONE : Code.ILLEGAL_GENERATION
  }

  #write(
    topics: CommitTopics,
    error: number,
    store: (topic: string, p: CommitTopics[number]['partitions'][number]) => void
  ): ApiMap['OffsetCommit']['response'] {
    const one = (topic: string, p: CommitTopics[number]['partitions'][number]): number => {
      if (!this.#exists(topic, p.partition)) return Code.UNKNOWN_TOPIC_OR_PARTITION
      if (error !== Code.NONE) return error
      if (p.metadata !== null && Buffer.byteLength(p.metadata) > MAX_METADATA_BYTES)
        return Code.OFFSET_METADATA_TOO_LARGE
      store(topic, p)
      return Code.NONE
    }
    return {
      topics: topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map((p) => ({ partition: p.partition, error: one(topic, p) }))
      }))
    }
  }
}
