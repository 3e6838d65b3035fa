/** Reads partitions without a group: one Fetch a broker carries all of them, positions move batch by batch. */
import { MillraceError, TransportError } from '../errors.ts'
import { RecordSet, type Tp, tpKey } from '../record.ts'
import { nextTurn, stopwatch } from '../time.ts'
import type { Cluster } from './cluster.ts'
import type { Batch, Reader, ReaderOptions } from './port.ts'
import type { ApiMap } from './protocol/api.ts'
import { Code, faultOf, kafkaError } from './protocol/errors.ts'
import { decodeBatches } from './protocol/recordBatch.ts'
import type { Lane } from './wire.ts'

/** A partition that wakes while the long poll is parked is asked for at once on the express lane, again and again this often (ms). */
const EXPRESS_WAIT_MS = 50
/** Decoding gives the event loop a turn after this many ms: heartbeats and acknowledgements live beside a large answer. */
const TURN_MS = 15
const BASE_BACKOFF_MS = 20
const MAX_BACKOFF_MS = 1_000
/** Bytes of an answer that may be kept alive for each byte that is wanted. */
const PINS_AT_MOST = 4
const NOTHING = new RecordSet(Buffer.alloc(0), 0)

type PartitionAnswer = ApiMap['Fetch']['response']['topics'][number]['partitions'][number]

/** One life of a partition in the reader: added again it is another object, so an answer meant for the old one finds nobody. */
interface Subscription extends Tp {
  offset: number
  sink: (batch: Batch) => void
  paused: boolean
  removed: boolean
  /** Whose Fetch carries it at the moment. */
  poll: Poll | undefined
  /** Waits out a back-off, or its leader is being looked up. */
  held: boolean
  /** Failures in a row. */
  misses: number
  /** Where a damaged batch was met; a second time at the same place it is fatal. */
  damagedAt: number
  hw: number
  lso: number
}

/** One connection to one broker: at most one Fetch in flight, since a second would wait behind the first's long poll. */
interface Poll {
  readonly lane: Lane
  readonly maxWaitMs: number
  busy: boolean
}

interface BrokerPolls {
  readonly main: Poll
  readonly express: Poll
  failures: number
  resting: boolean
  /** The last long poll brought nothing. */
  quiet: boolean
}

export class FetchReader implements Reader {
  readonly #cluster: Cluster
  readonly #options: ReaderOptions
  readonly #lane: Lane
  readonly #expressLane: Lane
  #subscriptions = new Map<string, Subscription>() // in the order they are asked for
  #brokers = new Map<number, BrokerPolls>()
  #running = new Set<Promise<void>>()
  #timers = new Set<unknown>()
  #waking = false
  #closed = false

  /** @param laneName connections of this name, and of `<name>:express`, must belong to this reader alone */
  constructor(cluster: Cluster, options: ReaderOptions, laneName: string) {
    this.#cluster = cluster
    this.#options = options
    this.#lane = cluster.wire.lane(laneName)
    this.#expressLane = cluster.wire.lane(`${laneName}:express`)
  }

