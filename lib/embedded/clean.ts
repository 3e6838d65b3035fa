/** What a broker does in the background: deletes by age and size, and compacts, keeping every offset where it was. */
import { reduced, type StoredBatch, withDeleteHorizon } from './batch.ts'
import { isAbortMarker, type PartitionLog } from './log.ts'
import { walk } from './records.ts'

export function cleanLog(log: PartitionLog, now: number): void {
  if (log.config.delete) expire(log, now)
  if (log.config.compact) compact(log, now)
}

/**
 * Retention looks at event time: the batch's largest timestamp. It goes from the oldest batch to the first that may stay.
 * (Kafka does the same by whole segments, so it keeps some longer.)
 */
function expire(log: PartitionLog, now: number): void {
  const { retentionMs, retentionBytes } = log.config
  let bytes = log.bytes
  let before = log.startOffset
  for (const batch of log.batches) {
    const old = retentionMs >= 0 && batch.maxTimestamp >= 0 && batch.maxTimestamp < now - retentionMs
    const over = retentionBytes >= 0 && bytes - batch.bytes.length >= retentionBytes
    if (!old && !over) break
    bytes -= batch.bytes.length
    before = batch.lastOffset + 1
  }
  log.deleteBefore(before)
}

/**
 * Keeps the last record of each key. Never touched: the last batch (Kafka's active segment: the log must end where it ended),
 * what is younger than min.compaction.lag.ms, and everything from the first open transaction on.
 */
function compact(log: PartitionLog, now: number): void {
  const cleanable = cleanableCount(log, now)
  if (cleanable === 0) return
  const dead = abortedBatches(log)
  const last = lastOffsets(log, cleanable, dead)
  const kept: StoredBatch[] = []
  for (let i = 0; i < cleanable; i++) {
    const batch = log.batches[i]!
    const left = batch.control ? cleanMarker(log, batch, now) : cleanData(log, batch, dead.has(batch), last, now)
    if (left) kept.push(left)
  }
  log.batches.splice(0, cleanable, ...kept)
  log.bytes = log.batches.reduce((sum, b) => sum + b.bytes.length, 0)
  // An aborted transaction without data left needs no entry in the index.
  const first = log.batches[0]?.baseOffset ?? log.endOffset
  log.aborted = log.aborted.filter((t) => t.lastOffset >= first)
}

function cleanableCount(log: PartitionLog, now: number): number {
  const end = Math.min(log.stableOffset, log.batches.at(-1)?.baseOffset ?? 0)
  let count = 0
  const lag = log.config.compactionLagMs
  for (const batch of log.batches) {
    if (batch.baseOffset >= end || (lag > 0 && batch.maxTimestamp > now - lag)) break
    count++
  }
  return count
}

function abortedBatches(log: PartitionLog): Set<StoredBatch> {
  const dead = new Set<StoredBatch>()
  if (log.aborted.length === 0) return dead
  const entries = [...log.aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  const live = new Set<number>()
  let next = 0
  for (const batch of log.batches) {
    while (next < entries.length && entries[next]!.firstOffset <= batch.lastOffset)
      live.add(entries[next++]!.producerId)
    if (isAbortMarker(batch)) live.delete(batch.producerId)
    else if (!batch.control && batch.transactional && live.has(batch.producerId)) dead.add(batch)
  }
  return dead
}

function lastOffsets(log: PartitionLog, cleanable: number, dead: Set<StoredBatch>): Map<string, number> {
  const last = new Map<string, number>()
  for (let i = 0; i < cleanable; i++) {
    const batch = log.batches[i]!
    if (batch.control || dead.has(batch)) continue
    walk(batch, log.decompress, (record) => {
      if (record.key) last.set(record.key.toString('latin1'), record.offset)
    })
  }
  return last
}

/** A marker outlives the data of its transaction by delete.retention.ms. */
function cleanMarker(log: PartitionLog, batch: StoredBatch, now: number): StoredBatch | undefined {
  const horizon = batch.deleteHorizon ?? now + log.config.deleteRetentionMs
  if (batch.deleteHorizon === undefined) return withDeleteHorizon(batch, horizon)
  if (now < horizon) return batch
  return log.producers.isLast(batch) ? emptied(batch, horizon) : undefined
}

function cleanData(
  log: PartitionLog,
  batch: StoredBatch,
  dead: boolean,
  last: Map<string, number>,
  now: number
): StoredBatch | undefined {
  const horizon = batch.deleteHorizon ?? now + log.config.deleteRetentionMs
  const records: Buffer[] = []
  let maxTimestamp = -1
  let tombstones = false
  if (!dead) {
    walk(batch, log.decompress, (record) => {
      if (!record.key || last.get(record.key.toString('latin1')) !== record.offset) return
      if (record.tombstone && batch.deleteHorizon !== undefined && now >= horizon) return
      tombstones ||= record.tombstone
      maxTimestamp = Math.max(maxTimestamp, record.timestamp)
      records.push(record.raw)
    })
  }
  const nextHorizon = tombstones ? horizon : undefined
  if (records.length === batch.count) {
    return nextHorizon === batch.deleteHorizon ? batch : { ...batch, deleteHorizon: nextHorizon }
  }
  if (records.length > 0) return reduced(batch, records, maxTimestamp, nextHorizon)
  // The producer may repeat its last batch: its sequence stays known, as an empty batch.
  return log.producers.isLast(batch) ? emptied(batch, undefined) : undefined
}

const emptied = (batch: StoredBatch, horizon: number | undefined): StoredBatch =>
  batch.count === 0 ? batch : reduced(batch, [], -1, horizon)
