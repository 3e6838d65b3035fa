/** The commit, in the order that keeps the store behind the log: flush, produce, offsets (and transaction), one database write. */
import { TransportError } from '../errors.ts'
import type { Group, GroupMeta, Offset, PartitionWriter, Producer, TxnProducer } from '../kafka/port.ts'
import { NO_HEADERS, tpKey } from '../record.ts'
import type { ChangelogSink, MaybePromise, TaskStore } from '../store/port.ts'
import { stopwatch } from '../time.ts'
import { abortable } from './abortable.ts'
import type { Outbox } from './outbox.ts'
import type { CommitFigures, TaskStep } from './port.ts'
import type { SourceQueue } from './queue.ts'
import type { SavedNumbers } from './saved.ts'
import { encodeTimes } from './streamTime.ts'

/** The part of a task's local state that a commit writes. */
export interface CommitState {
  position(store: string): { readonly next: number } | undefined
  setTime(slot: string, value: number): void
  /** The one write batch: data, positions by store name, times. */
  commit(positions: Map<string, number>): Promise<void>
}

/** What operators go on with after they have taken a record. */
export interface Work {
  readonly unsettled: boolean
  /** Passes on what has come out; with `all`, waits for the rest. */
  settle(all: boolean): MaybePromise<void>
  /** Ends waits: the task stops without a commit. */
  abandon(): void
}

export interface CommitterOptions {
  readonly taskId: string
  readonly partition: number
  /** 'exactly-once' when given with `sendOffsets`: offsets go into the transaction. */
  readonly producer: Producer | TxnProducer
  /** At-least-once commits; unused exactly-once. */
  readonly group: () => Group | undefined
  /** In topological order: a flush may change stores further down. */
  readonly stores: readonly TaskStore[]
  readonly changelogTopic: (store: string) => string
  readonly state: CommitState
  readonly queues: readonly SourceQueue[]
  readonly outbox: Outbox
  /** Settled before a flush: what it gives belongs to this commit, and only then are the records behind it done. */
  readonly work: Work
  /** Drops what is past retention, before the flush. See `TaskStore.cut`. */
  readonly expire: () => Promise<void>
  readonly saved: SavedNumbers
  readonly probe: (step: TaskStep) => void | Promise<void>
  readonly committed: (offsets: ReadonlyMap<string, number>, records: number, figures: CommitFigures) => void
}

export const partitionSlot = (topic: string, partition: number): string => `partition:${tpKey(topic, partition)}`
export const operatorSlot = (slot: string): string => `operator:${slot}`

function changelogSink(writer: PartitionWriter): ChangelogSink {
  // A deleted row may have no time of its own; the log knows none below 0.
  const sink: ChangelogSink = (key, value, timestamp) =>
    writer.append(Math.max(0, timestamp), key, 0, key.length, value, 0, value === null ? 0 : value.length, NO_HEADERS)
  sink.row = ({ bytes, timestamps, keyStart, keyEnd, valueStart, valueEnd }, at) => {
    const end = valueEnd[at]!
    const value = end < 0 ? null : bytes
    const time = Math.max(0, timestamps[at]!)
    writer.append(time, bytes, keyStart[at]!, keyEnd[at]!, value, valueStart[at]!, Math.max(0, end), NO_HEADERS)
  }
  return sink
}

/** What one commit is about: all that was done before it began. */
export interface Cut {
  /** On the stopwatch. */
  readonly began: number
  readonly produced: Promise<void>
  readonly offsets: Offset[]
  readonly records: number
}

/**
 * Commits for one task. Owned by the pump, which never has two under way, and calls `begin` with no record in hand.
 *
 * The race behind `held`: between the end of a group's join phase and the new assignment the broker refuses commits of the old generation,
 * though this task may keep its partition. So a refusal is no failure: the commit is left half done (stores flushed, outputs acknowledged,
 * in exactly-once inside the open transaction), processing goes on, and after `renew` the next commit starts over with the newer position,
 * in the same transaction.
 */
