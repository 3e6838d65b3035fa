/** Gathers batches per partition and sends them: one request in flight per leader, every partition's acknowledgement checked. */
import { MillraceError, StateError, TransportError } from '../errors.ts'
import { tpKey } from '../record.ts'
import { type BatchPool, poolOf } from './batchPool.ts'
import type { Cluster } from './cluster.ts'
import { isLost, mayRepeat } from './coordinatorCall.ts'
import { PartitionQueue, type QueueOwner } from './partitionQueue.ts'
import type { Codec, PartitionWriter } from './port.ts'
import { judge } from './produceAnswer.ts'
import type { RecordBatchWriter } from './protocol/recordBatchWriter.ts'
import type { Lane } from './wire.ts'

export interface SenderOptions {
  lane: Lane
  identity: { producerId: number; producerEpoch: number }
  transactionalId: string | null
  codec: Codec
  batchBytes: number
  /** From the first try of a batch to its failure, in ms. */
  deliveryMs: number
  /** Transactions: the partition is part of the current one. */
  admitted?(queue: PartitionQueue): boolean
  /** Transactions: makes the partitions part of the current one. A rejection ends the producer. */
  admit?(queues: PartitionQueue[]): Promise<void>
}

/** A request is cut here, so that one leader of many partitions gets no 100 MB request. */
const REQUEST_BYTES = 16 * 1_048_576
const REQUEST_MS = 30_000
const BACKOFF_MS = 10
const LONGEST_BACKOFF_MS = 1_000
/** REQUEST_TIMED_OUT and NOT_ENOUGH_REPLICAS_AFTER_APPEND: the leader has it, the replicas perhaps not. */
const WRITTEN_PERHAPS: ReadonlySet<number | undefined> = new Set([7, 20])

interface Flush {
  /** Acknowledged batches each partition must have reached. */
  readonly until: Map<PartitionQueue, number>
  resolve(): void
  reject(error: unknown): void
}

type Entry = { partition: number; error: number; baseOffset: number }

interface Room {
  readonly limit: number
  resolve(): void
  reject(error: unknown): void
}

/**
 * The rule that keeps order and exactly-once: a partition has at most one batch under way, and as long as its fate is open the very
 * same bytes are sent again before anything else. (Two in flight: the first is lost, the second refused as out of order, the
 * client rewinds its sequence and the first's resend passes for a duplicate of the second: D3.)
 */
export class Sender implements QueueOwner {
  readonly batchBytes: number
  readonly codec: Codec
  pendingBytes = 0
  /** Something was appended since this was last set to false. */
  touched = false
  #held = false
  #sealed = false
  readonly #cluster: Cluster
  readonly #options: SenderOptions
  readonly #pool: BatchPool
  #queues = new Map<string, PartitionQueue[]>() // by topic, then partition
  #open = new Set<PartitionQueue>() // with a batch being filled
  #waiting = new Set<PartitionQueue>() // with something to send, not in a request
  #sending = new Set<PartitionQueue>() // in a request
  #busy = new Set<number>() // leaders with a request in flight
  #scheduled = false
  #timer: unknown
  #locating = false
  #admitting = false
  #flushes: Flush[] = []
  #rooms: Room[] = []
  #failure: Error | undefined
  #settled: (() => void)[] = [] // those who wait for nothing to be under way

