/** Keeps global tables up with their topics: all of them before the first task starts, then for as long as the process lives. */
import { StoreCorruptedError, TopicError, type TransportError } from '../errors.ts'
import type { Batch, Transport } from '../kafka/port.ts'
import { type RecordSet, type Tp, tpKey } from '../record.ts'
import type { GlobalPart, GlobalState } from '../store/globalState.ts'
import { type Clock, delay } from '../time.ts'
import type { RestoreReader } from './restore.ts'
import { TOMBSTONES_KEPT_MS } from './topics.ts'

/** Bytes read and not yet written at which a partition pauses. */
const HIGH_BYTES = 2 << 20

export interface FollowedTable {
  readonly store: string
  readonly topic: string
  readonly partitions: number
}

export interface GlobalFollowerOptions {
  readonly state: GlobalState
  readonly tables: readonly FollowedTable[]
  readonly transport: Pick<Transport, 'offsets' | 'admin'>
  /** Of this follower alone, isolation 'committed'. */
  readonly reader: RestoreReader
  readonly clock: Clock
  /** Ends `fill`. */
  readonly signal: AbortSignal
  /** It cannot go on: the rows would get old unnoticed. Not called for what `fill` throws. */
  readonly failed: (error: unknown) => void
  /** Records of the partition are in the table. */
  readonly applied?: (tp: Tp) => void | Promise<void>
}

interface Tail {
  readonly table: FollowedTable
  readonly tp: Tp
  /** The end that `fill` waits for. */
  readonly end: number
  since: number // when the rows below `written` were whole
  next: number // behind what was received
  written: number
  lso: number
  bytes: number
  sets: RecordSet[]
  paused: boolean
}

/**
 * @example
 * const follower = new GlobalFollower({ state, tables, transport, reader, clock, signal, failed })
 * await follower.fill()
 * await follower.close()
 */
export class GlobalFollower {
  readonly #options: GlobalFollowerOptions
  #tails: Tail[] = []
  #failure: { readonly error: unknown } | undefined
  #closed = false
  readonly #useless = new Set<string>() // tables to be read anew at the next start
  #filled: { resolve(): void; reject(error: unknown): void } | undefined // while `fill` waits
  #wake: () => void = () => {}
  #running: Promise<void> = Promise.resolve()

  constructor(options: GlobalFollowerOptions) {
    this.#options = options
  }

