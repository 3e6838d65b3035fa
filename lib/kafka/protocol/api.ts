/**
 * The requests and answers Millrace speaks, as plain objects. Field names follow Kafka's message definitions
 * (apache/kafka clients/src/main/resources/common/message); only fields of the versions we use are here.
 */

export interface TopicPartitions<P> {
  topic: string
  partitions: P[]
}
export interface ErrorCode {
  /** 0 = none. */
  error: number
}
interface PartitionError extends ErrorCode {
  partition: number
}
interface Txn {
  transactionalId: string
  producerId: number
  producerEpoch: number
}
interface MemberRef {
  groupId: string
  generation: number
  memberId: string
  instanceId: string | null
}
interface CommitOffset {
  partition: number
  offset: number
  metadata: string | null
}

export interface ApiMap {
  Metadata: {
    /** null = all topics. */
    request: { topics: string[] | null }
    response: {
      brokers: { nodeId: number; host: string; port: number }[]
      controllerId: number
      topics: (ErrorCode & {
        topic: string
        partitions: (PartitionError & { leader: number; replicas: number[]; isr: number[] })[]
      })[]
    }
  }
  FindCoordinator: {
    request: { key: string; type: 'group' | 'transaction' }
    response: ErrorCode & { nodeId: number }
  }
  Produce: {
    /** acks = all replicas. One record batch (wire form) a partition. The buffers are used again after the answer: who keeps one copies it. */
    request: {
      transactionalId: string | null
      timeoutMs: number
      topics: TopicPartitions<{ partition: number; records: Buffer }>[]
    }
    response: { topics: TopicPartitions<PartitionError & { baseOffset: number; logStartOffset: number }>[] }
  }
  Fetch: {
    request: {
      maxWaitMs: number
      minBytes: number
      maxBytes: number
      isolation: 'committed' | 'uncommitted'
      topics: TopicPartitions<{ partition: number; offset: number; maxBytes: number }>[]
    }
    response: ErrorCode & {
      topics: TopicPartitions<
        PartitionError & {
          highWatermark: number
          lastStableOffset: number
          logStartOffset: number
          aborted: { producerId: number; firstOffset: number }[]
          /** Record batches, the last may be cut off. A view into the answer. */
          records: Buffer
        }
      >[]
    }
  }
  ListOffsets: {
    /** timestamp -1 = end (lso or hw by isolation), -2 = start. */
    request: {
      isolation: 'committed' | 'uncommitted'
      topics: TopicPartitions<{ partition: number; timestamp: number }>[]
    }
    response: { topics: TopicPartitions<PartitionError & { timestamp: number; offset: number }>[] }
  }
  OffsetCommit: {
    request: MemberRef & { topics: TopicPartitions<CommitOffset>[] }
    response: { topics: TopicPartitions<PartitionError>[] }
  }
  OffsetFetch: {
    /** topics null = all of the group. */
    request: { groupId: string; topics: TopicPartitions<number>[] | null; requireStable: boolean }
    response: ErrorCode & { topics: TopicPartitions<PartitionError & { offset: number; metadata: string | null }>[] }
  }
  JoinGroup: {
    request: {
      groupId: string
      sessionTimeoutMs: number
      rebalanceTimeoutMs: number
      memberId: string
      instanceId: string | null
      protocolType: string
      protocols: { name: string; metadata: Buffer }[]
    }
    response: ErrorCode & {
      generation: number
      protocolName: string
      leader: string
      memberId: string
      /** Only for the leader. */
      members: { memberId: string; instanceId: string | null; metadata: Buffer }[]
    }
  }
  SyncGroup: {
    request: MemberRef & { assignments: { memberId: string; assignment: Buffer }[] }
    response: ErrorCode & { assignment: Buffer }
  }
  Heartbeat: { request: MemberRef; response: ErrorCode }
  LeaveGroup: {
    request: { groupId: string; members: { memberId: string; instanceId: string | null }[] }
    response: ErrorCode & { members: (ErrorCode & { memberId: string; instanceId: string | null })[] }
  }
  InitProducerId: {
    request: { transactionalId: string | null; timeoutMs: number }
    response: ErrorCode & { producerId: number; producerEpoch: number }
  }
  AddPartitionsToTxn: {
    request: Txn & { topics: TopicPartitions<number>[] }
    response: { topics: TopicPartitions<PartitionError>[] }
  }
  AddOffsetsToTxn: { request: Txn & { groupId: string }; response: ErrorCode }
  TxnOffsetCommit: {
    request: Txn & MemberRef & { topics: TopicPartitions<CommitOffset>[] }
    response: { topics: TopicPartitions<PartitionError>[] }
  }
  EndTxn: { request: Txn & { commit: boolean }; response: ErrorCode }
  CreateTopics: {
    request: {
      timeoutMs: number
      topics: { topic: string; partitions: number; replication: number; config: Record<string, string> }[]
    }
    response: { topics: (ErrorCode & { topic: string; message: string | null })[] }
  }
  DeleteTopics: {
    request: { timeoutMs: number; topics: string[] }
    response: { topics: (ErrorCode & { topic: string })[] }
  }
  CreatePartitions: {
    request: { timeoutMs: number; topic: string; total: number }
    response: ErrorCode & { message: string | null }
  }
  DeleteRecords: {
    request: { timeoutMs: number; topics: TopicPartitions<{ partition: number; offset: number }>[] }
    response: { topics: TopicPartitions<PartitionError & { lowWatermark: number }>[] }
  }
  DescribeConfigs: {
    request: { topic: string }
    response: ErrorCode & {
      message: string | null
      entries: { name: string; value: string | null; isDefault: boolean }[]
    }
  }
  IncrementalAlterConfigs: {
    /** value null deletes the setting. */
    request: { topic: string; settings: { name: string; value: string | null }[] }
    response: ErrorCode & { message: string | null }
  }
  DescribeGroup: {
    request: { groupId: string }
    response: ErrorCode & {
      state: string
      members: { memberId: string; instanceId: string | null; metadata: Buffer; assignment: Buffer }[]
    }
  }
  DeleteGroup: { request: { groupId: string }; response: ErrorCode }
}
