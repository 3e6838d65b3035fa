/** The user's own operator: callbacks with a context, stores and timers. */
import { isDeepStrictEqual } from 'node:util'
import { TopologyError } from '../errors.ts'
import { type Headers, NO_HEADERS, StreamRecord } from '../record.ts'
import type { CachedRowStore } from '../store/cache/rowStore.ts'
import { globalFace } from '../store/globalRows.ts'
import { keyValueFacade } from '../store/keyValue.ts'
import type { MaybePromise, RowStore, TaskStore } from '../store/port.ts'
import { windowFacade } from '../store/window.ts'
import type { WindowRowStore } from '../store/windowRows.ts'
import { type Clock, type Duration, ms } from '../time.ts'
import type { Cancellable, Operator, OperatorContext, RecordContext } from '../topology/node.ts'
import { Expiry } from './expiry.ts'
import type { TableAccess } from './tableFace.ts'

/** What a processor may forward: time and headers default to those of the record in hand. */
export interface Output<K, V> {
  readonly key: K
  readonly value: V
  /** ms, not negative. In a punctuator the default is its time. */
  readonly timestamp?: number
  readonly headers?: Headers
}

/** What a processor of values may forward: the key is that of the record in hand. In a punctuator, where there is none, give one. */
export interface ValueOutput<K, V> extends Omit<Output<K, V>, 'key'> {
  readonly key?: K
}

/** One object per node and task. `Stores` maps names of connected stores to their types. */
export interface ProcessorContext<K, V, Stores = Record<never, never>> {
  readonly applicationId: string
  readonly taskId: string
  readonly partition: number
  readonly clock: Clock
  /** Topic, partition and offset of the record in hand; undefined in punctuators. */
  readonly source: RecordContext | undefined
  /** Highest event time of this task, ms; -1 before the first record. */
  readonly streamTime: number
  /** To all children. Await (or return) what it gives when it is a promise. @throws TopologyError for a negative timestamp. */
  forward(output: Output<K, V>): MaybePromise<void>
  /** A connected store. Reads answer at once from the cache, else by a promise: `await` serves both. */
  store<N extends keyof Stores & string>(name: N): Stores[N]
  /** 'stream' fires by event time, first with the first record; 'wall' by the clock. At least 1 ms; missed points are skipped. */
  schedule(every: Duration, type: 'stream' | 'wall', fire: (time: number) => MaybePromise<void>): Cancellable
  /** Counts a record that you leave out, under a reason of yours. */
  drop(reason: string): void
}

export interface Processor<K, V, K2, V2, Stores = Record<never, never>> {
  init?(context: ProcessorContext<K2, V2, Stores>): void
  process(record: StreamRecord<K, V>, context: ProcessorContext<K2, V2, Stores>): MaybePromise<void>
  close?(): void
}

/** As ProcessorContext, under a key that stays. */
export interface ValuesContext<K, V, Stores = Record<never, never>>
  extends Omit<ProcessorContext<K, V, Stores>, 'forward'> {
  /** As ProcessorContext. @throws TopologyError for a key that is not the record's, or none where there is no record */
  forward(output: ValueOutput<K, V>): MaybePromise<void>
}

export interface ValuesProcessor<K, V, V2, Stores = Record<never, never>> {
  init?(context: ValuesContext<K, V2, Stores>): void
  process(record: StreamRecord<K, V>, context: ValuesContext<K, V2, Stores>): MaybePromise<void>
  close?(): void
}

/**
 * Runs a processor. The key of what it forwards may differ, so a grouping behind it repartitions.
 * @example
 * t.stream(flights).process((record, context) => context.forward({ key: record.value.origin, value: 1 }), { key: string(), value: int() })
 */
export class ProcessOperator<K, V, K2, V2> implements Operator {
  readonly #processor: Processor<K, V, K2, V2>
  readonly #keepsKey: boolean
  readonly #stores: readonly string[]
  readonly #tables: ReadonlyMap<string, TableAccess>
  readonly #globals: readonly string[]
  #context!: UserContext<K2, V2>

  /**
   * @param keepsKey refuses to forward under another key
   * @param stores names of its stores whose rows live for a time
   * @param tables whose rows it reads, by the name it calls them
   * @param globals names of the global tables it reads
   */
  constructor(
    processor: Processor<K, V, K2, V2>,
    keepsKey = false,
    stores: readonly string[] = [],
    tables: ReadonlyMap<string, TableAccess> = new Map(),
    globals: readonly string[] = []
  ) {
    this.#tables = tables
    this.#globals = globals
    this.#processor = processor
    this.#stores = stores
    this.#keepsKey = keepsKey
  }

  init(context: OperatorContext): void {
    this.#context = new UserContext(context, this.#keepsKey, this.#stores, this.#tables, this.#globals)
    this.#processor.init?.(this.#context as unknown as ProcessorContext<K2, V2>)
  }

  process(record: StreamRecord<K, V>): MaybePromise<void> {
    const aged = this.#context.age()
    return aged === undefined ? this.#run(record) : aged.then(() => this.#run(record))
  }

