/** Hosts a keyed behaviour in a task: a row per key, timers in their order, what it emits to named sinks. */
import { RowIds } from '../operators/rowIds.ts'
import { type RecordSet, type Serde, StreamRecord } from '../record.ts'
import type { CachedRowStore } from '../store/cache/rowStore.ts'
import type { MaybePromise, Row } from '../store/port.ts'
import type { Answer, Cancellable, Operator, OperatorContext, OperatorRequest } from '../topology/node.ts'
import { KeyedCall } from './keyedCall.ts'
import { EVENT, type KeyedRow, type Timer, type TimerClock, WALL } from './keyedRow.ts'
import type { KeyedLogic, Next } from './port.ts'
import { type Mark, Marks } from './timers.ts'

export interface KeyedNode<K, S> {
  readonly name: string
  /** Input names by topic. */
  readonly inputs: ReadonlyMap<string, string>
  /** Names of the sink nodes by output. */
  readonly outputs: ReadonlyMap<string, string>
  readonly key: Serde<K>
  readonly logic: () => KeyedLogic<K, S>
}

export const stateName = (behaviour: string): string => `${behaviour}-state`
export const timersName = (behaviour: string): string => `${behaviour}-timers`

/** How often wall-clock timers are looked at, ms. */
const WALL_GRID = 100

/**
 * Timers in event time that are due at the task's stream time fire before the record that moved it; in the order of time, key, name.
 */
export class KeyedOperator<K, S> implements Operator {
  readonly #node: KeyedNode<K, S>
  readonly #ids: RowIds<K>
  readonly #logic: KeyedLogic<K, S>
  #context!: OperatorContext
  #call!: KeyedCall<K>
  #rows!: CachedRowStore<KeyedRow<S>>
  #marks!: readonly [event: Marks, wall: Marks]
  #watching: Cancellable | undefined
  // The topic of the last record, and its input: runs of one topic are long.
  #topic = ''
  #input = ''

  constructor(node: KeyedNode<K, S>) {
    this.#node = node
    this.#ids = new RowIds(node.key)
    this.#logic = node.logic()
  }

  init(context: OperatorContext): void {
    const { name, outputs } = this.#node
    this.#context = context
    this.#call = new KeyedCall(name, outputs, context)
    this.#rows = context.store(stateName(name)) as unknown as CachedRowStore<KeyedRow<S>>
    const marks = context.store(timersName(name)) as unknown as CachedRowStore<Mark>
    this.#marks = [new Marks(marks, EVENT), new Marks(marks, WALL)]
    this.#watch()
  }

