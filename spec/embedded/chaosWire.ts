/** What goes wrong on the way to an embedded broker: drawn for each call from a seed. */
import type { FaultFn, WireCall, WireFault } from '../../lib/embedded/index.ts'
import type { ApiMap, TopicPartitions } from '../../lib/kafka/protocol/api.ts'
import type { ApiName } from '../../lib/kafka/wire.ts'
import type { Random } from '../../lib/time.ts'

/** What a broker in motion answers; the request has no effect then. */
const CODES: Partial<Record<ApiName, readonly number[]>> = {
  Metadata: [5],
  FindCoordinator: [15],
  Produce: [3, 6, 19, 51],
  Fetch: [3, 6, 74, 78],
  ListOffsets: [5, 6, 78],
  InitProducerId: [14, 15, 16, 51],
  AddPartitionsToTxn: [14, 15, 16, 51],
  AddOffsetsToTxn: [14, 15, 16, 51],
  TxnOffsetCommit: [3, 14, 15, 16],
  EndTxn: [14, 15, 16, 51],
  OffsetFetch: [14, 15, 16],
  JoinGroup: [14, 15, 16],
  SyncGroup: [14, 15, 16, 27],
  Heartbeat: [14, 15, 16]
}

/** A fault with probability `share`, until `calm`. A parked join or sync is not doubled: its first handling would never end. */
export function chaos(random: Random, share: number, calm: () => boolean): FaultFn {
  return (call) => {
    if (calm() || random() >= share) return undefined
    const draw = random()
    if (draw < 0.15) return { refuse: true }
    if (draw < 0.35) return { lose: 'request' }
    if (draw < 0.55) return { lose: 'answer' }
    if (draw < 0.7) return { delayMs: 1 + Math.floor(random() * (random() < 0.1 ? 8_000 : 200)) }
    if (draw < 0.8) return call.api === 'JoinGroup' || call.api === 'SyncGroup' ? undefined : { twice: true }
    return refusal(call, random)
  }
}

function refusal({ api, request }: WireCall, random: Random): WireFault | undefined {
  const codes = CODES[api]
  if (!codes) return undefined
  let error = codes[Math.floor(random() * codes.length)]!
  // Who has no transactions meets none.
  if (error === 51 && (request as { transactionalId: string | null }).transactionalId === null) error = 15
  return { answer: answerOf(api, request as never, error) }
}

function answerOf(api: ApiName, request: never, error: number): unknown {
  switch (api) {
    case 'Metadata':
      return unknownLeaders(request, error)
    case 'FindCoordinator':
      return { error, nodeId: -1 }
    case 'InitProducerId':
      return { error, producerId: -1, producerEpoch: -1 }
    case 'JoinGroup': {
      const { memberId } = request as ApiMap['JoinGroup']['request']
      return { error, generation: -1, protocolName: '', leader: '', memberId, members: [] }
    }
    case 'SyncGroup':
      return { error, assignment: Buffer.alloc(0) }
    case 'OffsetFetch':
      return { error, topics: [] }
    case 'Heartbeat':
    case 'AddOffsetsToTxn':
    case 'EndTxn':
      return { error }
    default:
      return partitionErrors(request, error)
  }
}

const unknownLeaders = ({ topics }: ApiMap['Metadata']['request'], error: number): ApiMap['Metadata']['response'] => ({
  brokers: [],
  controllerId: 1,
  topics: (topics ?? []).map((topic) => ({ topic, error, partitions: [] }))
})

/** Each partition asked about is refused. */
function partitionErrors(request: { topics: TopicPartitions<number | { partition: number }>[] }, error: number) {
  const fields = {
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    baseOffset: -1,
    offset: -1,
    timestamp: -1
  }
  return {
    error: 0,
    topics: request.topics.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map((p) => ({
        ...fields,
        partition: typeof p === 'number' ? p : p.partition,
        error,
        aborted: [],
        records: Buffer.alloc(0)
      }))
    }))
  }
}
