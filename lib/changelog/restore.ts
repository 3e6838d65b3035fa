/** Brings the stores of a task up to the end of their changelogs, and keeps a standby's there: only the tail behind the local position is read. */
import { StoreCorruptedError, type TransportError } from '../errors.ts'
import type { Batch, Transport } from '../kafka/port.ts'
import { type RecordSet, type Tp, tpKey } from '../record.ts'
import type { StoreSpec } from '../store/port.ts'
import type { RestoredPart, TaskState } from '../store/taskState.ts'
import { type Clock, delay } from '../time.ts'
import { changelogTopic, TOMBSTONES_KEPT_MS, tombstonesKept } from './topics.ts'

/** The shared reader of lane 'restore', isolation 'committed'. `onError` hears of faults of that partition which retrying does not mend. */
export interface RestoreReader {
  add(tp: Tp, offset: number, sink: (batch: Batch) => void, onError: (error: TransportError) => void): void
  pause(tp: Tp): void
  resume(tp: Tp): void
  remove(tp: Tp): void
}

export interface RestoreProgress {
  readonly store: string
  /** Offsets passed, of `total` = end − from. Compaction leaves gaps: it is not a count of records. */
  readonly restored: number
  readonly total: number
  readonly from: number
  readonly end: number
  /** Records written to the store so far. */
  readonly records: number
}

export interface RestoreOptions {
  readonly state: TaskState
  /** The stores to restore (the logged ones), each with its changelog partition. */
  readonly changelogs: readonly Changelog[]
  readonly transport: Pick<Transport, 'offsets'>
  readonly reader: RestoreReader
  readonly clock: Clock
  readonly signal: AbortSignal
  /** After each write to the database, and once per store that had nothing to read. */
  readonly onProgress?: (progress: RestoreProgress) => void
  /** Bytes collected over all stores before they are written. Default 512 KiB: some 25 ms of filling a batch, in which nothing else runs. */
  readonly batchBytes?: number
  /** A standby: at the end of the changelogs it waits for more, until the signal. Default false. */
  readonly follow?: boolean
}

export interface Changelog {
  readonly store: string
  readonly tp: Tp
  /** A position older than this may have missed tombstones: then the store is emptied and restored whole. Default 24 h. */
  readonly tombstonesKeptMs?: number
}

/** Those of a task's stores that have one. */
export const changelogsOf = (applicationId: string, stores: readonly StoreSpec[], partition: number): Changelog[] =>
  stores
    .filter((spec) => spec.logged)
    .map((spec) => ({
      store: spec.name,
      tp: { topic: changelogTopic(applicationId, spec.name), partition },
      tombstonesKeptMs: tombstonesKept(spec)
    }))

interface Tail {
  readonly store: string
  readonly tp: Tp
  readonly from: number
  /** Followed, it moves. */
  end: number
  /** When the rows below `next` were whole, the time that its position gets; and when those below `end` will have been. */
  since: number
  readonly asked: number
  next: number // behind what was received
  written: number // behind what is in the database
  records: number
  bytes: number // received and not written
  sets: RecordSet[] // owned here until handed to the write
  paused: boolean
}

/**
 * Replays the changelogs from the positions in the database to the last stable offset taken on entry. Positions are written with the
 * rows, so a crash in the middle goes on where it was. On abort it rejects with the signal's reason; the state stays valid.
 * With `follow` it ends by a rejection only.
 * @returns records written, over all stores.
 * @throws StoreCorruptedError when the log does not hold the position any more (or not yet: the topic was made anew). The caller
 * wipes the state (`TaskState.wipe()`) and restores again.
 * @throws TransportError for faults of the log that retrying does not mend.
 */
export async function restoreStores(options: RestoreOptions): Promise<number> {
  const { state, changelogs, signal } = options
  signal.throwIfAborted()
  if (changelogs.length === 0) return 0
  const tails = await findTails(options)
  signal.throwIfAborted()
  const done = tails.filter((tail) => tail.from >= tail.end)
  // Also those with nothing to read: their position is now known to be up to date, by the clock.
  if (done.length > 0) {
    await state.restoreBatch(done.map(({ store, from, since }) => ({ store, sets: [], next: from, at: since })))
    for (const tail of done) report(tail, options)
  }
  const open = options.follow ? tails : tails.filter((tail) => tail.from < tail.end)
  if (open.length > 0) await new Replay(open, options).run()
  return tails.reduce((sum, tail) => sum + tail.records, 0)
}

async function findTails(options: RestoreOptions): Promise<Tail[]> {
  const { state, changelogs, transport, clock } = options
  const tps = changelogs.map(({ tp }) => tp)
  const asked = clock.now()
  const [starts, ends] = await Promise.all([transport.offsets(tps, 'start'), reachedEnds(options, tps)])
  const tails: Tail[] = []
  for (const { store, tp, tombstonesKeptMs = TOMBSTONES_KEPT_MS } of changelogs) {
    const key = tpKey(tp.topic, tp.partition)
    const start = starts.get(key) ?? 0
    const end = ends.get(key) ?? 0
    const position = state.position(store)
    let from = position?.next ?? start
    if (position && (from < start || from > end)) throw outside(store, tp, from, start, end)
    let since = position?.at ?? asked
    const age = asked - since
    if (position && from < end && age > tombstonesKeptMs) {
      // Keys deleted since may have neither a record nor a tombstone left in the log: they would stay here for ever.
      await state.wipe(store)
      from = start
      since = asked
    }
    tails.push({
      store,
      tp,
      from,
      end,
      since: from < end ? since : asked,
      asked,
      next: from,
      written: from,
      records: 0,
      bytes: 0,
      sets: [],
      paused: false
    })
  }
  return tails
}