  /**
   * Resolves when every table holds what its topic held at this call; goes on following.
   * @throws the signal's reason; TopicError ERR_GLOBAL_TABLE for faults that retrying does not mend
   */
  async fill(): Promise<void> {
    const { signal, reader } = this.#options
    signal.throwIfAborted()
    for (const table of this.#options.tables) this.#tails.push(...(await this.#tailsOf(table)))
    signal.throwIfAborted()
    const onAbort = (): void => this.#fail(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await new Promise<void>((resolve, reject) => {
        this.#filled = { resolve, reject }
        this.#running = this.#loop()
        for (const tail of this.#tails) {
          reader.add(
            tail.tp,
            tail.next,
            (batch) => this.#take(tail, batch),
            (error) => this.#lost(tail, error)
          )
        }
      })
    } finally {
      this.#filled = undefined
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Waits for the write under way; says that the positions are up to date. */
  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
    for (const { tp } of this.#tails) this.#options.reader.remove(tp)
    await this.#running
    const { state, clock } = this.#options
    for (const store of this.#useless) await state.wipe(store)
    if (this.#failure !== undefined) return
    const whole = this.#tails.filter((tail) => tail.written >= tail.lso)
    await state.write(
      whole.map(({ table, tp, written }) => ({ store: table.store, tp, sets: [], next: written, at: clock.now() }))
    )
  }

  async #tailsOf(table: FollowedTable): Promise<Tail[]> {
    const { state, transport, clock } = this.#options
    const { store, topic } = table
    const tps = Array.from({ length: table.partitions }, (_, partition) => ({ topic, partition }))
    const kept = await this.#tombstonesKept(topic)
    const now = clock.now()
    const starts = await transport.offsets(tps, 'start')
    const ends = await this.#reachedEnds(store, tps)
    const of = (offsets: Map<string, number>, { partition }: Tp): number => offsets.get(tpKey(topic, partition)) ?? 0
    // Behind the log's start rows may be missing, past its end they are another topic's, too old a position has missed tombstones.
    const useless = tps.some((tp) => {
      const known = state.position(store, tp)
      if (known === undefined) return false
      const { next, at } = known
      return next < of(starts, tp) || next > of(ends, tp) || (next < of(ends, tp) && now - at > kept)
    })
    if (useless || state.strange(store, tps)) await state.wipe(store)
    return tps.map((tp) => {
      const known = state.position(store, tp)
      const next = known?.next ?? of(starts, tp)
      const since = known?.at ?? now
      const end = of(ends, tp)
      return { table, tp, end, since, next, written: next, lso: end, bytes: 0, sets: [], paused: false }
    })
  }

  /** Only compaction removes tombstones; what is deleted by age or by hand moves the start of the log. */
  async #tombstonesKept(topic: string): Promise<number> {
    const settings = await this.#options.transport.admin.describe(topic)
    if (!(settings['cleanup.policy'] ?? 'delete').includes('compact')) return Number.POSITIVE_INFINITY
    return Number(settings['delete.retention.ms'] ?? TOMBSTONES_KEPT_MS)
  }

  /** A new leader may for a moment say an end below our position; it is asked again before that counts as a topic made anew. */
  async #reachedEnds(store: string, tps: Tp[]): Promise<Map<string, number>> {
    const { state, transport, clock, signal } = this.#options
    for (let attempt = 0; ; attempt++) {
      const ends = await transport.offsets(tps, 'lso')
      const behind = tps.some(
        (tp) => (state.position(store, tp)?.next ?? 0) > (ends.get(tpKey(tp.topic, tp.partition)) ?? 0)
      )
      if (!behind || attempt >= 5) return ends
      await delay(clock, 200, signal)
    }
  }

  #take(tail: Tail, batch: Batch): void {
    tail.next = batch.next
    tail.lso = batch.lso
    tail.bytes += batch.bytes
    if (batch.records.count > 0) tail.sets.push(batch.records)
    if (!tail.paused && tail.bytes >= HIGH_BYTES) {
      tail.paused = true
      this.#options.reader.pause(tail.tp)
    }
    this.#wake()
  }

  async #loop(): Promise<void> {
    try {
      while (!this.#closed && this.#failure === undefined) {
        if (this.#tails.every((tail) => tail.written >= tail.end)) this.#filled?.resolve()
        const moved = this.#tails.filter((tail) => tail.next > tail.written)
        if (moved.length > 0) await this.#write(moved)
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
        }
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  async #write(moved: readonly Tail[]): Promise<void> {
    const { state, reader, clock, applied } = this.#options
    const parts: GlobalPart[] = moved.map((tail) => {
      if (tail.next >= tail.lso) tail.since = clock.now()
      const { table, tp, sets, next, since } = tail
      tail.sets = []
      tail.bytes = 0
      return { store: table.store, tp, sets, next, at: since }
    })
    await state.write(parts)
    for (const [i, tail] of moved.entries()) {
      tail.written = parts[i]!.next
      if (tail.paused) {
        tail.paused = false
        reader.resume(tail.tp)
      }
      if (parts[i]!.sets.length > 0) await applied?.(tail.tp)
    }
  }

  /** The reader has given the partition up. */
  #lost(tail: Tail, error: TransportError): void {
    if (this.#closed) return
    const { store, topic } = tail.table
    const details = { store, topic, partition: tail.tp.partition, position: tail.next }
    if (error.fault !== 'out-of-range') {
      const text =
        `Global table "${store}" cannot follow partition ${tail.tp.partition} of its topic "${topic}" any more: ${error.message} ` +
        'Mend that and start again: until then its rows would get old unnoticed.'
      this.#fail(new TopicError(text, { code: 'ERR_GLOBAL_TABLE', cause: error, details }))
      return
    }
    this.#useless.add(store) // not now: tasks still read it
    const text =
      `Global table "${store}" stands at offset ${tail.next} of partition ${tail.tp.partition} of "${topic}", which the topic does not hold any more: it was made anew, ` +
      'or deletes faster than it is read. Start again: the table is then read from the beginning.'
    this.#fail(new StoreCorruptedError(text, { code: 'ERR_GLOBAL_TABLE', cause: error, details }))
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = { error }
    this.#wake()
    if (this.#filled) this.#filled.reject(error)
    else if (!this.#closed) this.#options.failed(error)
  }
}
