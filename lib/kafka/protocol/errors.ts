/** The broker's error codes: name, and the fault that says what to do. Codes are compared, never names: clients spell those differently. */
import { type Fault, TransportError } from '../../errors.ts'

/** Codes that client code mentions by name. */
export const Code = {
  NONE: 0,
  OFFSET_OUT_OF_RANGE: 1,
  CORRUPT_MESSAGE: 2,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  LEADER_NOT_AVAILABLE: 5,
  NOT_LEADER_OR_FOLLOWER: 6,
  REQUEST_TIMED_OUT: 7,
  MESSAGE_TOO_LARGE: 10,
  OFFSET_METADATA_TOO_LARGE: 12,
  COORDINATOR_LOAD_IN_PROGRESS: 14,
  COORDINATOR_NOT_AVAILABLE: 15,
  NOT_COORDINATOR: 16,
  INVALID_TOPIC_EXCEPTION: 17,
  NOT_ENOUGH_REPLICAS: 19,
  ILLEGAL_GENERATION: 22,
  INCONSISTENT_GROUP_PROTOCOL: 23,
  INVALID_GROUP_ID: 24,
  UNKNOWN_MEMBER_ID: 25,
  INVALID_SESSION_TIMEOUT: 26,
  REBALANCE_IN_PROGRESS: 27,
  INVALID_TIMESTAMP: 32,
  TOPIC_ALREADY_EXISTS: 36,
  INVALID_PARTITIONS: 37,
  INVALID_REPLICATION_FACTOR: 38,
  INVALID_CONFIG: 40,
  INVALID_REQUEST: 42,
  POLICY_VIOLATION: 44,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  DUPLICATE_SEQUENCE_NUMBER: 46,
  INVALID_PRODUCER_EPOCH: 47,
  INVALID_TXN_STATE: 48,
  INVALID_PRODUCER_ID_MAPPING: 49,
  INVALID_TRANSACTION_TIMEOUT: 50,
  CONCURRENT_TRANSACTIONS: 51,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 53,
  OPERATION_NOT_ATTEMPTED: 55,
  UNKNOWN_PRODUCER_ID: 59,
  NON_EMPTY_GROUP: 68,
  GROUP_ID_NOT_FOUND: 69,
  MEMBER_ID_REQUIRED: 79,
  FENCED_INSTANCE_ID: 82,
  INVALID_RECORD: 87,
  UNSTABLE_OFFSET_COMMIT: 88,
  PRODUCER_FENCED: 90,
  TRANSACTION_ABORTABLE: 120
} as const

const TABLE = new Map<number, readonly [name: string, fault: Fault]>()

function codes(fault: Fault, names: Record<number, string>): void {
  for (const [code, name] of Object.entries(names)) TABLE.set(Number(code), [name, fault])
}

codes('fenced', { 47: 'INVALID_PRODUCER_EPOCH', 82: 'FENCED_INSTANCE_ID', 90: 'PRODUCER_FENCED' })
codes('stale-member', { 22: 'ILLEGAL_GENERATION', 25: 'UNKNOWN_MEMBER_ID' })
codes('rebalancing', { 27: 'REBALANCE_IN_PROGRESS', 79: 'MEMBER_ID_REQUIRED' })
codes('unstable', { 51: 'CONCURRENT_TRANSACTIONS', 88: 'UNSTABLE_OFFSET_COMMIT' })
codes('coordinator', { 14: 'COORDINATOR_LOAD_IN_PROGRESS', 15: 'COORDINATOR_NOT_AVAILABLE', 16: 'NOT_COORDINATOR' })
codes('metadata', {
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_OR_FOLLOWER',
  56: 'KAFKA_STORAGE_ERROR',
  74: 'FENCED_LEADER_EPOCH',
  75: 'UNKNOWN_LEADER_EPOCH',
  78: 'OFFSET_NOT_AVAILABLE',
  100: 'UNKNOWN_TOPIC_ID'
})
codes('out-of-range', { 1: 'OFFSET_OUT_OF_RANGE' })
codes('retriable', {
  2: 'CORRUPT_MESSAGE',
  7: 'REQUEST_TIMED_OUT',
  13: 'NETWORK_EXCEPTION',
  19: 'NOT_ENOUGH_REPLICAS',
  20: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  41: 'NOT_CONTROLLER',
  89: 'THROTTLING_QUOTA_EXCEEDED'
})
codes('unknown-outcome', {
  45: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  46: 'DUPLICATE_SEQUENCE_NUMBER',
  49: 'INVALID_PRODUCER_ID_MAPPING',
  59: 'UNKNOWN_PRODUCER_ID'
})
codes('too-large', { 10: 'MESSAGE_TOO_LARGE', 12: 'OFFSET_METADATA_TOO_LARGE', 18: 'RECORD_LIST_TOO_LARGE' })
codes('fatal', {
  [-1]: 'UNKNOWN_SERVER_ERROR',
  17: 'INVALID_TOPIC_EXCEPTION',
  21: 'INVALID_REQUIRED_ACKS',
  23: 'INCONSISTENT_GROUP_PROTOCOL',
  24: 'INVALID_GROUP_ID',
  26: 'INVALID_SESSION_TIMEOUT',
  28: 'INVALID_COMMIT_OFFSET_SIZE',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  30: 'GROUP_AUTHORIZATION_FAILED',
  31: 'CLUSTER_AUTHORIZATION_FAILED',
  32: 'INVALID_TIMESTAMP',
  35: 'UNSUPPORTED_VERSION',
  36: 'TOPIC_ALREADY_EXISTS',
  37: 'INVALID_PARTITIONS',
  38: 'INVALID_REPLICATION_FACTOR',
  39: 'INVALID_REPLICA_ASSIGNMENT',
  40: 'INVALID_CONFIG',
  42: 'INVALID_REQUEST',
  43: 'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  44: 'POLICY_VIOLATION',
  48: 'INVALID_TXN_STATE',
  50: 'INVALID_TRANSACTION_TIMEOUT',
  53: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  55: 'OPERATION_NOT_ATTEMPTED',
  68: 'NON_EMPTY_GROUP',
  69: 'GROUP_ID_NOT_FOUND',
  73: 'TOPIC_DELETION_DISABLED',
  76: 'UNSUPPORTED_COMPRESSION_TYPE',
  81: 'GROUP_MAX_SIZE_REACHED',
  87: 'INVALID_RECORD',
  120: 'TRANSACTION_ABORTABLE'
})

