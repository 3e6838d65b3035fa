/** What the two sides of a stream-stream join share: stream time, and the records that wait for their window to close. */
import { type Headers, NO_HEADERS, type Serde, StreamRecord } from '../record.ts'
import { windowId, windowStart } from '../store/bytes.ts'
import type { CachedRowStore } from '../store/cache/rowStore.ts'
import type { MaybePromise, Row, TaskStore } from '../store/port.ts'
import type { OperatorContext } from '../topology/node.ts'
import type { Pending } from './joinRows.ts'
import { RowIds } from './rowIds.ts'
import { TimeQueue } from './timeQueue.ts'

/** All in ms. */
export interface JoinSpan {
  /** A left record takes right ones of `[time − before, time + after]`. Either may be negative, their sum is not. */
  readonly before: number
  readonly after: number
  readonly grace: number
  /** Width of the buckets that rows hold. */
  readonly bucket: number
}

interface JoinFacts<K> {
  readonly key: Serde<K>
  readonly span: JoinSpan
  readonly left: string
  readonly right: string
  readonly self: boolean
  readonly pending: string | undefined
  readonly optional: { readonly left: boolean; readonly right: boolean }
  // biome-ignore lint/suspicious/noExplicitAny: typed by the builder
  readonly joiner: (left: any, right: any, key: K) => unknown
  /** While no record comes for so long, ms, time goes on by wall clock. */
  readonly idleMs?: number | undefined
}

const RIGHT = '\u0000' // first character of a pending row's id, then time(8) ‖ key
const LEFT = '\u0001'
const BEHIND_LEFT = '\u0002'
const KEY_AT = 9

/**
 * Waiting records are rows `side ‖ time ‖ key` of a store, so that they survive; the next ones due are at hand in memory. Whatever is
 * due comes out in one go: in the order of time, at equal times the right side's first, then by key.
 */
export class StreamJoinState<K> {
  /** Highest event time of both sides; kept over restarts. */
  time: number
  readonly pending: CachedRowStore<Pending> | undefined
  readonly #facts: JoinFacts<K>
  readonly #context: OperatorContext // the left side's: numbers are saved under its name
  readonly #ids: RowIds<K>
  readonly #retention: number
  readonly #stored: { left: number; right: number } // highest time put into each side's store
  readonly #queues: { left: TimeQueue; right: TimeQueue } | undefined
  #limitFor = -1 // stream time that the limits below are for
  #leftLimit = ''
  #rightLimit = ''