  #run(record: StreamRecord<K, V>): MaybePromise<void> {
    const context = this.#context
    context.begin(record.timestamp, record)
    const result = this.#processor.process(record, context as unknown as ProcessorContext<K2, V2>)
    // A function written for its effect may give anything; only a promise means "wait".
    return result instanceof Promise ? result : undefined
  }

  close(): void {
    this.#processor.close?.()
  }
}

class UserContext<K, V> implements ProcessorContext<K, V, Record<string, unknown>> {
  readonly #context: OperatorContext
  readonly #keepsKey: boolean
  readonly #tables: ReadonlyMap<string, TableAccess>
  readonly #faces = new Map<string, unknown>()
  readonly #lives = new Map<string, Expiry<unknown>>() // of stores with a time to live
  #time = -1 // of the record or punctuation in hand
  #record: StreamRecord<unknown, unknown> | undefined

  constructor(
    context: OperatorContext,
    keepsKey: boolean,
    stores: readonly string[],
    tables: ReadonlyMap<string, TableAccess>,
    globals: readonly string[]
  ) {
    this.#tables = tables
    for (const name of globals) this.#faces.set(name, globalFace(context.global(name)))
    this.#context = context
    this.#keepsKey = keepsKey
    for (const name of stores) this.#lives.set(name, Expiry.shared(context, context.store(name) as RowStore<unknown>))
  }

  /** @internal Rows whose life is over at the task's stream time leave. */
  age(): MaybePromise<void> {
    if (this.#lives.size > 0) return this.#age()
  }

  async #age(): Promise<void> {
    for (const life of this.#lives.values()) await life.observe(this.#context.streamTime)
  }

  /** @internal */
  begin(time: number, record: StreamRecord<unknown, unknown> | undefined): void {
    this.#time = time
    this.#record = record
  }

  get applicationId(): string {
    return this.#context.applicationId
  }
  get taskId(): string {
    return this.#context.taskId
  }
  get partition(): number {
    return this.#context.partition
  }
  get clock(): Clock {
    return this.#context.clock
  }
  get source(): RecordContext | undefined {
    return this.#context.source
  }
  get streamTime(): number {
    return this.#context.streamTime
  }

  forward(output: Output<K, V>): MaybePromise<void> {
    const timestamp = output.timestamp ?? this.#time
    if (!(timestamp >= 0)) {
      throw new TopologyError(
        `Node "${this.#context.nodeName}" forwards a record with the timestamp ${timestamp}: event times are not negative. Leave it out to take that of the record in hand.`
      )
    }
    if (this.#keepsKey) return this.#context.forward(this.#underKey(output, timestamp))
    if (output instanceof StreamRecord) return this.#context.forward(output)
    const headers = output.headers ?? this.#record?.headers ?? NO_HEADERS
    return this.#context.forward(new StreamRecord(output.key, output.value, timestamp, headers))
  }

  #underKey(output: ValueOutput<K, V>, timestamp: number): StreamRecord<unknown, V> {
    const record = this.#record
    const node = this.#context.nodeName
    if (record === undefined) {
      if (output.key !== undefined) return new StreamRecord(output.key, output.value, timestamp, output.headers)
      throw new TopologyError(`Node "${node}" forwards without a key where there is no record in hand: give it one.`)
    }
    if (output instanceof StreamRecord && output.sameKey(record)) return output
    if (output.key !== undefined && !isDeepStrictEqual(output.key, record.key)) {
      throw new TopologyError(
        `Node "${node}" is a processValues and forwards under another key than the record's: what comes behind it would look for the record ` +
          'in the wrong partition. Leave the key out, or use process(), behind which a grouping repartitions.'
      )
    }
    if (output instanceof StreamRecord) return output
    let next = record.withValue(output.value)
    if (timestamp !== record.timestamp) next = next.withTimestamp(timestamp)
    return output.headers === undefined ? next : next.withHeaders(output.headers)
  }

  store(name: string): unknown {
    const known = this.#faces.get(name)
    if (known !== undefined) return known
    const table = this.#tables.get(name)
    const face = table ? table.open((store) => this.#context.store(store)) : this.#face(this.#context.store(name))
    this.#faces.set(name, face)
    return face
  }

  #face(store: TaskStore): unknown {
    const now = (): number => this.#time
    return store.spec.kind === 'window'
      ? windowFacade(store as WindowRowStore<unknown>, store.spec, now, () => this.#context.streamTime)
      : keyValueFacade(store as CachedRowStore<unknown>, store.spec, now, this.#lives.get(store.spec.name))
  }

  schedule(every: Duration, type: 'stream' | 'wall', fire: (time: number) => MaybePromise<void>): Cancellable {
    return this.#context.schedule(ms(every), type, (time) => {
      this.begin(time, undefined)
      const result = fire(time)
      return result instanceof Promise ? result : undefined
    })
  }

  drop(reason: string): void {
    this.#context.drop(reason)
  }
}
