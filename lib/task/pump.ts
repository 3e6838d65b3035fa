/** The hot loop of a task: takes records in order of event time, runs them through the operators, commits. The only loop that sees records. */
import type { GroupMeta, Producer } from '../kafka/port.ts'
import type { RecordSet, StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import { type Clock, stopwatch } from '../time.ts'
import { locate, Parked, Unfinished } from '../topology/failure.ts'
import { Meter } from '../topology/meter.ts'
import type { RecordContext } from '../topology/node.ts'
import type { Committer, Work } from './commit.ts'
import type { IdleTime } from './idleTime.ts'
import type { Inbox } from './inbox.ts'
import type { Intake } from './intake.ts'
import type { Logger } from './port.ts'
import type { SourceQueue } from './queue.ts'
import type { Schedules } from './schedule.ts'
import type { StreamTime } from './streamTime.ts'
import { turn } from './turns.ts'

/** A slice of work ends after this many ms, and the event loop has its turn. */
const SLICE_MS = 25
/** Rows announced to the stores at once. */
const PREFETCH_ROWS = 4_096
/** Rows between two looks at the stopwatch, at most; fewer when records are slow. */
const MAX_CHUNK = 64
/** A look at the stopwatch that comes later than this is told; less may be the machine's other work. */
const WARN_MS = 200
/** How long a pump that failed waits for its commit under way. */
const LAST_COMMIT_MS = 2_000
/** Between two warnings about the same task. */
const WARN_EVERY_MS = 60_000

/** The head of an operator chain. */
export interface PumpSource {
  // biome-ignore lint/suspicious/noExplicitAny: a task carries records of every type
  process(record: StreamRecord<any, any>): MaybePromise<void>
  prefetch(set: RecordSet, from: number, to: number): MaybePromise<void>
}

export interface PumpOptions {
  readonly taskId: string
  readonly intake: Intake
  readonly sourceOf: (topic: string) => PumpSource
  readonly work: Work
  /** Times of operators are taken from here on; undefined ends it. */
  readonly measure: (meter: Meter | undefined) => void
  readonly schedules: Schedules
  readonly streamTime: StreamTime
  readonly idleTime: IdleTime
  /** The log holds no more of our partitions than was taken. */
  readonly atEnd: () => Promise<boolean>
  readonly committer: Committer
  readonly inbox: Inbox
  readonly stores: (name: string) => unknown
  readonly producer: Pick<Producer, 'kick' | 'room' | 'pendingBytes'>
  readonly outboxBytes: number
  /** Too much is kept that only a commit can free: changed rows cannot be evicted before they are persisted. */
  readonly full: () => boolean
  /** Grows with everything that a record may change; undefined where nobody asks. */
  readonly marks?: (() => number) | undefined
  readonly commitIntervalMs: number
  /** Batch run: somebody waits for positions that only passed markers. */
  readonly commitBehind?: boolean
  readonly clock: Clock
  readonly logger: Logger
}

export class Pump {
  readonly #o: PumpOptions
  readonly #sources = new Map<SourceQueue, PumpSource>()
  #current: SourceQueue | undefined // whose head is in the operators' hands
  #placed: RecordContext | undefined | null = null // of a record taken earlier, while it is passed on; null = none
  /** It was drained while a record waited in hand: what is not committed is to be given up. */
  unfinished = false
  #mark = 0 // of changes, when the record in hand was taken
  #leave: (() => void) | undefined // ends a wait with a record in hand
  #pass: (() => void) | undefined // ends a wait for room in the outbox
  #aborted = false
  #paused = false
  #draining = false
  #running = false
  #failure: { readonly error: unknown } | undefined // from outside: a reader's error
  #holders: (() => void)[] = [] // waiting for "settled"
  #holdAsked = false
  #committing: Promise<void> | undefined // a commit's way through the log, beside the work; never rejects
  #woken = false
  #wake: (() => void) | undefined // ends the sleep
  #lastCommit: number
  #chunk = 16
  #sliceOver = false
  #lastWarning = Number.NEGATIVE_INFINITY
  #meter: Meter | undefined // since something was slow, until it is known what
  #looking = false // whether the log holds more is being asked

  constructor(options: PumpOptions) {
    this.#o = options
    this.#lastCommit = options.clock.now()
    for (const queue of options.intake.queues) this.#sources.set(queue, options.sourceOf(queue.tp.topic))
  }

  /** Where the record in hand came from; undefined in punctuators and flushes. */
  get source(): RecordContext | undefined {
    if (this.#placed !== null) return this.#placed
    const queue = this.#current
    if (queue === undefined) return undefined
    return queue.origin
  }

  /** What `source` gives until the next call; null = the record in hand. @returns what was set before */
  place(source: RecordContext | undefined | null): RecordContext | undefined | null {
    const before = this.#placed
    this.#placed = source
    return before
  }

  /** The record in hand is the head of a queue, and has changed nothing yet. */
  get untouched(): boolean {
    const { marks, work } = this.#o
    return this.#current !== undefined && this.#placed === null && !work.unsettled && marks?.() === this.#mark
  }

  /** With a record in hand. @throws Unfinished when the task is to leave: it does so without a commit, as one that crashed */
  wait(delayMs: number): Promise<void> {
    const { clock } = this.#o
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clock.clearTimeout(timer)
        reject(new Unfinished())
      }
      const timer = clock.setTimeout(() => {
        this.#leave = undefined
        resolve()
      }, delayMs)
      this.#leave = leave
      if (this.#draining || this.#aborted) leave()
    })
  }

  /** Something came that the pump may wait for. Cheap: called for every fetched batch. */
  wake(): void {
    this.#woken = true
    this.#wake?.()
  }

  hold(): Promise<void> {
    if (!this.#running) this.#o.committer.held = true
    if (this.#o.committer.held) return Promise.resolve()
    this.#holdAsked = true
    return new Promise((resolve) => {
      this.#holders.push(resolve)
      this.wake()
    })
  }

  renew(meta: GroupMeta): void {
    this.#o.committer.renew(meta)
    this.#settleHold()
    this.wake()
  }

  pause(): void {
    this.#paused = true
    this.wake()
  }

  resume(): void {
    this.#paused = false
    this.wake()
  }

  drain(): void {
    this.#draining = true
    this.#leave?.()
    this.wake()
  }

  /** Makes `run` reject: for errors that come from outside the loop. */
  fail(error: unknown): void {
    this.#failure ??= { error }
    this.#pass?.()
    this.wake()
  }

  /** Resolves when drained; rejects with the signal's reason on abort, without a commit. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, inbox } = this.#o
    const onAbort = (): void => {
      this.#aborted = true
      this.#leave?.()
      this.#pass?.()
      this.#o.work.abandon()
      this.wake()
    }
    signal.addEventListener('abort', onAbort)
    const over = new AbortController()
    this.#running = true
    inbox.open()
    try {
      await this.#loop(signal, AbortSignal.any([signal, over.signal]))
    } catch (error) {
      if (!(error instanceof Unfinished)) throw error
      signal.throwIfAborted()
      this.unfinished = true
    } finally {
      // What failed came after the commit under way, which may end well. The database must not be closed under its write.
      const timer = clock.setTimeout(() => over.abort(this.#failure?.error), LAST_COMMIT_MS)
      await this.#committing
      clock.clearTimeout(timer)
      this.#running = false
      this.#current = undefined
      inbox.close()
      this.#settleHold()
      signal.removeEventListener('abort', onAbort)
    }
  }

  async #loop(signal: AbortSignal, commits: AbortSignal): Promise<void> {
    const { clock, committer, idleTime, inbox, producer, schedules, outboxBytes, work } = this.#o
    for (;;) {
      await turn()
      signal.throwIfAborted()
      if (this.#failure !== undefined) throw this.#failure.error
      this.#woken = false
      if (inbox.waiting) await inbox.serve(this.#o.stores)
      const now = clock.now()
      let worked = false
      if (work.unsettled) await work.settle(false)
      if (!this.#paused && !this.#draining) {
        if (schedules.nextWall <= now) worked = (await schedules.fire('wall', now)) > 0
        if (idleTime.next <= now) this.#look(now)
        if (idleTime.passing && !committer.held) worked = (await this.#passIdle()) || worked
        // Full while commits are held: nothing can be evicted, so taking more would only grow.
        else if (!(committer.held && this.#o.full()) && !committer.undecided)
          worked = (await this.#slice(now, signal)) || worked
      }
      if (inbox.asking && !this.#paused && !this.#draining && !committer.held && !committer.undecided)
        await inbox.work()
      // It found nothing to change, and what it read is committed.
      if (inbox.owing && !committer.pending) {
        inbox.seal()
        inbox.committed()
      }
      if (this.#pressing) await this.#committed()
      if (this.#commitDue(clock.now())) {
        await this.#commit(commits)
        if (this.#pressing) await this.#committed()
        worked = true // what waited for it may be due now
      }
      if (this.#holdAsked) {
        if (!committer.held) committer.held = true
        this.#settleHold()
      }
      if (this.#draining && !committer.pending) return
      producer.kick()
      if (producer.pendingBytes > outboxBytes) await this.#room()
      else if (!worked) await this.#sleep()
    }
  }

  /**
   * Time may go on by wall clock only when the log is known to hold nothing more: a broker that is away looks like one without records. Asked
   * in the background, since the answer may be long in coming.
   */
  #look(now: number): void {
    if (this.#looking) return
    this.#looking = true
    const { idleTime, intake, streamTime, clock } = this.#o
    this.#o
      .atEnd()
      .catch(() => false)
      .then((atEnd) => {
        this.#looking = false
        // Records may have come meanwhile.
        if (!atEnd || intake.queues.some((queue) => queue.set !== undefined)) idleTime.later(now)
        else if (idleTime.next <= clock.now()) idleTime.begin(clock.now(), streamTime.now)
        this.wake()
      })
  }

  /** @returns false when a commit must flush first: what an operator gives on must have come to the next before its time goes on */
  async #passIdle(): Promise<boolean> {
    const { committer, idleTime, work } = this.#o
    if (committer.dirty || work.unsettled) return false
    await idleTime.step()
    return true
  }

  /** At most SLICE_MS of records. @returns false when there was nothing to take */
  async #slice(now: number, signal: AbortSignal): Promise<boolean> {
    const { idleTime, intake, schedules, streamTime, producer, outboxBytes, committer } = this.#o
    const started = stopwatch()
    let worked = false
    this.#sliceOver = false
    for (;;) {
      const queue = intake.pick(now)
      if (queue === undefined) return worked
      if (!worked) idleTime.taken(now)
      worked = true
      const source = this.#sources.get(queue)!
      try {
        if (queue.row >= queue.prefetched) {
          const to = Math.min(queue.set!.count, queue.row + PREFETCH_ROWS)
          queue.prefetched = to
          const reading = source.prefetch(queue.set!, queue.row, to)
          if (reading !== undefined) await reading
        }
        const pending = this.#rows(queue, source, started)
        if (pending !== undefined) {
          await pending
          committer.records++
          queue.advance()
        }
      } catch (error) {
        if (!(error instanceof Parked)) throw locate(error, queue.source.name, this.source)
        queue.park(this.#o.clock.now() + error.delayMs)
      } finally {
        this.#current = undefined
      }
      if (streamTime.now >= schedules.nextStream) await schedules.fire('stream', streamTime.now)
      if (
        this.#sliceOver ||
        stopwatch() - started > SLICE_MS ||
        producer.pendingBytes > outboxBytes ||
        this.#o.full() ||
        signal.aborted ||
        this.#draining
      ) {
        return true
      }
    }
  }

  /**
   * Rows of one queue while they are due, synchronously. @returns a promise when an operator gave one: the head row is finished
   * when it resolves. No allocation here but the record itself.
   */
  #rows(queue: SourceQueue, source: PumpSource, started: number): MaybePromise<void> {
    const { intake, streamTime, schedules, committer, marks } = this.#o
    const { limit, limitIncluded } = intake
    let left = this.#chunk
    let before = stopwatch()
    this.#current = queue
    for (;;) {
      const time = queue.headTime()
      if (time < 0 || time > limit || (time === limit && !limitIncluded) || queue.row >= queue.prefetched) return
      if (time > queue.partitionTime) queue.partitionTime = time
      streamTime.observe(time)
      if (marks !== undefined) this.#mark = marks()
      const pending = source.process(queue.head())
      if (pending !== undefined) return pending
      committer.records++
      queue.advance()
      if (streamTime.now >= schedules.nextStream) return
      if (--left > 0) continue
      const after = stopwatch()
      const took = after - before
      // Aim at about 2 ms between looks: a slow operator is noticed after few records, a fast one pays nothing.
      if (took > 4) {
        this.#chunk = Math.max(1, this.#chunk >> 1)
        if (took > WARN_MS) this.#warnSlow(queue, took)
      } else if (took < 1 && this.#chunk < MAX_CHUNK) this.#chunk <<= 1
      if (after - started > SLICE_MS) {
        this.#sliceOver = true
        return
      }
      left = this.#chunk
      before = after
    }
  }

  #commitDue(now: number): boolean {
    const { committer, commitIntervalMs, inbox } = this.#o
    if (this.#committing !== undefined) return false
    const due = now - this.#lastCommit >= commitIntervalMs
    // For what has expired alone nobody waits.
    if (committer.held || !(committer.pending || this.#behind || (due && committer.expiring))) return false
    return due || inbox.owing || this.#pressing
  }

  /** Somebody waits for what is done to be committed. */
  get #pressing(): boolean {
    const { committer, idleTime, work } = this.#o
    return (
      this.#draining ||
      this.#paused ||
      this.#holdAsked ||
      committer.undecided ||
      (idleTime.passing && (committer.dirty || work.unsettled)) ||
      this.#o.full()
    )
  }

  get #behind(): boolean {
    return (this.#draining || this.#o.commitBehind === true) && this.#o.committer.behind
  }

  /** Begins a commit; the rest of it goes on beside the work. */
  async #commit(signal: AbortSignal): Promise<void> {
    const { committer, clock, inbox } = this.#o
    const cut = await committer.begin(signal)
    inbox.seal()
    this.#committing = committer
      .finish(cut, signal)
      .then(
        (done) => {
          if (done) inbox.committed()
        },
        (error) => this.fail(error)
      )
      .finally(() => {
        this.#committing = undefined
        this.#lastCommit = clock.now()
        this.wake()
      })
  }

  /** @throws what the commit under way failed with */
  async #committed(): Promise<void> {
    await this.#committing
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #settleHold(): void {
    this.#holdAsked = false
    for (const resolve of this.#holders.splice(0)) resolve()
  }

  /** A pump that is to end does not wait: what is behind the seal of a commit that has failed would never leave. */
  #room(): Promise<void> {
    const { producer, outboxBytes } = this.#o
    return new Promise((resolve, reject) => {
      this.#pass = resolve
      producer.room(outboxBytes).then(resolve, reject)
      if (this.#failure !== undefined || this.#aborted) resolve()
    })
  }

  /** Until something arrives, or the next thing is due. No polling: without work there is no timer. */
  async #sleep(): Promise<void> {
    if (this.#woken) return
    const { clock, intake, schedules, committer, commitIntervalMs } = this.#o
    let at = Number.POSITIVE_INFINITY
    const idleAt = this.#looking ? at : this.#o.idleTime.next
    if (!this.#paused && !this.#draining) at = Math.min(schedules.nextWall, idleAt, intake.retryAt ?? at)
    const commits =
      !committer.held && this.#committing === undefined && (committer.pending || this.#behind || committer.expiring)
    if (commits) at = Math.min(at, this.#lastCommit + commitIntervalMs)
    let timer: unknown
    await new Promise<void>((done) => {
      const resolve = (): void => done()
      this.#wake = resolve
      // A timer's longest delay is 2^31 - 1 ms; a later due time only means one more look.
      if (at < Number.POSITIVE_INFINITY) {
        timer = clock.setTimeout(resolve, Math.min(Math.max(0, at - clock.now()), 2_147_483_647))
      }
    })
    this.#wake = undefined
    if (timer !== undefined) clock.clearTimeout(timer)
  }

  /** The first time it is the source that is known; then operators are measured until it happens again, and the one is named. */
  #warnSlow(queue: SourceQueue, took: number): void {
    const { clock, logger, measure, taskId } = this.#o
    const now = clock.now()
    const slowest = this.#meter?.slowest
    if (slowest === undefined && now - this.#lastWarning < WARN_EVERY_MS) return
    this.#meter = slowest === undefined ? new Meter() : undefined
    measure(this.#meter)
    this.#lastWarning = now
    const { topic, partition } = queue.tp
    const ms = Math.round(took)
    const facts = { task: taskId, topic, partition, source: queue.source.name, ms, beforeOffset: queue.position }
    const held = `Task ${taskId} held the event loop for ${ms} ms with records of source "${queue.source.name}".`
    const mend = 'Heartbeats and other tasks wait meanwhile: make'
    if (slowest === undefined) logger.warn(facts, `${held} ${mend} the operators behind it lighter, or asynchronous.`)
    else {
      logger.warn(
        { ...facts, node: slowest.node, nodeMs: Math.round(slowest.ms) },
        `${held} Most of the time goes to "${slowest.node}". ${mend} it lighter, or asynchronous.`
      )
    }
  }
}
