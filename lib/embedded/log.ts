/** One partition: batches in order, its offsets, what was aborted, and who waits for more. */

import { Code } from '../kafka/protocol/errors.ts'
import { commits, marker, placed, readBatch, type StoredBatch } from './batch.ts'
import type { TopicConfig } from './config.ts'
import { PartitionProducers } from './producers.ts'
import { type Decompress, walk } from './records.ts'

/** A transaction that was aborted and wrote to this partition. The index keeps them in the order they ended, as Kafka's does. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  /** The offset of the marker. */
  readonly lastOffset: number
}

export interface Appended {
  readonly error: number
  readonly baseOffset: number
}

const EMPTY = Buffer.alloc(0)

export class PartitionLog {
  readonly config: TopicConfig
  readonly producers = new PartitionProducers()
  readonly decompress: Decompress
  /** Owned by the log and its cleaning; in order of offsets. */
  batches: StoredBatch[] = []
  aborted: AbortedTransaction[] = []
  startOffset = 0
  /** The high watermark too: there are no replicas. */
  endOffset = 0
  bytes = 0
  deleted = false
  /** Woken by each append and by the topic's end: parked fetches. */
  readonly waiting = new Set<() => void>()

  constructor(config: TopicConfig, decompress: Decompress) {
    this.config = config
    this.decompress = decompress
  }

  /** Everything below is decided: committed readers go no further. */
  get stableOffset(): number {
    return this.producers.firstOpen ?? this.endOffset
  }

  /**
   * Appends one produced batch.
   * @param verify asked for a batch that would open a transaction here: Code.NONE when the coordinator knows of it.
   */
  append(bytes: Buffer, now: number, verify: (batch: StoredBatch) => number): Appended {
    if (bytes.length > this.config.maxMessageBytes) return { error: Code.MESSAGE_TOO_LARGE, baseOffset: -1 }
    const batch = readBatch(bytes)
    if (!batch || batch.control || batch.count === 0 || batch.lastOffset - batch.baseOffset !== batch.count - 1) {
      return { error: Code.CORRUPT_MESSAGE, baseOffset: -1 }
    }
    let error = this.#timestampError(batch, now)
    if (error === Code.NONE && this.config.compact) error = this.#keyError(batch)
    if (error === Code.NONE && batch.producerId >= 0) {
      const before = this.producers.duplicateOf(batch)
      if (before !== undefined) return { error: Code.NONE, baseOffset: before }
      error = this.producers.check(batch)
      if (error === Code.NONE && batch.transactional && !this.producers.hasOpen(batch.producerId)) error = verify(batch)
    }
    if (error !== Code.NONE) return { error, baseOffset: -1 }
    const stored = placed(batch, this.endOffset, this.config.appendTime ? now : undefined)
    if (stored.producerId >= 0) this.producers.appended(stored)
    this.#push(stored)
    return { error: Code.NONE, baseOffset: stored.baseOffset }
  }

  /** Ends a producer's transaction here, whether it wrote or not. */
  end(producerId: number, epoch: number, commit: boolean, now: number): void {
    const batch = marker(this.endOffset, producerId, epoch, commit, now)
    const firstOffset = this.producers.ended(producerId, epoch)
    if (!commit && firstOffset !== undefined) {
      this.aborted.push({ producerId, firstOffset, lastOffset: batch.baseOffset })
    }
    this.#push(batch)
  }

  /**
   * Whole batches from the one that holds `offset`, as long as they begin below `end` and fit `maxBytes`; the first comes
   * whatever its size when `atLeastOne`.
   */
  read(offset: number, end: number, maxBytes: number, atLeastOne: boolean): { records: Buffer; next: number } {
    const first = this.#indexOf(offset)
    let size = 0
    let at = first
    for (; at < this.batches.length; at++) {
      const batch = this.batches[at]!
      if (batch.baseOffset >= end) break
      if (size + batch.bytes.length > maxBytes && !(atLeastOne && at === first)) break
      size += batch.bytes.length
    }
    const taken = at - first
    if (taken === 0) return { records: EMPTY, next: offset }
    const next = this.batches[at - 1]!.lastOffset + 1
    if (taken === 1) return { records: this.batches[first]!.bytes, next }
    const records = Buffer.allocUnsafe(size)
    let to = 0
    for (let i = first; i < at; i++) to += this.batches[i]!.bytes.copy(records, to)
    return { records, next }
  }

  /** Bytes a read of [offset, end) could give, counted no further than `enough`. */
  readable(offset: number, end: number, enough: number): number {
    let size = 0
    for (let i = this.#indexOf(offset); i < this.batches.length && size < enough; i++) {
      if (this.batches[i]!.baseOffset >= end) break
      size += this.batches[i]!.bytes.length
    }
    return size
  }

  /** The aborted transactions that touch [from, to), in the order they ended. */
  abortedIn(from: number, to: number): AbortedTransaction[] {
    return this.aborted.filter((t) => t.lastOffset >= from && t.firstOffset < to)
  }

  /** The first record at or after `timestamp` and below `end`. */
  atTime(timestamp: number, end: number): { offset: number; timestamp: number } | undefined {
    let found: { offset: number; timestamp: number } | undefined
    for (const batch of this.batches) {
      if (batch.baseOffset >= end) break
      if (batch.maxTimestamp < timestamp || batch.lastOffset < this.startOffset) continue
      walk(batch, this.decompress, (record) => {
        if (record.timestamp < timestamp || record.offset < this.startOffset) return false
        found = { offset: record.offset, timestamp: record.timestamp }
        return true
      })
      if (found) break
    }
    return found && found.offset < end ? found : undefined
  }

  /** Forgets everything below `offset`; batches go when their last record is below it. */
  deleteBefore(offset: number): number {
    if (offset > this.endOffset) return Code.OFFSET_OUT_OF_RANGE
    if (offset <= this.startOffset) return Code.NONE
    this.startOffset = offset
    const kept = this.#indexOf(offset)
    for (const batch of this.batches.splice(0, kept)) this.bytes -= batch.bytes.length
    this.aborted = this.aborted.filter((t) => t.lastOffset >= offset)
    return Code.NONE
  }

  wake(): void {
    for (const woken of [...this.waiting]) woken()
  }

  /** Index of the first batch whose last offset is at or after `offset`. */
  #indexOf(offset: number): number {
    let low = 0
    let high = this.batches.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.batches[middle]!.lastOffset < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  #push(batch: StoredBatch): void {
    this.batches.push(batch)
    this.bytes += batch.bytes.length
    this.endOffset = batch.lastOffset + 1
    if (this.waiting.size > 0) this.wake()
  }

  #timestampError(batch: StoredBatch, now: number): number {
    if (this.config.appendTime) return Code.NONE
    const { timestampBeforeMs: before, timestampAfterMs: after } = this.config
    return batch.maxTimestamp > now + after || batch.maxTimestamp < now - before ? Code.INVALID_TIMESTAMP : Code.NONE
  }

  #keyError(batch: StoredBatch): number {
    let keyless = false
    walk(batch, this.decompress, (record) => {
      keyless = record.key === null
      return keyless
    })
    return keyless ? Code.INVALID_RECORD : Code.NONE
  }
}

/** Whether the batch is the marker of an abort. */
export const isAbortMarker = (batch: StoredBatch): boolean => batch.control && commits(batch) === false
