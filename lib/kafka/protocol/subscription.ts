/** What members and the leader of a group tell each other, in the bytes every consumer client understands. */
import type { Tp } from '../../record.ts'
import { ByteReader, ByteWriter } from './bytes.ts'

export interface Subscription {
  readonly topics: string[]
  readonly userData: Buffer
  readonly owned: readonly Tp[]
  /** Generation in which `owned` was true; -1 = none, or the member did not say. */
  readonly generation: number
}

export interface MemberAssignment {
  readonly partitions: readonly Tp[]
  readonly userData: Buffer
}

/** Version 2 carries owned partitions and their generation (KIP-429, KIP-792). Every version begins like version 0. */
const SUBSCRIPTION = 2
const ASSIGNMENT = 0

export function encodeSubscription({ topics, userData, owned, generation }: Subscription): Buffer {
  const out = new ByteWriter().int16(SUBSCRIPTION)
  out.array(topics, (topic) => out.string(topic)).bytes(userData)
  putTps(out, owned)
  return out.int32(generation).done()
}

/** Reads any version, also of other clients: what a version lacks is left empty. @throws TransportError for garbage */
export function decodeSubscription(bytes: Buffer): Subscription {
  const reader = new ByteReader(bytes)
  const version = reader.int16()
  const topics = reader.array(() => reader.string())
  const userData = Buffer.from(reader.bytes())
  // Some clients write a version and not its fields: what is not there is not read.
  const owned = version >= 1 && reader.left > 0 ? takeTps(reader) : []
  const generation = version >= 2 && reader.left > 0 ? reader.int32() : -1
  return { topics, userData, owned, generation }
}

export function encodeAssignment({ partitions, userData }: MemberAssignment): Buffer {
  const out = new ByteWriter().int16(ASSIGNMENT)
  putTps(out, partitions)
  return out.bytes(userData).done()
}

/** No bytes at all = nothing assigned (a member the leader does not know). @throws TransportError for garbage */
export function decodeAssignment(bytes: Buffer): MemberAssignment {
  if (bytes.length === 0) return { partitions: [], userData: Buffer.alloc(0) }
  const reader = new ByteReader(bytes)
  reader.int16()
  return { partitions: takeTps(reader), userData: Buffer.from(reader.bytes()) }
}

function putTps(out: ByteWriter, tps: readonly Tp[]): void {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of tps) {
    const partitions = topics.get(topic)
    if (partitions) partitions.push(partition)
    else topics.set(topic, [partition])
  }
  out.array([...topics], ([topic, partitions]) => {
    out.string(topic).array(partitions, (partition) => out.int32(partition))
  })
}

function takeTps(reader: ByteReader): Tp[] {
  return reader
    .array(() => {
      const topic = reader.string()
      return reader.array(() => ({ topic, partition: reader.int32() }))
    })
    .flat()
}