/** How to mend, where the fault alone does not say it well enough. */
const MEND: Record<number, string> = {
  3: 'Create the topic, or mend its name or partition.',
  10: "Lower the producer's batchBytes below the topic's max.message.bytes, or raise that setting.",
  12: "Shorten the metadata stored with the offset, or raise the broker's offset.metadata.max.bytes.",
  18: "Lower the producer's batchBytes below the topic's segment.bytes, or raise that setting.",
  23: 'All members of a group must use the same protocol: give this program its own group id.',
  26: "Choose a session between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms.",
  29: 'Grant this principal the rights on the topic.',
  30: 'Grant this principal the rights on the group.',
  31: 'Grant this principal the rights on the cluster.',
  32: "Event times lie further from the broker's clock than the topic allows: set its message.timestamp.after.max.ms or message.timestamp.before.max.ms to 9223372036854775807.",
  35: 'The broker is too old or too new for this request.',
  38: 'There are fewer brokers than replicas asked for.',
  47: 'A newer producer with the same transactional id is at work, or the transaction timed out: release the task, or open it again.',
  50: "Choose a transaction timeout below the broker's transaction.max.timeout.ms.",
  53: 'Grant this principal the rights on the transactional id.',
  68: 'Stop all members of the group first.',
  81: "Raise the broker's group.max.size, or run fewer members.",
  82: 'Another process uses the same instance id: give each process its own.',
  87: 'The broker refused the record; a compacted topic takes no record without a key.',
  90: 'A newer producer with the same transactional id is at work: release the task.'
}

const FAULT_MEND: Record<Fault, string> = {
  fenced: 'Somebody newer holds this identity: release what it guarded.',
  'stale-member': 'Use the metadata of the newest assignment, or release the task.',
  rebalancing: 'Hold commits until the next assignment.',
  unstable: 'A transaction is being settled: try again.',
  coordinator: 'The coordinator moves: try again.',
  metadata: 'The partition has no known leader at the moment: try again, and see that all brokers are up.',
  'out-of-range': 'The offset is not in the log (any more): start at the beginning or the end.',
  retriable: 'Try again.',
  'unknown-outcome': 'Whether it took effect is unknown: read the log again before going on.',
  'too-large': "Make it smaller, or raise the broker's limit.",
  fatal: 'Repeating does not help.'
}

/** @example errorName(47) // 'INVALID_PRODUCER_EPOCH' */
export const errorName = (code: number): string => TABLE.get(code)?.[0] ?? `UNKNOWN_CODE_${code}`

/** What a code asks for; a code nobody knows is 'fatal'. */
export const faultOf = (code: number): Fault => TABLE.get(code)?.[1] ?? 'fatal'

/**
 * The error for a code in a broker's answer.
 * @param what what was tried, as the start of a sentence: `Producing to orders-3`
 * @param fault where the place knows better than the table
 */
export function kafkaError(
  code: number,
  what: string,
  details: Record<string, unknown> = {},
  fault: Fault = faultOf(code)
): TransportError {
  const mend = MEND[code] ?? FAULT_MEND[fault]
  return new TransportError(`${what}: the broker answered ${errorName(code)} (${code}). ${mend}`, fault, {
    kafkaCode: code,
    details
  })
}

/** @throws TransportError when the code is not 0. */
export function check(code: number, what: string, details?: Record<string, unknown>): void {
  if (code !== 0) throw kafkaError(code, what, details)
}