  /** Wakes the task by the wall clock, as long as timers wait for it: an idle task without any has nothing to wake for. */
  #watch(): void {
    this.#watching ??= this.#context.schedule(WALL_GRID, 'wall', (time) => {
      const fired = this.#marks[WALL].earliest <= time ? this.#fire(WALL, time) : undefined
      return fired === undefined ? this.#unwatch() : fired.then(() => this.#unwatch())
    })
  }

  #unwatch(): void {
    if (this.#marks[WALL].earliest !== Number.POSITIVE_INFINITY) return
    this.#watching?.cancel()
    this.#watching = undefined
  }

  prefetch(set: RecordSet, from: number, to: number, key: Serde<unknown>): MaybePromise<void> {
    const ids = this.#ids.ofRows(set, from, to, key)
    if (ids) return this.#rows.prefetch(ids.filter((id) => id !== undefined))
  }

  process(record: StreamRecord<K, unknown>): MaybePromise<void> {
    const id = this.#ids.of(record)
    if (id === undefined) return this.#context.drop('null-key')
    if (!record.hasValue()) return this.#context.drop('null-value')
    const now = this.#context.streamTime
    if (this.#marks[EVENT].earliest > now) return this.#receive(id, record)
    const fired = this.#fire(EVENT, now)
    return fired === undefined ? this.#receive(id, record) : fired.then(() => this.#receive(id, record))
  }

  #receive(id: string, record: StreamRecord<K, unknown>): MaybePromise<void> {
    const row = this.#rows.row(id)
    return row instanceof Promise ? row.then((r) => this.#work(r, record)) : this.#work(row, record)
  }

  #work(row: Row<KeyedRow<S>>, record: StreamRecord<K, unknown>): MaybePromise<void> {
    const topic = this.#context.source!.topic
    if (topic !== this.#topic) {
      this.#topic = topic
      this.#input = this.#node.inputs.get(topic)!
    }
    this.#call.ofRecord(record)
    const next = this.#logic.receive(this.#input, row.value?.state, record.value, this.#call)
    return this.#apply(row, next)
  }

  /** All timers that are due, each with its row; a timer may set others that are due too. */
  #fire(clock: TimerClock, time: number): MaybePromise<void> {
    const marks = this.#marks[clock]
    for (;;) {
      const mark = marks.due(time)
      if (mark instanceof Promise) return mark.then(() => this.#fire(clock, time))
      if (mark === undefined) return
      const row = this.#rows.row(mark.key)
      const fired =
        row instanceof Promise ? row.then((r) => this.#look(r, mark.due, clock)) : this.#look(row, mark.due, clock)
      if (fired !== undefined) return fired.then(() => this.#fire(clock, time))
    }
  }

  /** The mark of a key has come: its first timer fires if it is due by then, and the mark moves on. */
  #look(row: Row<KeyedRow<S>>, due: number, clock: TimerClock): MaybePromise<void> {
    const marks = this.#marks[clock]
    marks.shift()
    marks.remove(row.id, due)
    const kept = row.value
    if (kept === null || kept.marks[clock] !== due) return // of a key that has ended, or was marked anew
    kept.marks[clock] = -1
    const timer = first(kept.timers, clock)
    const fires = timer !== undefined && timer.due <= due
    if (fires) kept.timers.splice(kept.timers.indexOf(timer), 1)
    this.#call.ofTimer(this.#ids.key(row.id), due)
    // Before the call: when it throws and the record's rule says to go on, the timer is gone and the key is whole.
    this.#settle(row, kept)
    if (!fires) return
    const { key } = this.#call
    // Not the failure of the record in hand, should it fail.
    return this.#context.supervised(new StreamRecord(key, null, due), undefined, () => {
      this.#call.ofTimer(key, due)
      return this.#apply(row, this.#logic.timer(timer.name, kept.state, due, this.#call))
    })
  }

  answer(request: OperatorRequest): MaybePromise<Answer> {
    let id: string
    try {
      id = this.#ids.id(request.key as K)
    } catch (refused) {
      return { refused }
    }
    if (request.kind === 'query') return this.#query(id, request)
    const now = this.#context.streamTime
    const fired = this.#marks[EVENT].earliest > now ? undefined : this.#fire(EVENT, now)
    return fired === undefined ? this.#ask(id, request) : fired.then(() => this.#ask(id, request))
  }

  #query(id: string, { name, key, input }: OperatorRequest): MaybePromise<Answer> {
    const row = this.#rows.row(id)
    const read = ({ value }: Row<KeyedRow<S>>): Answer => {
      try {
        return { reply: this.#logic.query(name, value?.state, input, key as K) }
      } catch (refused) {
        return { refused }
      }
    }
    return row instanceof Promise ? row.then(read) : read(row)
  }

  #ask(id: string, { name, key, input }: OperatorRequest): MaybePromise<Answer> {
    const row = this.#rows.row(id)
    const work = (row: Row<KeyedRow<S>>): MaybePromise<Answer> => {
      this.#call.ofAsk(key as K)
      let next: Next<S>
      let done: Answer
      try {
        const { state, reply } = this.#logic.ask(name, row.value?.state, input, this.#call)
        next = state
        done = { reply }
      } catch (refused) {
        return { refused }
      }
      return this.#apply(row, next)?.then(() => done) ?? done
    }
    return row instanceof Promise ? row.then(work) : work(row)
  }

  #apply(row: Row<KeyedRow<S>>, next: Next<S>): MaybePromise<void> {
    const kept = row.value
    const { changes, emitted } = this.#call
    if (next === null) {
      if (kept !== null) this.#end(row, kept)
    } else if (changes.length > 0 || (next !== undefined && next !== kept?.state)) {
      const now = kept ?? { state: undefined, timers: [], marks: [-1, -1] as [number, number] }
      if (next !== undefined) now.state = next
      for (const { name, due, clock } of changes) {
        const at = now.timers.findIndex((timer) => timer.name === name)
        if (at >= 0) now.timers.splice(at, 1)
        if (due >= 0) now.timers.push({ name, due, clock })
      }
      this.#settle(row, now)
    }
    return emitted.length === 0 ? undefined : this.#emit(emitted.splice(0), 0)
  }

  #end(row: Row<KeyedRow<S>>, { marks }: KeyedRow<S>): void {
    for (const clock of [EVENT, WALL] as const) if (marks[clock] >= 0) this.#marks[clock].remove(row.id, marks[clock])
    this.#rows.set(row, null, Math.max(row.timestamp, this.#call.timestamp), [])
  }

  /** The row goes to the store, with marks that are not later than its timers. */
  #settle(row: Row<KeyedRow<S>>, now: KeyedRow<S>): void {
    if (now.state === undefined && now.timers.length === 0) {
      this.#end(row, now)
      return
    }
    for (const { due, clock } of now.timers) {
      const mark = now.marks[clock]
      if (mark >= 0 && mark <= due) continue
      if (mark >= 0) this.#marks[clock].remove(row.id, mark)
      this.#marks[clock].set(row.id, due)
      now.marks[clock] = due
      if (clock === WALL) this.#watch()
    }
    this.#rows.set(row, now, Math.max(row.timestamp, this.#call.timestamp), [])
  }

  #emit(emitted: KeyedCall<K>['emitted'], from: number): MaybePromise<void> {
    for (let i = from; i < emitted.length; i++) {
      const { output, record } = emitted[i]!
      const given = this.#context.forward(record, output)
      if (given !== undefined) return given.then(() => this.#emit(emitted, i + 1))
    }
  }
}

/** The earliest timer of a clock; of those, the first by name. */
function first(timers: readonly Timer[], clock: TimerClock): Timer | undefined {
  let best: Timer | undefined
  for (const timer of timers) {
    if (timer.clock !== clock) continue
    if (!best || timer.due < best.due || (timer.due === best.due && timer.name < best.name)) best = timer
  }
  return best
}