export class Committer {
  /** No commit starts until `renew`. */
  held = false
  /** Records taken since the last commit. */
  records = 0
  /** A transaction's commit was sent: from here on it must not be aborted. */
  tried = false
  /** A commit was begun and not ended: what it flushed still waits to be persisted. */
  unfinished = false
  #meta: GroupMeta | undefined
  readonly #options: CommitterOptions
  readonly #changelogs = new Map<string, { writer: PartitionWriter; sink: ChangelogSink }>()

  constructor(options: CommitterOptions) {
    this.#options = options
    const transactional = 'sendOffsets' in options.producer
    for (const [i, { spec }] of options.stores.entries()) {
      if (!spec.logged) continue
      // Without a transaction: state that is ahead of what comes after it, outputs and stores further down, would know the records that come
      // again, and may leave them out.
      const turn = transactional ? 0 : options.stores.length - i
      const writer = options.producer.writer(options.changelogTopic(spec.name), options.partition, turn)
      const sink = changelogSink(writer)
      this.#changelogs.set(spec.name, { writer, sink })
    }
  }

  get meta(): GroupMeta | undefined {
    return this.#meta
  }

  renew(meta: GroupMeta): void {
    this.#meta = meta
    this.held = false
  }

  /** There is something that a restart would do again. A position that only passed markers is none: it goes with the next work. */
  get pending(): boolean {
    return (
      this.records > 0 ||
      this.unfinished ||
      this.undecided ||
      this.#options.saved.changed ||
      this.#options.outbox.appended > 0 ||
      this.dirty
    )
  }

  /**
   * A start at the end of a partition that has no committed offset: a decision that a restart would take anew, further on. So it is committed
   * before the first record is taken; else the records between the two starts would be lost.
   */
  get undecided(): boolean {
    for (const { committed, source } of this.#options.queues) {
      if (committed < 0 && source.offsetReset === 'latest') return true
    }
    return false
  }

