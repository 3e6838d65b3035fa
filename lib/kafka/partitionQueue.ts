/** What one producer holds for one partition: a batch being filled, full ones, and at most one under way. */
import { EncodeError, TransportError } from '../errors.ts'
import type { Headers } from '../record.ts'
import type { PartitionWriter } from './port.ts'
import { BATCH_HEADER, type BatchIdentity, type RecordBatchWriter } from './protocol/recordBatchWriter.ts'

/** A batch that has its sequence number: until it is acknowledged these very bytes are sent again, and nothing else. */
export interface Flight {
  readonly writer: RecordBatchWriter
  readonly bytes: Buffer
  readonly count: number
  tries: number
  /** A try may have reached the log without our knowing. */
  maybeWritten: boolean
}

/** What the queue asks of its sender. */
export interface QueueOwner {
  readonly batchBytes: number
  readonly codec: BatchIdentity['codec']
  pendingBytes: number
  /** A buffer for the first record of a batch. @throws the final failure of the producer */
  begin(queue: PartitionQueue): RecordBatchWriter
  /** A batch is full: it goes by itself. */
  full(queue: PartitionQueue): void
}

/** Sequence numbers wrap from 2^31 − 1 to 0. */
const SEQUENCES = 2 ** 31

export class PartitionQueue implements PartitionWriter {
  readonly topic: string
  readonly partition: number
  ackedNext = -1
  /** Being filled; undefined between batches. */
  open: RecordBatchWriter | undefined
  /** Send `open` too, though it is not full. */
  pushed = false
  flight: Flight | undefined
  /** Not before this time, on the clock: the pause after a failed try. */
  retryAt = 0
  /** Failed tries in a row, and when the first was; none → 0. */
  failures = 0
  failingSince = 0
  /** Batches closed, and batches acknowledged, since the producer opened: what a flush waits for. */
  closed = 0
  acked = 0
  /** So many of its batches may leave: those behind a seal wait. */
  limit = Number.POSITIVE_INFINITY
  /** Goes when those of lower ones have got there: see `Producer.writer`. */
  turn = 0
  readonly #owner: QueueOwner
  #full: RecordBatchWriter[] = []
  #sequence = 0

  constructor(topic: string, partition: number, owner: QueueOwner) {
    this.topic = topic
    this.partition = partition
    this.#owner = owner
  }

  append(
    timestamp: number,
    key: Buffer | null,
    keyStart: number,
    keyEnd: number,
    value: Buffer | null,
    valueStart: number,
    valueEnd: number,
    headers: Headers
  ): void {
    // The encoder's arithmetic ends for no other: Infinity would keep it busy for ever.
    if (!(timestamp >= 0 && timestamp <= Number.MAX_SAFE_INTEGER)) throw this.#badTime(timestamp)
    const time = Math.floor(timestamp)
    const open = this.open ?? this.#begin()
    let bytes = open.append(time, key, keyStart, keyEnd, value, valueStart, valueEnd, headers)
    if (bytes === 0) {
      if (open.count > 0) {
        this.close()
        this.#owner.full(this)
        bytes = this.#begin().append(time, key, keyStart, keyEnd, value, valueStart, valueEnd, headers)
      }
      if (bytes === 0) throw this.#tooLarge((key ? keyEnd - keyStart : 0) + (value ? valueEnd - valueStart : 0))
    }
    this.#owner.pendingBytes += bytes
  }

  #begin(): RecordBatchWriter {
    this.open = this.#owner.begin(this)
    return this.open
  }

  /** The open batch takes no more records. */
  close(): void {
    if (!this.open || this.open.count === 0) return
    this.#full.push(this.open)
    this.open = undefined
    this.pushed = false
    this.closed++
  }

  /** There is something to send, now or after the pause. */
  get ready(): boolean {
    if (this.flight !== undefined) return true
    if (this.closed - this.#full.length >= this.limit) return false
    return this.#full.length > 0 || (this.pushed && (this.open?.count ?? 0) > 0)
  }

  /** The bytes to send: those under way again, or the oldest batch, which gets its sequence number here. */
  take(identity: { producerId: number; producerEpoch: number }, transactional: boolean): Flight {
    if (this.flight) return this.flight
    if (this.#full.length === 0) this.close()
    const writer = this.#full.shift()!
    const baseSequence = this.#sequence
    const bytes = writer.finish({ ...identity, baseSequence, transactional, codec: this.#owner.codec })
    this.#sequence = (baseSequence + writer.count) % SEQUENCES
    this.flight = { writer, bytes, count: writer.count, tries: 0, maybeWritten: false }
    return this.flight
  }

  /** @param baseOffset -1 when the broker does not know it any more (then the position stays: reading on from it is still right) */
  acknowledge(baseOffset: number): Flight {
    const flight = this.flight!
    this.flight = undefined
    this.acked++
    this.retryAt = this.failures = 0
    if (baseOffset >= 0) this.ackedNext = baseOffset + flight.count
    this.#owner.pendingBytes -= flight.writer.size - BATCH_HEADER
    return flight
  }

  /** Forgets what has no sequence number yet. */
  drop(): void {
    for (const writer of this.open ? [...this.#full, this.open] : this.#full) {
      this.#owner.pendingBytes -= writer.size - BATCH_HEADER
    }
    this.closed -= this.#full.length
    this.#full = []
    this.open = undefined
    this.pushed = false
  }

  #badTime(timestamp: number): EncodeError {
    const { topic, partition } = this
    return new EncodeError(
      `A record for ${topic}-${partition} has the time ${timestamp}. Give milliseconds since 1970, 0 or more and below 2^53.`,
      { details: { topic, partition, timestamp } }
    )
  }

  #tooLarge(bytes: number): TransportError {
    const { topic, partition } = this
    return new TransportError(
      `A record of ${bytes} bytes for ${topic}-${partition} does not fit into a batch of ${this.#owner.batchBytes} bytes. ` +
        "Make the record smaller, or raise batchBytes and the topic's max.message.bytes.",
      'too-large',
      { details: { topic, partition, bytes } }
    )
  }
}