/**
 * The last stable offsets. A new leader may for a moment not know that what we wrote is replicated and say an end below our position;
 * so a position past the end is asked for again before it counts as a log made anew.
 */
async function reachedEnds({ state, changelogs, transport, clock, signal }: RestoreOptions, tps: Tp[]) {
  for (let attempt = 0; ; attempt++) {
    const ends = await transport.offsets(tps, 'lso')
    const behind = changelogs.some(
      ({ store, tp }) => (state.position(store)?.next ?? 0) > (ends.get(tpKey(tp.topic, tp.partition)) ?? 0)
    )
    if (!behind || attempt >= 5) return ends
    await delay(clock, 200, signal)
  }
}

/** One replay: sinks collect, one loop writes. */
class Replay {
  readonly #tails: readonly Tail[]
  readonly #options: RestoreOptions
  readonly #batchBytes: number
  #wake: () => void = () => {}
  #failure: { error: unknown } | undefined

  constructor(tails: readonly Tail[], options: RestoreOptions) {
    this.#tails = tails
    this.#options = options
    this.#batchBytes = options.batchBytes ?? 512 << 10
  }

  async run(): Promise<void> {
    const { reader, signal } = this.#options
    const onAbort = (): void => this.#fail(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    try {
      for (const tail of this.#tails) {
        reader.add(
          tail.tp,
          tail.from,
          (batch) => this.#take(tail, batch),
          (error) => this.#fail(readFault(tail, error))
        )
      }
      while (!this.#failure && (this.#options.follow || this.#tails.some((tail) => tail.written < tail.end))) {
        if (this.#ready()) await this.#write()
        else await this.#woken()
      }
      if (this.#failure) throw this.#failure.error
    } finally {
      signal.removeEventListener('abort', onAbort)
      for (const { tp } of this.#tails) reader.remove(tp)
    }
  }

  #take(tail: Tail, batch: Batch): void {
    const { follow, clock } = this.#options
    if (follow) tail.end = Math.max(batch.next, batch.lso)
    else if (tail.next >= tail.end) return // complete: a late answer brings nothing we need
    tail.next = batch.next
    const complete = tail.next >= tail.end
    // A restore that is broken off and taken up a day later must not pass for whole: tombstones of what it read may be gone by then.
    if (complete) tail.since = follow ? clock.now() : tail.asked
    tail.bytes += batch.bytes
    if (batch.records.count > 0) tail.sets.push(batch.records)
    // Bounded: one partition never holds more than a batch, however long a write takes.
    if (!tail.paused && (tail.bytes >= this.#batchBytes || (complete && !follow))) {
      tail.paused = true
      this.#options.reader.pause(tail.tp)
    }
    this.#wake()
  }

  /** Enough for a write, or nothing more to come. */
  #ready(): boolean {
    if (this.#options.follow) return this.#tails.some((tail) => tail.next > tail.written)
    let bytes = 0
    let open = false
    for (const tail of this.#tails) {
      bytes += tail.bytes
      if (tail.next < tail.end) open = true
    }
    return !open || bytes >= this.#batchBytes
  }

  async #write(): Promise<void> {
    const { state, reader } = this.#options
    const moved = this.#tails.filter((tail) => tail.next > tail.written)
    const parts: RestoredPart[] = []
    for (const tail of moved) {
      parts.push({ store: tail.store, sets: tail.sets, next: tail.next, at: tail.since })
      tail.sets = []
      tail.bytes = 0
    }
    await state.restoreBatch(parts)
    for (const [i, tail] of moved.entries()) {
      const { sets, next } = parts[i]!
      tail.written = next
      for (const set of sets) tail.records += set.count
      report(tail, this.#options)
      if (tail.paused && (this.#options.follow || tail.next < tail.end) && !this.#failure) {
        tail.paused = false
        reader.resume(tail.tp)
      }
    }
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#wake()
  }
}

function report(tail: Tail, { onProgress }: RestoreOptions): void {
  const { store, from, end, written, records } = tail
  onProgress?.({ store, restored: Math.min(written, end) - from, total: Math.max(0, end - from), from, end, records })
}

function readFault(tail: Tail, error: TransportError): Error {
  if (error.fault !== 'out-of-range') return error
  return new StoreCorruptedError(
    `The changelog ${tail.tp.topic}-${tail.tp.partition} of store "${tail.store}" has no offset ${tail.next} any more. The local state is wiped and restored whole.`,
    {
      cause: error,
      details: { store: tail.store, topic: tail.tp.topic, partition: tail.tp.partition, position: tail.next }
    }
  )
}

function outside(store: string, tp: Tp, position: number, start: number, end: number): StoreCorruptedError {
  const why =
    position < start
      ? `the log begins at ${start}: records behind the position were removed`
      : `the log ends at ${end}: was the topic made anew?`
  return new StoreCorruptedError(
    `Store "${store}" stands at offset ${position} of changelog ${tp.topic}-${tp.partition}, but ${why}. The local state is wiped and restored whole.`,
    { details: { store, topic: tp.topic, partition: tp.partition, position, start, end } }
  )
}