  add(tp: Tp, offset: number, sink: (batch: Batch) => void): void {
    if (this.#closed)
      throw new TransportError('The reader is closed: open another.', 'fatal', { code: 'ERR_TRANSPORT_CLOSED' })
    if (!Number.isSafeInteger(offset)) throw new RangeError(`${tp.topic}-${tp.partition} cannot be read from ${offset}`)
    this.remove(tp)
    this.#subscriptions.set(tpKey(tp.topic, tp.partition), {
      topic: tp.topic,
      partition: tp.partition,
      offset,
      sink,
      paused: false,
      removed: false,
      poll: undefined,
      held: false,
      misses: 0,
      damagedAt: -1,
      hw: -1,
      lso: -1
    })
    this.#wake()
  }

  pause(tp: Tp): void {
    const subscription = this.#subscriptions.get(tpKey(tp.topic, tp.partition))
    if (subscription) subscription.paused = true
  }

  resume(tp: Tp): void {
    const subscription = this.#subscriptions.get(tpKey(tp.topic, tp.partition))
    if (!subscription?.paused) return
    subscription.paused = false
    this.#wake()
  }

  remove(tp: Tp): void {
    const key = tpKey(tp.topic, tp.partition)
    const subscription = this.#subscriptions.get(key)
    if (!subscription) return
    subscription.removed = true
    this.#subscriptions.delete(key)
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const s of this.#subscriptions.values()) s.removed = true
    this.#subscriptions.clear()
    for (const timer of this.#timers) this.#cluster.clock.clearTimeout(timer)
    await Promise.all([this.#lane.close(), this.#expressLane.close()])
    await Promise.all(this.#running)
  }

  // Ten partitions added in a row make one request, not one and nine that wait behind it.
  #wake(): void {
    if (this.#waking || this.#closed) return
    this.#waking = true
    queueMicrotask(() => {
      this.#waking = false
      if (!this.#closed) this.#schedule()
    })
  }

  #schedule(): void {
    const ready = new Map<number, Subscription[]>()
    for (const s of this.#subscriptions.values()) {
      if (s.paused || s.poll || s.held) continue
      const leader = this.#cluster.cachedLeader(s.topic, s.partition)
      if (leader < 0) this.#locate(s)
      else if (!ready.get(leader)?.push(s)) ready.set(leader, [s])
    }
    for (const [node, subscriptions] of ready) this.#start(node, subscriptions)
  }

  #start(node: number, subscriptions: Subscription[]): void {
    const broker = this.#broker(node)
    if (broker.resting) return
    let poll = broker.main
    if (poll.busy) poll = broker.express
    // Both lanes come together again: when nothing is going on, the long poll waits for the short one and takes over its partitions.
    else if (broker.express.busy && broker.quiet) return
    if (poll.busy) return
    poll.busy = true
    for (const s of subscriptions) s.poll = poll
    const run = this.#poll(node, broker, poll, subscriptions)
      .catch((error) => this.#failed(broker, subscriptions, error))
      .finally(() => {
        poll.busy = false
        for (const s of subscriptions) if (s.poll === poll) s.poll = undefined
        this.#running.delete(run)
        this.#wake()
      })
    this.#running.add(run)
  }

  async #poll(node: number, broker: BrokerPolls, poll: Poll, subscriptions: Subscription[]): Promise<void> {
    const { isolation, maxBytes = 50 << 20, partitionMaxBytes = 1 << 20 } = this.#options
    const topics = new Map<
      string,
      { topic: string; partitions: { partition: number; offset: number; maxBytes: number }[] }
    >()
    const asked = new Map<string, Subscription>()
    for (const s of subscriptions) {
      let topic = topics.get(s.topic)
      if (!topic) {
        topic = { topic: s.topic, partitions: [] }
        topics.set(s.topic, topic)
      }
      topic.partitions.push({ partition: s.partition, offset: s.offset, maxBytes: partitionMaxBytes })
      asked.set(tpKey(s.topic, s.partition), s)
    }
    const answer = await poll.lane.call(
      node,
      'Fetch',
      { maxWaitMs: poll.maxWaitMs, minBytes: 1, maxBytes, isolation, topics: [...topics.values()] },
      { timeoutMs: poll.maxWaitMs + 30_000 }
    )
    if (answer.error !== Code.NONE) throw kafkaError(answer.error, `Fetching from broker ${node}`)
    broker.failures = 0
    let bytes = 0
    let turn = stopwatch()
    for (const { topic, partitions } of answer.topics) {
      for (const partition of partitions) {
        const s = asked.get(tpKey(topic, partition.partition))
        if (!s || s.removed) continue
        if (partition.error === Code.NONE) {
          this.#deliver(s, partition)
          bytes += partition.records.length
        } else this.#refused(s, partition.error)
        s.poll = undefined // may be asked for again by the other lane while the rest is decoded
        if (stopwatch() - turn > TURN_MS) {
          await nextTurn()
          turn = stopwatch()
        }
      }
    }
    if (poll === broker.main) broker.quiet = bytes === 0
  }

  #deliver(s: Subscription, answer: PartitionAnswer): void {
    const lso = answer.lastStableOffset < 0 ? answer.highWatermark : answer.lastStableOffset // -1 when uncommitted is read
    const hw = answer.highWatermark
    const bytes = own(answer.records)
    if (bytes.length === 0) {
      // Where the log ends is news by itself: a restore that has nothing left to read is done.
      if (hw !== s.hw || lso !== s.lso) this.#sink(s, NOTHING, s.offset, lso, hw, 0)
      s.misses = 0
      return
    }
    const before = s.offset
    const decoded = decodeBatches(bytes, {
      offset: before,
      committed: this.#options.isolation === 'committed',
      aborted: answer.aborted
    })
    for (const piece of decoded.pieces) {
      if (s.removed) return
      this.#sink(s, piece.records, piece.next, lso, hw, piece.bytes)
    }
    if (s.removed) return
    // Who got something goes to the end of the queue: the answer's size limit must not starve the partitions behind it.
    const key = tpKey(s.topic, s.partition)
    this.#subscriptions.delete(key)
    this.#subscriptions.set(key, s)
    if (decoded.error) this.#damaged(s, decoded.error)
    else if (s.offset === before) {
      this.#damaged(
        s,
        new TransportError(`The answer holds no whole batch (${bytes.length} bytes).`, 'retriable', { kafkaCode: 2 })
      )
    } else s.misses = 0
  }

  #sink(s: Subscription, records: RecordSet, next: number, lso: number, hw: number, bytes: number): void {
    s.offset = next
    s.lso = lso
    s.hw = hw
    try {
      s.sink({ topic: s.topic, partition: s.partition, records, next, lso, hw, bytes })
    } catch (cause) {
      this.#fail(
        s,
        new TransportError(`The receiver of ${s.topic}-${s.partition} threw: ${(cause as Error).message}`, 'fatal', {
          cause
        })
      )
    }
  }

  #damaged(s: Subscription, error: TransportError): void {
    const again = s.damagedAt === s.offset
    s.damagedAt = s.offset
    if (error.fault !== 'fatal' && !again) {
      this.#hold(s)
      return
    }
    this.#fail(
      s,
      new TransportError(
        `${s.topic}-${s.partition} cannot be read at offset ${s.offset}: ${error.message} It was fetched twice. ` +
          'Restore the partition from another replica, or go on behind the batch by resetting the offset.',
        'fatal',
        { code: 'ERR_TRANSPORT_CORRUPT', kafkaCode: Code.CORRUPT_MESSAGE, cause: error, details: details(s) }
      )
    )
  }

  #refused(s: Subscription, code: number): void {
    const fault = faultOf(code)
    const error = kafkaError(code, `Reading ${s.topic}-${s.partition} at offset ${s.offset}`, details(s))
    if (code === Code.CORRUPT_MESSAGE) this.#damaged(s, error)
    else if (error.retriable) {
      if (fault === 'metadata') this.#cluster.invalidate(s.topic)
      this.#hold(s)
    } else this.#fail(s, error)
  }

  #failed(broker: BrokerPolls, subscriptions: Subscription[], error: unknown): void {
    if (this.#closed) return
    if (
      error instanceof MillraceError &&
      (error.retriable || (error instanceof TransportError && error.fault === 'unknown-outcome'))
    ) {
      // The broker may be gone for good and its partitions led by others.
      for (const s of subscriptions) this.#cluster.invalidate(s.topic)
      broker.resting = true
      this.#later(this.#backoff(++broker.failures), () => {
        broker.resting = false
      })
      return
    }
    const fatal =
      error instanceof TransportError
        ? error
        : new TransportError(`Fetching failed: ${(error as Error).message}`, 'fatal', { cause: error })
    for (const s of subscriptions) if (!s.removed) this.#fail(s, fatal)
  }

  #locate(s: Subscription): void {
    s.held = true
    const work = this.#cluster.leader(s.topic, s.partition).then(
      () => {
        s.held = false
      },
      (error: unknown) => {
        if (this.#closed || s.removed) return
        const gone =
          error instanceof TransportError &&
          (error.fault === 'fatal' || error.kafkaCode === Code.UNKNOWN_TOPIC_OR_PARTITION)
        if (gone) this.#fail(s, error)
        else this.#hold(s)
      }
    )
    void work.then(() => this.#wake())
  }

  #fail(s: Subscription, error: TransportError): void {
    if (s.removed) return
    this.remove(s)
    this.#options.onError(error, { topic: s.topic, partition: s.partition })
  }

  #hold(s: Subscription): void {
    s.held = true
    this.#later(this.#backoff(++s.misses), () => {
      s.held = false
    })
  }

  #backoff(failures: number): number {
    return Math.min(MAX_BACKOFF_MS, BASE_BACKOFF_MS * 2 ** (failures - 1)) * (0.5 + this.#cluster.random() / 2)
  }

  #later(ms: number, then: () => void): void {
    if (this.#closed) return
    const timer = this.#cluster.clock.setTimeout(() => {
      this.#timers.delete(timer)
      then()
      this.#wake()
    }, ms)
    this.#timers.add(timer)
  }

  #broker(node: number): BrokerPolls {
    let broker = this.#brokers.get(node)
    if (!broker) {
      const { maxWaitMs = 500 } = this.#options
      broker = {
        main: { lane: this.#lane, maxWaitMs, busy: false },
        express: { lane: this.#expressLane, maxWaitMs: Math.min(EXPRESS_WAIT_MS, maxWaitMs), busy: false },
        failures: 0,
        resting: false,
        quiet: false
      }
      this.#brokers.set(node, broker)
    }
    return broker
  }
}

/**
 * A share of an answer keeps the whole answer alive. One slow partition beside many fast ones would pin far more than its queue's
 * bound counts, so a small share is copied out.
 */
const own = (records: Buffer): Buffer =>
  records.length * PINS_AT_MOST < records.buffer.byteLength ? Buffer.copyBytesFrom(records) : records

const details = (s: Subscription): Record<string, unknown> => ({
  topic: s.topic,
  partition: s.partition,
  offset: s.offset
})