  constructor(cluster: Cluster, options: SenderOptions) {
    this.#cluster = cluster
    this.#options = options
    this.#pool = poolOf(cluster)
    this.batchBytes = options.batchBytes
    this.codec = options.codec
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  writer(topic: string, partition: number, turn = 0): PartitionWriter {
    let queues = this.#queues.get(topic)
    if (!queues) {
      queues = []
      this.#queues.set(topic, queues)
    }
    let queue = queues[partition]
    if (!queue) {
      queues[partition] = queue = new PartitionQueue(topic, partition, this)
      if (this.#sealed) queue.limit = 0
      queue.turn = turn
    }
    return queue
  }

  begin(queue: PartitionQueue): RecordBatchWriter {
    if (this.#failure) throw this.#failure
    this.touched = true
    this.#open.add(queue)
    return this.#pool.take(this.batchBytes)
  }

  full(queue: PartitionQueue): void {
    this.#wait(queue)
  }

  kick(): void {
    for (const queue of this.#open) {
      queue.pushed = true
      this.#wait(queue)
    }
  }

  room(limit: number): Promise<void> {
    if (!(limit >= 0)) return Promise.reject(new RangeError(`room(${limit}): give a number of bytes`))
    const below = Math.max(1, limit) // nothing falls below 0
    if (this.#failure) return Promise.reject(this.#failure)
    if (this.pendingBytes < below) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#rooms.push({ limit: below, resolve, reject })
      this.#schedule()
    })
  }

  flush(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    if (!this.#sealed) {
      for (const queue of this.#open) {
        queue.close()
        if (!queue.open) this.#open.delete(queue)
        this.#wait(queue)
      }
    }
    const until = new Map<PartitionQueue, number>()
    for (const queue of this.#each()) {
      const last = Math.min(queue.closed, queue.limit)
      if (queue.acked < last) until.set(queue, last)
    }
    if (until.size === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#flushes.push({ until, resolve, reject })
    })
  }

  /** `flush`; what is appended from here on waits for `unseal`, and no flush before that waits for it. */
  seal(): Promise<void> {
    const flushed = this.flush()
    this.#sealed = true
    for (const queue of this.#each()) queue.limit = queue.closed
    return flushed
  }

  unseal(): void {
    if (!this.#sealed) return
    this.#sealed = false
    for (const queue of this.#each()) {
      queue.limit = Number.POSITIVE_INFINITY
      this.#wait(queue)
    }
  }

  /** From now on nothing new is sent, only what is under way is brought to its end: a transaction ends. `release` sends the rest. */
  hold(): void {
    this.#held = true
  }

  release(): void {
    this.#held = false
    this.touched ||= this.pendingBytes > 0
    this.#schedule()
  }

  /** Resolves when nothing is under way, or the producer has failed. Only while held is that a state that lasts. */
  async idle(): Promise<void> {
    while (!this.#failure && this.#underWay()) await new Promise<void>((resolve) => this.#settled.push(resolve))
  }

  /** Forgets what was not sent and waits until nothing is under way (sequence numbers must stay without gaps). Never rejects. */
  async drop(): Promise<void> {
    const dropped = new StateError('The records were dropped by an abort before they were sent')
    for (const queue of this.#each()) queue.drop()
    this.unseal()
    this.#open.clear()
    for (const waiter of [...this.#flushes.splice(0), ...this.#rooms.splice(0)]) waiter.reject(dropped)
    for (const queue of this.#waiting) if (!queue.ready) this.#waiting.delete(queue)
    this.touched = false
    await this.idle()
  }

  /** Ends it: everybody who waits is told, later appends throw. */
  fail(error: Error): void {
    if (this.#failure) return
    this.#failure = error
    this.#cluster.clock.clearTimeout(this.#timer)
    for (const queue of this.#each()) {
      queue.drop()
      queue.flight = undefined
    }
    this.pendingBytes = 0
    this.#open.clear()
    this.#waiting.clear()
    for (const waiter of [...this.#flushes.splice(0), ...this.#rooms.splice(0)]) waiter.reject(error)
    for (const resolve of this.#settled.splice(0)) resolve()
  }

  *#each(): Generator<PartitionQueue> {
    for (const queues of this.#queues.values()) for (const queue of queues) if (queue) yield queue
  }

  /** Whose turn it is: the lowest of what is sealed and not acknowledged. */
  #turn(): number {
    let turn = this.#sealed ? Number.POSITIVE_INFINITY : 0
    for (const queue of this.#each()) {
      if (queue.turn < turn && queue.acked < Math.min(queue.closed, queue.limit)) turn = queue.turn
    }
    return turn
  }

  #underWay(): boolean {
    if (this.#sending.size > 0) return true
    for (const queue of this.#waiting) if (queue.flight) return true
    return false
  }

  #wait(queue: PartitionQueue): void {
    if (this.#sending.has(queue) || !queue.ready) return
    this.#waiting.add(queue)
    this.#schedule()
  }

  /** Dispatching waits for the end of the caller's run: partitions that fill up in one go share a request. */
  #schedule(): void {
    if (this.#scheduled || this.#failure) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#dispatch()
    })
  }

  #dispatch(): void {
    if (this.#failure) return
    const now = this.#cluster.clock.now()
    const requests = new Map<number, PartitionQueue[]>()
    const unknown: PartitionQueue[] = []
    const strangers: PartitionQueue[] = []
    let wakeAt = Number.POSITIVE_INFINITY
    let turn: number | undefined
    for (const queue of this.#waiting) {
      if (this.#held && !queue.flight) continue
      if (queue.turn > 0 && !queue.flight) {
        turn ??= this.#turn()
        if (queue.turn > turn) continue
      }
      if (queue.retryAt > now) wakeAt = Math.min(wakeAt, queue.retryAt)
      else if (this.#options.admitted && !this.#options.admitted(queue)) strangers.push(queue)
      else {
        const leader = this.#cluster.cachedLeader(queue.topic, queue.partition)
        if (leader < 0) unknown.push(queue)
        else if (!this.#busy.has(leader)) {
          const request = requests.get(leader)
          if (request) request.push(queue)
          else requests.set(leader, [queue])
        }
      }
    }
    this.#cluster.clock.clearTimeout(this.#timer)
    if (wakeAt < Number.POSITIVE_INFINITY) {
      this.#timer = this.#cluster.clock.setTimeout(() => this.#dispatch(), wakeAt - now)
    }
    if (unknown.length > 0 && !this.#locating) void this.#locate(unknown)
    if (strangers.length > 0 && !this.#admitting) void this.#admit(strangers)
    for (const [leader, queues] of requests) void this.#send(leader, queues)
    // Somebody waits for room, and what takes it is in batches that nobody pushed.
    if (this.#rooms.length > 0 && this.#waiting.size === 0 && this.#sending.size === 0 && this.#open.size > 0)
      this.kick()
  }

  async #locate(queues: PartitionQueue[]): Promise<void> {
    this.#locating = true
    let failure: unknown
    try {
      await this.#cluster.refresh([...new Set(queues.map((queue) => queue.topic))])
    } catch (error) {
      failure = error
    }
    this.#locating = false
    for (const queue of queues) {
      const { topic, partition } = queue
      if (this.#cluster.cachedLeader(topic, partition) >= 0 || !this.#waiting.has(queue)) continue
      const refusal = failure ?? this.#cluster.refusal(topic)
      if (refusal !== undefined && !mayRepeat(refusal)) {
        this.#defect('Finding leaders', refusal)
        return
      }
      this.#again(
        queue,
        refusal instanceof TransportError
          ? refusal
          : new TransportError(
              `Partition ${topic}-${partition} has no leader, or does not exist. Add partitions, and see that all brokers are up.`,
              'metadata',
              { details: { topic, partition } }
            )
      )
    }
    this.#schedule()
  }

  async #admit(queues: PartitionQueue[]): Promise<void> {
    this.#admitting = true
    try {
      await this.#options.admit!(queues)
    } catch (error) {
      this.fail(error as Error)
    }
    this.#admitting = false
    this.#schedule()
  }

  async #send(leader: number, candidates: PartitionQueue[]): Promise<void> {
    const queues: PartitionQueue[] = []
    const topics = new Map<string, { partition: number; records: Buffer }[]>()
    let bytes = 0
    for (const queue of candidates) {
      if (bytes >= REQUEST_BYTES) break
      let flight: NonNullable<PartitionQueue['flight']>
      try {
        flight = this.#take(queue)
      } catch (error) {
        this.#defect(`Packing a batch for ${queue.topic}-${queue.partition}`, error)
        return
      }
      queues.push(queue)
      bytes += flight.bytes.length
      const entry = { partition: queue.partition, records: flight.bytes }
      const entries = topics.get(queue.topic)
      if (entries) entries.push(entry)
      else topics.set(queue.topic, [entry])
    }
    this.#busy.add(leader)
    let answer: { topics: { topic: string; partitions: Entry[] }[] }
    let failure: unknown
    try {
      answer = await this.#options.lane.call(
        leader,
        'Produce',
        {
          transactionalId: this.#options.transactionalId,
          timeoutMs: REQUEST_MS,
          topics: Array.from(topics, ([topic, partitions]) => ({ topic, partitions }))
        },
        { timeoutMs: REQUEST_MS }
      )
    } catch (error) {
      answer = { topics: [] }
      failure = error ?? new Error('the wire rejected without a reason')
    }
    this.#busy.delete(leader)
    for (const queue of queues) this.#sending.delete(queue)
    if (this.#failure) return
    if (failure !== undefined) this.#lost(queues, failure)
    else {
      const entries = new Map<string, Entry>()
      for (const { topic, partitions } of answer.topics) {
        for (const entry of partitions) entries.set(tpKey(topic, entry.partition), entry)
      }
      for (const queue of queues) {
        this.#settle(queue, entries.get(tpKey(queue.topic, queue.partition)))
        if (this.#failure) return
      }
    }
    if (!this.#underWay()) for (const resolve of this.#settled.splice(0)) resolve()
    this.#schedule()
  }

  #take(queue: PartitionQueue): NonNullable<PartitionQueue['flight']> {
    this.#waiting.delete(queue)
    this.#sending.add(queue)
    const flight = queue.take(this.#options.identity, this.#options.transactionalId !== null)
    if (!queue.open) this.#open.delete(queue)
    flight.tries++
    return flight
  }

  #settle(queue: PartitionQueue, entry: Entry | undefined): void {
    const verdict = judge(entry, queue.topic, queue.partition)
    if (verdict.kind === 'failed') {
      this.fail(verdict.error)
      return
    }
    if (verdict.kind === 'again') {
      if (verdict.moved) this.#cluster.invalidate(queue.topic)
      this.#again(queue, verdict.error)
      return
    }
    const flight = queue.acknowledge(verdict.baseOffset)
    // A batch sent twice may still lie in a socket that is being torn down: its buffer is not used again.
    if (flight.tries === 1) this.#pool.give(this.batchBytes, flight.writer)
    this.#wait(queue)
    this.#tell(queue)
  }

  #tell(queue: PartitionQueue): void {
    for (let i = this.#flushes.length - 1; i >= 0; i--) {
      const flush = this.#flushes[i]!
      if (flush.until.get(queue)! <= queue.acked) flush.until.delete(queue)
      if (flush.until.size === 0) this.#flushes.splice(i, 1)[0]!.resolve()
    }
    for (let i = this.#rooms.length - 1; i >= 0; i--) {
      if (this.pendingBytes < this.#rooms[i]!.limit) this.#rooms.splice(i, 1)[0]!.resolve()
    }
  }

  /** The whole request failed: it did not arrive, or its answer was lost. Both mend by the same bytes again. */
  #lost(queues: PartitionQueue[], failure: unknown): void {
    if (!(failure instanceof TransportError && mayRepeat(failure))) {
      this.#defect('Producing', failure)
      return
    }
    for (const queue of queues) {
      // The broker may be gone: its partitions have a new leader then.
      this.#cluster.invalidate(queue.topic)
      this.#again(queue, failure)
      if (this.#failure) return
    }
  }

  /** Repeating does not help: an error of ours says why; anything else is a defect of ours, or a machine at its limits. */
  #defect(what: string, failure: unknown): void {
    this.fail(
      failure instanceof MillraceError
        ? failure
        : new TransportError(`${what} failed in an unexpected way: ${(failure as Error)?.message}`, 'fatal', {
            cause: failure
          })
    )
  }

  #again(queue: PartitionQueue, error: TransportError): void {
    const now = this.#cluster.clock.now()
    if (queue.failures++ === 0) queue.failingSince = now
    // Surely not written are only those that never left and those that the broker refused.
    if (queue.flight && (isLost(error) || WRITTEN_PERHAPS.has(error.kafkaCode))) queue.flight.maybeWritten = true
    if (now - queue.failingSince >= this.#options.deliveryMs) {
      this.fail(this.#gaveUp(queue, error))
      return
    }
    const pause = Math.min(LONGEST_BACKOFF_MS, BACKOFF_MS * 2 ** Math.min(queue.failures - 1, 10))
    queue.retryAt = now + pause * (0.5 + this.#cluster.random() / 2)
    this.#wait(queue)
  }

  #gaveUp(queue: PartitionQueue, error: TransportError): TransportError {
    const { topic, partition } = queue
    return new TransportError(
      `${topic}-${partition} took no records for ${this.#options.deliveryMs} ms: ${error.message}`,
      queue.flight?.maybeWritten ? 'unknown-outcome' : error.fault,
      { cause: error, kafkaCode: error.kafkaCode, details: { topic, partition } }
    )
  }
}
