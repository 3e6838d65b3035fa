/** A new value for each record from a function that takes its time; several at once, in order within each key. */
import type { Serde, StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Operator, OperatorContext, RecordContext } from '../topology/node.ts'
import { RowIds } from './rowIds.ts'

export type AsyncMapper<K, V, V2> = (value: V, record: StreamRecord<K, V>) => V2 | PromiseLike<V2>

export interface MapAsyncParts<K> {
  /** Records in flight: taken, and not yet passed on. */
  readonly concurrency: number
  /** 'key': a result goes on when it is there; 'input': not before those of all earlier records. */
  readonly order: 'key' | 'input'
  /** ms; a call that takes longer fails. undefined = no limit. */
  readonly timeoutMs: number | undefined
  /** Tells keys apart by their bytes; without it, by their values. */
  readonly key: Serde<K> | undefined
}

interface Call<K, V, V2> {
  readonly record: StreamRecord<K, V>
  readonly at: RecordContext | undefined
  readonly key: unknown
  /** Next record of the same key: its call waits for this one. */
  next: Call<K, V, V2> | undefined
  timer: unknown
  over: boolean
  value: V2 | undefined
  failure: { readonly error: unknown } | undefined
}

/**
 * Calls of one key follow each other, those of different keys overlap. Results are passed on only while the task's own loop is here, in
 * `process` or `settle`: a promise that resolved in between must not run operators that have another record in hand.
 * @example
 * t.stream(flights).mapAsync((flight) => fetch(`https://weather.example/${flight.origin}`).then((r) => r.json()), { concurrency: 16 })
 */
export class MapAsyncOperator<K, V, V2> implements Operator {
  readonly #map: AsyncMapper<K, V, V2>
  readonly #parts: MapAsyncParts<K>
  readonly #ids: RowIds<K> | undefined
  readonly #timed = new Set<Call<K, V, V2>>() // running against the clock
  readonly #last = new Map<unknown, Call<K, V, V2>>() // the newest call of each key in flight
  #queue: Call<K, V, V2>[] = [] // order 'input': all calls in flight, oldest first
  #ready: Call<K, V, V2>[] = [] // to be passed on, in this order
  #inFlight = 0
  #left = false // the task gave up: nothing is passed on any more
  #context!: OperatorContext
  #wake: (() => void) | undefined // who waits here for a call to end

  constructor(map: AsyncMapper<K, V, V2>, parts: MapAsyncParts<K>) {
    this.#map = map
    this.#parts = parts
    this.#ids = parts.key && new RowIds(parts.key)
  }

  init(context: OperatorContext): void {
    this.#context = context
  }

  get unsettled(): boolean {
    return this.#inFlight > 0
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    if (this.#ready.length > 0 || this.#inFlight >= this.#parts.concurrency) {
      return this.#room(this.#parts.concurrency).then(() => this.#take(record))
    }
    this.#take(record)
  }

  settle(all: boolean): MaybePromise<void> {
    if (this.#inFlight > 0 && (all || this.#ready.length > 0)) return this.#room(all ? 1 : Number.POSITIVE_INFINITY)
  }

  abandon(): void {
    this.#left = true
    for (const call of this.#timed) this.#stopTimer(call)
    this.#wake?.()
  }

  close(): void {
    this.abandon()
  }

  /** Passes on what is there, until fewer than `below` are in flight. */
  async #room(below: number): Promise<void> {
    for (;;) {
      while (this.#ready.length > 0 && !this.#left) {
        const call = this.#ready.shift()!
        this.#inFlight--
        const going = this.#pass(call)
        if (going !== undefined) await going
      }
      if (this.#inFlight < below || this.#left) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
  }

  #pass(call: Call<K, V, V2>): MaybePromise<void> {
    const { record, at, failure, value } = call
    if (failure === undefined) return this.#context.forwardFrom(at, record.withValue(value))
    let again = false
    const gone = this.#context.supervised(record, at, () => {
      if (!again) {
        again = true
        throw failure.error
      }
      // A repeat holds the node up: its records come out in their order.
      return Promise.resolve(this.#map(record.value, record)).then((v) => this.#context.forward(record.withValue(v)))
    })
    return Promise.resolve(gone).then(() => {
      if (call.next !== undefined) this.#start(call.next)
    })
  }

  #take(record: StreamRecord<K, V>): void {
    if (this.#left) return
    const key = this.#keyOf(record)
    const at = this.#context.source
    const call: Call<K, V, V2> = {
      record,
      at,
      key,
      next: undefined,
      timer: undefined,
      over: false,
      value: undefined,
      failure: undefined
    }
    this.#inFlight++
    if (this.#parts.order === 'input') this.#queue.push(call)
    const before = key === undefined ? undefined : this.#last.get(key)
    if (key !== undefined) this.#last.set(key, call)
    if (before === undefined) this.#start(call)
    else before.next = call
  }

  /** undefined: a null key, which has no order. */
  #keyOf(record: StreamRecord<K, V>): unknown {
    if (this.#ids !== undefined) return this.#ids.of(record)
    const key: unknown = record.key
    if (key == null) return undefined
    return typeof key === 'object' ? JSON.stringify(key) : key
  }

  #start(call: Call<K, V, V2>): void {
    const { timeoutMs } = this.#parts
    try {
      const result = this.#map(call.record.value, call.record)
      if (!isThenable(result)) {
        this.#end(call, result, undefined)
        return
      }
      if (timeoutMs !== undefined) {
        const error = new Error(`no result within ${timeoutMs} ms`)
        call.timer = this.#context.clock.setTimeout(() => this.#end(call, undefined, { error }), timeoutMs)
        this.#timed.add(call)
      }
      result.then(
        (value) => this.#end(call, value, undefined),
        (error) => this.#end(call, undefined, { error })
      )
    } catch (error) {
      this.#end(call, undefined, { error })
    }
  }

  #end(call: Call<K, V, V2>, value: V2 | undefined, failure: Call<K, V, V2>['failure']): void {
    if (call.over || this.#left) return // too late
    call.over = true
    call.value = value
    call.failure = failure
    this.#stopTimer(call)
    if (this.#parts.order === 'key') this.#ready.push(call)
    else while (this.#queue[0]?.over) this.#ready.push(this.#queue.shift()!)
    // A failure stops the task before what comes behind it can go on.
    if (call.next !== undefined && failure === undefined) this.#start(call.next)
    else if (this.#last.get(call.key) === call) this.#last.delete(call.key)
    this.#wake?.()
    this.#context.wake()
  }

  #stopTimer(call: Call<K, V, V2>): void {
    if (this.#timed.delete(call)) this.#context.clock.clearTimeout(call.timer)
  }
}

const isThenable = <T>(result: T | PromiseLike<T>): result is PromiseLike<T> =>
  typeof (result as PromiseLike<T> | null | undefined)?.then === 'function'
