/** Records on their way through the driver: as bytes between topics, as rows of a set for operators, decoded for who reads them. */
import { partitionFor } from '../kafka/partitioner.ts'
import { type Headers, RecordSet, StreamRecord } from '../record.ts'
import { bytes } from '../serde/index.ts'
import type { SinkNode, SourceNode } from '../topology/node.ts'

/** A record as it stands on a topic, decoded. */
export interface Received<K = unknown, V = unknown> {
  readonly topic: string
  readonly key: K | null
  readonly value: V | null
  readonly timestamp: number
  readonly headers: Headers
}

export interface Raw {
  readonly topic: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestamp: number
  readonly headers: Headers
  readonly sink: SinkNode
  /** Of a topic that the topology reads; else 0. */
  readonly partition: number
}

export function partitionBy(
  sink: SinkNode,
  record: StreamRecord<unknown, unknown>,
  key: Buffer | null,
  count: number
): number {
  if (sink.partitioner) return sink.partitioner(record, count)
  return key === null ? 0 : partitionFor(key, 0, key.length, count)
}

/** One row that lies within a larger buffer, as in a fetch response. */
export function toSet({ key, value, timestamp }: Omit<Raw, 'sink'>, offset: number): RecordSet {
  const set = new RecordSet(Buffer.concat([Buffer.from('  '), key ?? Buffer.alloc(0), value ?? Buffer.alloc(0)]), 1)
  const keyLength = key?.length ?? 0
  set.offsets[0] = offset
  set.timestamps[0] = timestamp
  set.keyStart[0] = 2
  set.keyEnd[0] = key === null ? -1 : 2 + keyLength
  set.valueStart[0] = 2 + keyLength
  set.valueEnd[0] = value === null ? -1 : 2 + keyLength + value.length
  set.headersAt[0] = -1
  set.count = 1
  return set
}

export function lazy(
  set: RecordSet,
  raw: Omit<Raw, 'sink'>,
  node: SourceNode,
  timestamp: number
): StreamRecord<unknown, unknown> {
  const record = StreamRecord.lazy<unknown, unknown>(set, 0, node.key, node.value, timestamp)
  record._headers = raw.headers
  return record
}

export function decoded({ topic, key, value, timestamp, headers, sink }: Raw): Received {
  return {
    topic,
    key: key === null ? null : sink.key.decode(key, 0, key.length),
    value: value === null ? null : sink.value.decode(value, 0, value.length),
    timestamp,
    headers
  }
}

/** Where records go that no operator takes: they are read as bytes. */
export const deadLetters = (topic: string): SinkNode => ({
  kind: 'sink',
  name: 'dead letter',
  parents: [],
  topic,
  key: bytes(),
  value: bytes()
})
