/** Answers Fetch: at once when there is enough, an error, or no time to wait; else parked until appends or the clock end it. */
import type { ApiMap } from '../kafka/protocol/api.ts'
import { Code } from '../kafka/protocol/errors.ts'
import type { PartitionLog } from './log.ts'
import type { Timers } from './timers.ts'

type Request = ApiMap['Fetch']['request']
type Response = ApiMap['Fetch']['response']
type PartitionAnswer = Response['topics'][number]['partitions'][number]

/** The partition's log when this node leads it, else the error code. */
export type Find = (topic: string, partition: number) => PartitionLog | number

const EMPTY = Buffer.alloc(0)

export function fetch(request: Request, find: Find, timers: Timers): Response | Promise<Response> {
  if (request.maxWaitMs <= 0 || ready(request, find)) return read(request, find)
  return new Promise((resolve) => {
    const logs: PartitionLog[] = []
    const finish = (): void => {
      timers.cancel(timer)
      for (const log of logs) log.waiting.delete(woken)
      resolve(read(request, find))
    }
    const woken = (): void => {
      if (ready(request, find)) finish()
    }
    const timer = timers.after(request.maxWaitMs, finish)
    for (const { topic, partitions } of request.topics) {
      for (const { partition } of partitions) {
        const log = find(topic, partition)
        if (typeof log === 'number') continue
        log.waiting.add(woken)
        logs.push(log)
      }
    }
  })
}

const endFor = (request: Request, log: PartitionLog): number =>
  request.isolation === 'committed' ? log.stableOffset : log.endOffset

const outOfRange = (log: PartitionLog, offset: number): boolean => offset < log.startOffset || offset > log.endOffset

function ready(request: Request, find: Find): boolean {
  if (request.topics.length === 0) return true
  let missing = request.minBytes
  for (const { topic, partitions } of request.topics) {
    for (const { partition, offset, maxBytes } of partitions) {
      const log = find(topic, partition)
      if (typeof log === 'number' || outOfRange(log, offset)) return true
      missing -= Math.min(maxBytes, log.readable(offset, endFor(request, log), missing))
      if (missing <= 0) return true
    }
  }
  return missing <= 0
}

function read(request: Request, find: Find): Response {
  let left = request.maxBytes
  let nothingYet = true
  const one = (topic: string, { partition, offset, maxBytes }: Request['topics'][number]['partitions'][number]) => {
    const log = find(topic, partition)
    if (typeof log === 'number') return failed(partition, log)
    if (outOfRange(log, offset)) return failed(partition, Code.OFFSET_OUT_OF_RANGE)
    const { records, next } = log.read(offset, endFor(request, log), Math.min(left, maxBytes), nothingYet)
    if (records.length > 0) nothingYet = false
    left = Math.max(0, left - records.length)
    return {
      partition,
      error: Code.NONE,
      highWatermark: log.endOffset,
      lastStableOffset: log.stableOffset,
      logStartOffset: log.startOffset,
      aborted:
        request.isolation === 'committed' && log.aborted.length > 0
          ? log.abortedIn(offset, next).map(({ producerId, firstOffset }) => ({ producerId, firstOffset }))
          : [],
      records
    }
  }
  const topics = request.topics.map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.map((p) => one(topic, p))
  }))
  return { error: Code.NONE, topics }
}

const failed = (partition: number, error: number): PartitionAnswer => ({
  partition,
  error,
  highWatermark: -1,
  lastStableOffset: -1,
  logStartOffset: -1,
  aborted: [],
  records: EMPTY
})
