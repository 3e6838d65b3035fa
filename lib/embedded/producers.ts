/** What one partition remembers of its producers: epochs, the last batches for duplicates, and open transactions. */

import { Code } from '../kafka/protocol/errors.ts'
import { lastSequence, type StoredBatch } from './batch.ts'

/** As many batches as an idempotent producer may have in flight. */
const REMEMBERED = 5

interface Written {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly baseOffset: number
  readonly lastOffset: number
}

interface Producer {
  epoch: number
  /** Of the current epoch, oldest first; at most REMEMBERED. */
  written: Written[]
}

export class PartitionProducers {
  #byId = new Map<number, Producer>()
  // Producer id → first offset of its open transaction. A transaction enters when its first batch is appended, so the
  // insertion order is the order of offsets, and the first entry is the lowest.
  #open = new Map<number, number>()

  /** The base offset of the same batch when it was appended before. */
  duplicateOf(batch: StoredBatch): number | undefined {
    const producer = this.#byId.get(batch.producerId)
    if (!producer || producer.epoch !== batch.producerEpoch) return undefined
    const last = lastSequence(batch)
    for (const w of producer.written) {
      if (w.firstSequence === batch.baseSequence && w.lastSequence === last) return w.baseOffset
    }
    return undefined
  }

  /** Code.NONE when the batch may be appended. */
  check(batch: StoredBatch): number {
    if (!batch.transactional && this.#open.has(batch.producerId)) return Code.INVALID_TXN_STATE
    const producer = this.#byId.get(batch.producerId)
    if (!producer) return Code.NONE // forgotten or new: any sequence starts it
    if (batch.producerEpoch < producer.epoch) return Code.INVALID_PRODUCER_EPOCH
    if (batch.producerEpoch > producer.epoch)
      return batch.baseSequence === 0 ? Code.NONE : Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    const last = producer.written.at(-1)?.lastSequence ?? -1
    const next = last === 2_147_483_647 ? 0 : last + 1
    return batch.baseSequence === next ? Code.NONE : Code.OUT_OF_ORDER_SEQUENCE_NUMBER
  }

  /** Notes an appended batch (already at its offsets). */
  appended(batch: StoredBatch): void {
    let producer = this.#byId.get(batch.producerId)
    if (!producer || producer.epoch !== batch.producerEpoch) {
      producer = { epoch: batch.producerEpoch, written: [] }
      this.#byId.set(batch.producerId, producer)
    }
    if (producer.written.length === REMEMBERED) producer.written.shift()
    producer.written.push({
      firstSequence: batch.baseSequence,
      lastSequence: lastSequence(batch),
      baseOffset: batch.baseOffset,
      lastOffset: batch.lastOffset
    })
    if (batch.transactional && !this.#open.has(batch.producerId)) this.#open.set(batch.producerId, batch.baseOffset)
  }

  /** Ends a producer's transaction; gives its first offset here, or undefined when it wrote nothing here. */
  ended(producerId: number, epoch: number): number | undefined {
    const producer = this.#byId.get(producerId)
    if (!producer || producer.epoch < epoch) this.#byId.set(producerId, { epoch, written: [] })
    const first = this.#open.get(producerId)
    this.#open.delete(producerId)
    return first
  }

  hasOpen(producerId: number): boolean {
    return this.#open.has(producerId)
  }

  /** The lowest offset of an open transaction. */
  get firstOpen(): number | undefined {
    for (const offset of this.#open.values()) return offset
    return undefined
  }

  /** Whether the batch is the last that its producer wrote: its sequence must survive cleaning. */
  isLast(batch: StoredBatch): boolean {
    const producer = this.#byId.get(batch.producerId)
    if (!producer) return false
    const last = producer.written.at(-1)
    return last ? last.lastOffset === batch.lastOffset : batch.control && batch.producerEpoch === producer.epoch
  }
}