  /** Positions moved past what is committed, by markers or by a reset to the end. Worth a commit before leaving. */
  get behind(): boolean {
    for (const queue of this.#options.queues) if (queue.position > Math.max(queue.committed, 0)) return true
    return false
  }

  /** State has expired that only further commits remove. A restart has nothing to do again for it. */
  get expiring(): boolean {
    for (const store of this.#options.stores) if (store.expiring) return true
    return false
  }

  get dirty(): boolean {
    for (const store of this.#options.stores) if (store.dirty) return true
    return false
  }

  /**
   * The part of a commit that must not meet a record: what is done so far is flushed and sealed. What comes after belongs to the next
   * commit, and may be worked on before `finish` is through: nothing of it leaves (but at-least-once, where nothing is logged).
   */
  async begin(signal: AbortSignal): Promise<Cut> {
    const { outbox, producer, queues, saved, state } = this.#options
    signal.throwIfAborted()
    const began = stopwatch()
    this.unfinished = true
    await this.#flushStores(signal)
    await this.#step('commit:flushed', signal)
    // At-least-once and without a changelog nothing has to stay behind: a later output may be read before this commit is through, and its
    // latency is not that of a commit.
    const free = !('sendOffsets' in producer) && this.#changelogs.size === 0
    const produced = free ? producer.flush() : producer.seal()
    produced.catch(() => {}) // told by `finish`
    const numbers = saved.all()
    for (const { tp, partitionTime } of queues) {
      if (partitionTime >= 0) state.setTime(partitionSlot(tp.topic, tp.partition), partitionTime)
    }
    for (const [slot, value] of numbers) state.setTime(operatorSlot(slot), value)
    const cut = { began, produced, offsets: this.#offsets(numbers), records: this.records }
    this.records = 0
    saved.changed = false
    outbox.appended = 0
    return cut
  }

  /**
   * @returns false when the group refused the metadata: `held` is set, and the commit is to be repeated after `renew`
   * @throws the signal's reason when it aborted between two steps; TransportError 'fenced', 'unknown-outcome' …
   */
  async finish({ began, produced, offsets, records }: Cut, signal: AbortSignal): Promise<boolean> {
    const { producer, queues, state } = this.#options
    await abortable(produced, signal)
    await this.#step('commit:produced', signal)
    if (!(await this.#send(offsets, signal))) {
      this.records += records
      producer.unseal()
      return false
    }
    await this.#step('commit:offsets', signal)
    if ('sendOffsets' in producer) {
      this.tried = true
      // Left while under way its outcome is unknown, as after a crash: `tried` stays set.
      await abortable(producer.commit(), signal)
      this.tried = false
    }
    await this.#step('commit:committed', signal)
    const positions = this.#positions() // before anything newer is acknowledged
    producer.unseal()
    await state.commit(positions)
    this.unfinished = false
    queues.forEach((queue, i) => {
      queue.committed = offsets[i]!.offset
    })
    await this.#step('commit:persisted', signal)
    const lag = queues.reduce((sum, q) => sum + Math.max(0, q.end - q.position), 0)
    const figures = { ms: stopwatch() - began, lag }
    this.#options.committed(new Map(offsets.map((o) => [tpKey(o.topic, o.partition), o.offset])), records, figures)
    return true
  }

  async #step(name: TaskStep, signal: AbortSignal): Promise<void> {
    await this.#options.probe(name)
    // LOST may have come during the step: nothing of ours may follow it.
    signal.throwIfAborted()
  }

  /** Until nothing is dirty: what a store forwards may change stores after it, and, through a loop of user code, before it. */
  async #flushStores(signal: AbortSignal): Promise<void> {
    const { stores, expire, work } = this.#options
    const settle = async (): Promise<void> => {
      if (!work.unsettled) return
      await work.settle(true)
      signal.throwIfAborted() // it may have been abandoned
    }
    await settle()
    await expire()
    do {
      await settle()
      for (const store of stores) {
        if (!store.dirty) continue
        const flushing = store.flush(this.#changelogs.get(store.spec.name)?.sink)
        if (flushing) await flushing
      }
    } while (this.dirty || work.unsettled)
  }

  #offsets(saved: Map<string, number>): Offset[] {
    const { queues } = this.#options
    // The saved numbers ride on the first partition only; every commit names all partitions, so none of it gets old.
    return queues.map((queue, i) => ({
      topic: queue.tp.topic,
      partition: queue.tp.partition,
      offset: queue.position,
      metadata: encodeTimes(queue.partitionTime, i === 0 ? saved : new Map())
    }))
  }

  async #send(offsets: Offset[], signal: AbortSignal): Promise<boolean> {
    const { producer, group } = this.#options
    for (;;) {
      signal.throwIfAborted()
      const meta = this.#meta
      try {
        if (meta === undefined) return this.#hold()
        if ('sendOffsets' in producer) await abortable(producer.sendOffsets(meta, offsets), signal)
        else {
          const member = group()
          if (member === undefined) return this.#hold()
          await abortable(member.commit(meta, offsets), signal)
        }
        return true
      } catch (error) {
        if (!(error instanceof TransportError && (error.fault === 'stale-member' || error.fault === 'rebalancing')))
          throw error
        // Renewed while the answer was under way: no reason to wait.
        if (this.#meta === meta) return this.#hold()
      }
    }
  }

  #hold(): false {
    this.held = true
    return false
  }

  #positions(): Map<string, number> {
    const positions = new Map<string, number>()
    for (const [name, { writer }] of this.#changelogs) {
      // Stores without changes keep their position but get a fresh time on it: "nothing was missed until now".
      const next = writer.ackedNext >= 0 ? writer.ackedNext : this.#options.state.position(name)?.next
      if (next !== undefined) positions.set(name, next)
    }
    return positions
  }
}