  constructor(facts: JoinFacts<K>, context: OperatorContext) {
    const { before, after, grace } = facts.span
    this.#facts = facts
    this.#context = context
    this.#ids = new RowIds(facts.key)
    this.#retention = before + after + grace
    this.time = context.saved('time') ?? -1
    this.#stored = { left: context.saved('left') ?? -1, right: context.saved('right') ?? -1 }
    if (facts.pending === undefined) return
    if (facts.idleMs !== undefined) {
      context.onIdle(facts.idleMs, (time) => {
        this.observe(time)
        return this.emitDue(context, NO_HEADERS)
      })
    }
    this.pending = context.store(facts.pending) as TaskStore as CachedRowStore<Pending>
    this.#queues = {
      left: new TimeQueue(this.pending, LEFT, BEHIND_LEFT),
      right: new TimeQueue(this.pending, RIGHT, LEFT)
    }
  }

  observe(time: number): void {
    if (time <= this.time) return
    this.time = time
    this.#context.save('time', time)
  }

  /** A side's store begins where it stood. */
  resumeStored(left: boolean, store: TaskStore): void {
    store.resume(this.#stored[left ? 'left' : 'right'])
  }

  /** A record went into a side's store. */
  observeStored(left: boolean, time: number, store: TaskStore): void {
    const side = left ? 'left' : 'right'
    if (time <= this.#stored[side]) return
    this.#stored[side] = time
    this.#context.save(side, time)
    store.observe(time)
  }

  /** The first time that a look into this side's store sees. */
  oldest(left: boolean): number {
    // The right side alone puts into a store that both share.
    const own = left && this.#facts.left !== this.#facts.right ? this.#stored.left : this.#stored.right
    const oldest = own - this.#retention
    // With itself: the record in hand has moved that time already, and still finds what is a whole window away.
    return this.#facts.self ? oldest : oldest + 1
  }

  pendingId(left: boolean, time: number, key: string): string {
    return (left ? LEFT : RIGHT) + windowId(time, key)
  }

  /**
   * Puts a record without a partner aside.
   * @param others there are waiting records of that key and time: else there is no row, and none is looked for
   */
  wait(left: boolean, time: number, key: string, value: unknown, others: boolean): MaybePromise<void> {
    const store = this.pending!
    const id = this.pendingId(left, time, key)
    const row = others ? store.row(id) : store.known(id, null)
    const put = (read: Row<Pending>): void => {
      const values = read.value?.values ?? []
      values.push(value)
      store.set(read, read.value ?? { left, values }, time, NO_HEADERS)
      this.#queue(left).add(id)
    }
    return row instanceof Promise ? row.then(put) : put(row)
  }

  /** Records of that key and time have a partner now. */
  settle(left: boolean, time: number, key: string): MaybePromise<void> {
    const store = this.pending!
    const id = this.pendingId(left, time, key)
    this.#queue(left).remove(id)
    const row = store.row(id)
    const remove = (read: Row<Pending>): void => {
      if (read.value !== null) store.set(read, null, time, NO_HEADERS)
    }
    return row instanceof Promise ? row.then(remove) : remove(row)
  }

  /** Everything whose window has closed comes out, with the headers of the record that moved the time. */
  emitDue(context: OperatorContext, headers: Headers): MaybePromise<void> {
    if (this.#limitFor !== this.time) {
      const { before, after, grace } = this.#facts.span
      this.#limitFor = this.time
      // Due: time + ahead + grace < stream time. Ids are compared with the first that is not due.
      this.#leftLimit = LEFT + windowId(Math.max(0, this.time - after - grace), '')
      this.#rightLimit = RIGHT + windowId(Math.max(0, this.time - before - grace), '')
    }
    const { left, right } = this.#queues!
    for (;;) {
      const l = left.next(this.#leftLimit)
      const r = right.next(this.#rightLimit)
      if (l instanceof Promise || r instanceof Promise) {
        return Promise.all([l, r]).then(() => this.emitDue(context, headers))
      }
      if (l === undefined && r === undefined) return
      const rightFirst = l === undefined || (r !== undefined && r.slice(1, KEY_AT) <= l.slice(1, KEY_AT))
      const emitted = this.#emit(rightFirst ? r! : l, rightFirst ? right : left, context, headers)
      if (emitted !== undefined) return emitted.then(() => this.emitDue(context, headers))
    }
  }

  #emit(id: string, queue: TimeQueue, context: OperatorContext, headers: Headers): MaybePromise<void> {
    const row = this.pending!.row(id)
    if (row instanceof Promise) return row.then(() => this.#emit(id, queue, context, headers))
    const pending = row.value
    const time = windowStart(id.slice(1, KEY_AT))
    queue.shift()
    this.pending!.set(row, null, time, NO_HEADERS)
    if (pending !== null) return this.#forward(pending, 0, this.#ids.key(id, KEY_AT), time, context, headers)
  }

  #forward(
    { left, values }: Pending,
    from: number,
    key: K,
    time: number,
    context: OperatorContext,
    headers: Headers
  ): MaybePromise<void> {
    const { joiner } = this.#facts
    for (let i = from; i < values.length; i++) {
      const value = left ? joiner(values[i], null, key) : joiner(null, values[i], key)
      const waiting = context.forward(new StreamRecord(key, value, time, headers))
      if (waiting !== undefined) {
        return waiting.then(() => this.#forward({ left, values }, i + 1, key, time, context, headers))
      }
    }
  }

  #queue(left: boolean): TimeQueue {
    return left ? this.#queues!.left : this.#queues!.right
  }
}
