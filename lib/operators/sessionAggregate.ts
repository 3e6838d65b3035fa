/** One running value per key and session. */
import { type Headers, NO_HEADERS, type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { Windowed } from '../serde/windowed.ts'
import type { CachedRowStore } from '../store/cache/rowStore.ts'
import type { MaybePromise, Row } from '../store/port.ts'
import type { Change, Operator, OperatorContext } from '../topology/node.ts'
import type { Step } from './aggregate.ts'
import type { WindowBehaviour } from './behaviour.ts'
import { refuse } from './late.ts'
import { RowIds } from './rowIds.ts'
import {
  isMark,
  MARKED_KEY_AT,
  MARKS,
  markId,
  markTime,
  type Session,
  type Sessions,
  sessionsId
} from './sessionRow.ts'
import { TimeQueue } from './timeQueue.ts'
import type { SessionWindows } from './windows.ts'

/** The aggregate of two sessions that become one; null = nothing before. */
export type Merge<K, A> = (key: K, aggregate: A | null, other: A) => A

const NONE: Sessions<never> = { list: [] } // the value of a mark

interface Update<A> {
  readonly start: number
  readonly end: number
  /** What was given downstream before. */
  readonly old: A | null
  readonly value: A | null
  readonly headers: Headers
}

/**
 * A record joins all open sessions that lie within the gap of it, and they become one: the sessions that were go as deletions first, in the
 * order of time, then the new one with its end as time. A session is closed, and joins nothing, once stream time has passed its end by gap
 * and grace. What is closed stays in its row until a commit that has seen it is through. Drops null keys.
 * @example
 * t.stream(flights).groupByKey().windowedBy(session('30m')).count({ name: 'flights-in-a-row' })
 */
export class SessionAggregateOperator<K, V, A> implements Operator {
  readonly #name: string
  readonly #windows: SessionWindows
  readonly #step: Step<K, V, A>
  readonly #merge: Merge<K, A>
  readonly #behaviour: WindowBehaviour<K, V>
  readonly #onClose: boolean
  readonly #ids: RowIds<K>
  #store!: CachedRowStore<Sessions<A>>
  #context!: OperatorContext
  #caching = true
  #time = -1 // highest time seen here; kept over restarts by context.save
  #closed = Number.NEGATIVE_INFINITY // sessions that end before it are closed
  #marks!: TimeQueue // of sessions in the store
  #waiting: TimeQueue | undefined // on close: the marks of those that are not emitted
  #swept = Number.NEGATIVE_INFINITY // stream time by which closed sessions have left
  #updates = new Map<string, Update<A>[]>() // with a cache: since the last flush, by row, in the order of the last changes

  constructor(
    store: string,
    key: Serde<K>,
    windows: SessionWindows,
    step: Step<K, V, A>,
    merge: Merge<K, A>,
    behaviour: WindowBehaviour<K, V> = {}
  ) {
    this.#name = store
    this.#windows = windows
    this.#step = step
    this.#merge = merge
    this.#behaviour = behaviour
    this.#onClose = behaviour.emit === 'close'
    this.#ids = new RowIds(key)
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#store = context.store(this.#name) as unknown as CachedRowStore<Sessions<A>>
    this.#time = context.saved('time') ?? -1
    this.#closed = context.saved('closed') ?? Number.NEGATIVE_INFINITY
    this.#store.resume(this.#time)
    this.#store.order = marksAround
    this.#marks = new TimeQueue(this.#store, MARKS.from, MARKS.to)
    // What ended before was emitted.
    if (this.#onClose) this.#waiting = new TimeQueue(this.#store, markId(Math.max(0, this.#closed), ''), MARKS.to)
    this.#caching = this.#store.spec.caching
    const { idleMs } = this.#behaviour
    if (idleMs !== undefined) context.onIdle(idleMs, (time) => this.#goOn(time))
    if (this.#caching && !this.#onClose) this.#store.onFlush = (row) => this.#flush(row)
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const keys = this.#ids.ofRows(set, from, to, key)
    if (keys) return this.#store.prefetch(rows(keys))
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const key = this.#ids.of(record)
    if (key === undefined) return this.#context.drop('null-key')
    this.#observe(record.timestamp)
    const swept = this.#sweep()
    return swept === undefined ? this.#take(record, key) : swept.then(() => this.#take(record, key))
  }

  #observe(time: number): void {
    if (time <= this.#time) return
    this.#time = time
    this.#context.save('time', time)
    this.#store.observe(time)
    const { gap, grace } = this.#windows
    const closed = time - gap - grace
    if (closed <= this.#closed) return
    this.#closed = closed
    this.#context.save('closed', closed)
  }

  /** Time without a record. */
  #goOn(time: number): MaybePromise<void> {
    this.#observe(time)
    const swept = this.#sweep()
    return swept === undefined ? this.#emit(NO_HEADERS) : swept.then(() => this.#emit(NO_HEADERS))
  }

  #take(record: StreamRecord<K, V>, key: string): MaybePromise<void> {
    const row = this.#store.row(sessionsId(key))
    const taken = row instanceof Promise ? row.then((r) => this.#apply(r, record, key)) : this.#apply(row, record, key)
    return taken === undefined ? this.#emit(record.headers) : taken.then(() => this.#emit(record.headers))
  }

  #apply(row: Row<Sessions<A>>, record: StreamRecord<K, V>, key: string): MaybePromise<void> {
    const time = record.timestamp
    const { gap } = this.#windows
    const before = row.value?.list ?? []
    let to = before.length
    while (to > 0 && before[to - 1]!.start > time + gap) to--
    let from = to
    const least = Math.max(time - gap, this.#closed)
    while (from > 0 && before[from - 1]!.end >= least) from--
    const start = from < to ? Math.min(time, before[from]!.start) : time
    const end = from < to ? Math.max(time, before[to - 1]!.end) : time
    if (end < this.#closed) return refuse(this.#context, this.#behaviour.onLate, record, start, end, this.#closed)
    let aggregate: A | null = null
    for (let i = from; i < to; i++) aggregate = this.#merge(record.key, aggregate, before[i]!.value)
    const value = this.#step(aggregate, record) ?? null
    const list = before.slice(0, from)
    if (value !== null) list.push({ start, end, value })
    for (let i = to; i < before.length; i++) list.push(before[i]!)
    // One that has grown has the marks of what it was; a mark without a session finds nothing when its time comes.
    if (from === to && value !== null) this.#mark(time, key)
    const rowTime = list.length === 0 ? time : Math.max(time, row.timestamp)
    this.#store.set(row, list.length === 0 ? null : { list }, rowTime, record.headers)
    if (this.#onClose) return
    return this.#report(row.id, record, before.slice(from, to), { start, end, value })
  }

  #mark(time: number, key: string): void {
    const id = markId(time, key)
    const row = this.#store.known(id, null)
    this.#store.set(row, NONE, time, NO_HEADERS)
    this.#marks.add(id)
    this.#waiting?.add(id)
  }

  #unmark(id: string, time: number): void {
    this.#store.set(this.#store.known(id, NONE), null, time, NO_HEADERS)
    this.#marks.remove(id)
    this.#waiting?.remove(id)
  }

  /** Downstream, now or at the next flush: the sessions that were, then the one that is. */
  #report(
    id: string,
    record: StreamRecord<K, V>,
    gone: readonly Session<A>[],
    now: {
      readonly start: number
      readonly end: number
      readonly value: A | null
    }
  ): MaybePromise<void> {
    const { headers } = record
    const told = now.start === now.end && gone.length === 1 && gone[0]!.start === now.start && gone[0]!.end === now.end
    const same = told && now.value !== null
    const old = same ? gone[0]!.value : null
    if (this.#caching) {
      const known = this.#updates.get(id) ?? []
      this.#updates.set(id, known)
      if (!same) for (const { start, end, value } of gone) note(known, start, end, value, null, headers)
      if (now.value !== null) note(known, now.start, now.end, old, now.value, headers)
      if (known.length === 0) this.#updates.delete(id)
      return
    }
    const updates: Update<A>[] = []
    if (!same) for (const { start, end, value } of gone) updates.push({ start, end, old: value, value: null, headers })
    // A function that gives null for a new session: as in Kafka Streams, a tombstone, unless the same one went out just now.
    if (now.value !== null || !told) updates.push({ ...now, old, headers })
    return this.#give(record.key, updates, 0)
  }

  #give(key: K, updates: readonly Update<A>[], from: number): MaybePromise<void> {
    for (let i = from; i < updates.length; i++) {
      const { start, end, old, value, headers } = updates[i]!
      const given = this.#forward(key, start, end, { value, old }, headers)
      if (given !== undefined) return given.then(() => this.#give(key, updates, i + 1))
    }
  }

  #flush(row: Row<Sessions<A>>): MaybePromise<void> {
    const updates = this.#updates.get(row.id)
    if (updates === undefined || isMark(row.id)) return
    this.#updates.delete(row.id)
    return this.#give(this.#ids.key(row.id, 1), updates, 0)
  }

  /** On close: sessions that are closed go on, in the order of time. */
  #emit(headers: Headers): MaybePromise<void> {
    const waiting = this.#waiting
    if (waiting === undefined || this.#closed <= 0) return
    const limit = markId(this.#closed, '')
    for (;;) {
      const id = waiting.next(limit)
      if (id instanceof Promise) return id.then(() => this.#emit(headers))
      if (id === undefined) return
      const row = this.#store.row(sessionsId(id.slice(MARKED_KEY_AT)))
      const given =
        row instanceof Promise ? row.then((r) => this.#final(r, id, headers)) : this.#final(row, id, headers)
      if (given !== undefined) return given.then(() => this.#emit(headers))
    }
  }

  #final(row: Row<Sessions<A>>, mark: string, headers: Headers): MaybePromise<void> {
    const at = this.#ended(row, mark)
    if (at < 0) return
    this.#waiting!.shift()
    const { start, end, value } = row.value!.list[at]!
    // The log has nothing of it: a crash brings all of its records again.
    if (row.sent === null) this.#leave(row, mark)
    return this.#forward(this.#ids.key(row.id, 1), start, end, { value, old: null }, headers)
  }

  /** Sessions that were closed when the last commit that is through began leave the store. */
  #sweep(): MaybePromise<void> {
    const { through } = this.#store
    // What is not given downstream yet must stay: with a cache, until the first record after a flush.
    if (through <= this.#swept || this.#updates.size > 0) return
    const { gap, grace } = this.#windows
    const closed = Math.max(0, through - gap - grace)
    const limit = markId(closed, '')
    for (;;) {
      const id = this.#marks.next(limit)
      if (id instanceof Promise) return id.then(() => this.#sweep())
      if (id === undefined) break
      const row = this.#store.row(sessionsId(id.slice(MARKED_KEY_AT)))
      if (row instanceof Promise) return row.then((r) => this.#leave(r, id)).then(() => this.#sweep())
      this.#leave(row, id)
    }
    this.#swept = through
  }

  #leave(row: Row<Sessions<A>>, mark: string): void {
    const at = this.#ended(row, mark)
    if (at < 0) return
    const list = row.value!.list.toSpliced(at, 1)
    this.#store.set(row, list.length === 0 ? null : { list }, row.timestamp, NO_HEADERS)
    this.#unmark(mark, markTime(mark))
  }

  /** Index of the session that ends at the mark; -1 when there is none: then one that has grown gets a mark at its end instead. */
  #ended(row: Row<Sessions<A>>, mark: string): number {
    const time = markTime(mark)
    const list = row.value?.list ?? []
    const at = list.findIndex(({ start, end }) => start <= time && time <= end)
    const end = list[at]?.end
    if (end === time) return at
    // In this order: half of it may get into the log.
    if (end !== undefined) this.#mark(end, mark.slice(MARKED_KEY_AT))
    this.#unmark(mark, time)
    return -1
  }

  #forward(key: K, start: number, end: number, change: Change<A>, headers: Headers): MaybePromise<void> {
    const windowedKey: Windowed<K> = { key, start, end }
    return this.#context.forward(new StreamRecord(windowedKey, change, end, headers))
  }
}

/** One update a session; it goes in the order of the last changes. Searched from the end: the session that grows is the last one. */
function note<A>(
  known: Update<A>[],
  start: number,
  end: number,
  old: A | null,
  value: A | null,
  headers: Headers
): void {
  let first = old
  for (let i = known.length - 1; i >= 0; i--) {
    const update = known[i]!
    if (update.end !== end || update.start !== start) continue
    first = update.old
    known.splice(i, 1)
    break
  }
  if (first !== null || value !== null) known.push({ start, end, old: first, value, headers })
}

/**
 * New marks before the rows, marks that go behind them. A row that was changed already stands before the mark of a session that it got later:
 * with the row alone in the log, the record that comes again would join that session, which has no mark and would never close.
 */
function marksAround<R extends Row<unknown>>(rows: R[]): R[] {
  const set = rows.filter(({ id, value }) => isMark(id) && value !== null)
  const gone = rows.filter(({ id, value }) => isMark(id) && value === null)
  return set.length + gone.length === 0 ? rows : [...set, ...rows.filter(({ id }) => !isMark(id)), ...gone]
}

function* rows(keys: readonly (string | undefined)[]): Generator<string> {
  for (const key of keys) if (key !== undefined) yield sessionsId(key)
}
