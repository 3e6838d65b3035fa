/** What was fetched of one source partition and waits to be processed: batches in order, bounded in bytes. */
import type { Batch, Reader } from '../kafka/port.ts'
import { type RecordSet, StreamRecord, type Tp } from '../record.ts'
import { locate } from '../topology/failure.ts'
import type { SourceNode } from '../topology/node.ts'
import { Origin } from '../topology/origin.ts'

export interface QueueOptions {
  readonly tp: Tp
  readonly source: SourceNode
  /** Where the partition is read from: its first offset. */
  readonly start: number
  /** The committed offset; -1 = none. */
  readonly committed: number
  /** The broker's end of the partition when it was opened: until `next` reaches it, an empty queue means "not fetched yet". */
  readonly end: number
  /** Highest event time ever taken from this partition; -1 = none. */
  readonly partitionTime: number
  /** Paused above `highBytes`, resumed below half of it. */
  readonly highBytes: number
  readonly reader: Pick<Reader, 'pause' | 'resume'>
  /** Records from this offset on are not taken: the end of a batch run. Default: none. */
  readonly limit?: number | undefined
  /** A record with a negative event time was passed over. */
  readonly onNegative: (offset: number) => void
  /**
   * The timestamp extractor threw: rules decide. @returns until when it waits, on the clock; undefined: it is passed over
   * @throws the error, when it is the task's
   */
  readonly onFailed?: (error: unknown, source: Origin) => number | undefined
}

/** Instead of an event time: a rule says to pass over the record. */
const SKIPPED = -2
/** The same: a rule says to try it again later. */
const PARKED = -3

/**
 * A queue of one partition. Owned by the pump, filled by the reader's sink. The head's event time is read (or extracted) once,
 * only for the head; rows behind it stay bytes.
 */
export class SourceQueue {
  readonly tp: Tp
  readonly source: SourceNode
  /** The set the head row lies in; undefined = empty. */
  set: RecordSet | undefined
  /** The head row in `set`. */
  row = 0
  /** Rows below this one (of `set`) were announced to the stores. */
  prefetched = 0
  bytes = 0
  partitionTime: number
  /** Broker's end as last seen. */
  end: number
  /** The offset last committed; -1 = none. Owned by the committer. */
  committed: number
  /** Orders queues whose heads have the same event time: which batch arrived first. */
  arrival = 0
  /** Its head is not taken before this time, on the clock: it failed, and a rule says to try again. */
  parkedUntil = 0
  /** When it was first found empty and caught up; undefined while it has records. Owned by the intake. */
  idleSince: number | undefined
  readonly #options: QueueOptions
  #waiting: Batch[] = [] // behind the head batch
  #first = 0
  #headBytes = 0
  #next: number
  readonly #limit: number
  #paused = false
  #arrivals: number[] = []
  #time = -1 // of the head row; -1 = not read yet
  #record: StreamRecord<unknown, unknown> | undefined // the head, when the extractor needed it

  constructor(options: QueueOptions) {
    this.tp = options.tp
    this.source = options.source
    this.partitionTime = options.partitionTime
    this.end = options.end
    this.committed = options.committed
    this.#next = options.start
    this.#limit = options.limit ?? Number.POSITIVE_INFINITY
    this.#options = options
  }

  /** The offset to commit: of the head row, or the reader's position when empty (which is past transaction markers). */
  get position(): number {
    return this.set === undefined ? this.#next : this.set.offsets[this.row]!
  }

  get caughtUp(): boolean {
    return this.#next >= this.end || this.position >= this.#limit
  }

  get paused(): boolean {
    return this.#paused
  }

  /** The reader's sink. `arrival` grows over all queues of a task. */
  push(batch: Batch, arrival: number): void {
    this.#next = batch.next
    // An aborted tail moves `next` past the end that was known; the larger of both is what the broker has.
    this.end = Math.max(this.end, batch.lso, batch.next)
    if (batch.records.count === 0) return
    this.bytes += batch.bytes
    if (this.set === undefined) this.#open(batch, arrival)
    else {
      this.#waiting.push(batch)
      this.#arrivals.push(arrival)
    }
    if (!this.#paused && this.bytes > this.#options.highBytes) {
      this.#paused = true
      this.#options.reader.pause(this.tp)
    }
  }

  /**
   * The reader goes on elsewhere: what was fetched stays and is processed first. `end` is the broker's now: that of a topic that was deleted and
   * made anew lies below the one known before, and would be waited for by all other partitions of the task, for ever.
   */
  jump(offset: number, end: number): void {
    this.#next = offset
    this.end = end
  }

  /** Event time of the head, -1 when the queue is empty. Passes over records whose time is negative. */
  headTime(): number {
    if (this.#time >= 0) return this.#time
    while (this.set !== undefined && this.set.offsets[this.row]! < this.#limit) {
      const time = this.#extract(this.set)
      if (time >= 0) {
        this.#time = time
        return time
      }
      if (time === PARKED) return -1
      if (time !== SKIPPED) this.#options.onNegative(this.set.offsets[this.row]!)
      this.advance()
    }
    return -1
  }

  #extract(set: RecordSet): number {
    const extractor = this.source.timestamp
    if (extractor === undefined) return set.timestamps[this.row]!
    const record = StreamRecord.lazy(set, this.row, this.source.key, this.source.value, set.timestamps[this.row]!)
    let time: number
    try {
      time = extractor(record, this.partitionTime)
    } catch (error) {
      return this.#failed(error, set)
    }
    // A NaN is as little a time as a negative number is.
    if (!(time >= 0)) return -1
    this.#record = time === record.timestamp ? record : record.withTimestamp(time)
    return time
  }

  #failed(error: unknown, set: RecordSet): number {
    const { topic, partition } = this.tp
    const origin = new Origin(topic, partition, set, this.row)
    const located = locate(error, this.source.name, origin)
    if (this.#options.onFailed === undefined) throw located
    const until = this.#options.onFailed(located, origin)
    if (until === undefined) return SKIPPED
    this.park(until)
    return PARKED
  }

  /** The head comes again, not before this time. */
  park(until: number): void {
    this.parkedUntil = until
    this.#time = -1
    this.#record = undefined
  }

  get origin(): Origin {
    return new Origin(this.tp.topic, this.tp.partition, this.set!, this.row)
  }

  /** The head as a record. Call `headTime` first; only valid when that was ≥ 0. */
  head(): StreamRecord<unknown, unknown> {
    return this.#record ?? StreamRecord.lazy(this.set!, this.row, this.source.key, this.source.value, this.#time)
  }

  /** Goes past the head row; frees the batch after its last one, and lets the reader go on below the low mark. */
  advance(): void {
    this.#time = -1
    this.#record = undefined
    if (++this.row < this.set!.count) return
    this.bytes -= this.#headBytes
    const batch = this.#waiting[this.#first]
    if (batch === undefined) {
      this.set = undefined
      this.row = 0
    } else {
      this.#waiting[this.#first] = undefined as never
      const arrival = this.#arrivals[this.#first]!
      if (++this.#first === this.#waiting.length) {
        this.#waiting = []
        this.#arrivals = []
        this.#first = 0
      }
      this.#open(batch, arrival)
    }
    if (this.#paused && this.bytes <= this.#options.highBytes / 2) {
      this.#paused = false
      this.#options.reader.resume(this.tp)
    }
  }

  #open(batch: Batch, arrival: number): void {
    this.set = batch.records
    this.row = 0
    this.prefetched = 0
    this.arrival = arrival
    this.#headBytes = batch.bytes
    this.idleSince = undefined
  }
}
