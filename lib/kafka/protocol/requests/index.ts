/** The registry of request codecs: one version of each API, spoken by Kafka 2.5 up to 4.x. */
import type { ApiMap } from '../api.ts'
import type { RequestCodec } from '../codec.ts'
import * as admin from './admin.ts'
import { fetch, listOffsets } from './fetch.ts'
import { heartbeat, joinGroup, leaveGroup, syncGroup } from './group.ts'
import { findCoordinator, metadata } from './metadata.ts'
import { offsetCommit, offsetFetch } from './offsets.ts'
import { produce } from './produce.ts'
import * as transaction from './transaction.ts'

export const codecs: { readonly [A in keyof ApiMap]: RequestCodec<A> } = {
  Metadata: metadata,
  FindCoordinator: findCoordinator,
  Produce: produce,
  Fetch: fetch,
  ListOffsets: listOffsets,
  OffsetCommit: offsetCommit,
  OffsetFetch: offsetFetch,
  JoinGroup: joinGroup,
  SyncGroup: syncGroup,
  Heartbeat: heartbeat,
  LeaveGroup: leaveGroup,
  InitProducerId: transaction.initProducerId,
  AddPartitionsToTxn: transaction.addPartitionsToTxn,
  AddOffsetsToTxn: transaction.addOffsetsToTxn,
  TxnOffsetCommit: transaction.txnOffsetCommit,
  EndTxn: transaction.endTxn,
  CreateTopics: admin.createTopics,
  DeleteTopics: admin.deleteTopics,
  CreatePartitions: admin.createPartitions,
  DeleteRecords: admin.deleteRecords,
  DescribeConfigs: admin.describeConfigs,
  IncrementalAlterConfigs: admin.incrementalAlterConfigs,
  DescribeGroup: admin.describeGroup,
  DeleteGroup: admin.deleteGroup
}
