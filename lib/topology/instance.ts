/** A sub-topology compiled for one task: operators that call each other directly, no lookup per record. */
import { TopologyError } from '../errors.ts'
import type { RecordSet, StreamRecord } from '../record.ts'
import type { GlobalRows } from '../store/globalRows.ts'
import type { MaybePromise, RowStore, TaskStore } from '../store/port.ts'
import type { Clock } from '../time.ts'
import { locate } from './failure.ts'
import { Guard, type RecordSupervisor } from './guard.ts'
import type { Meter } from './meter.ts'
import type {
  Answer,
  Cancellable,
  Node,
  Operator,
  OperatorContext,
  OperatorRequest,
  ProcessorNode,
  RecordContext,
  SinkNode,
  SourceNode,
  SubTopology
} from './node.ts'
import { matcher } from './patterns.ts'

// biome-ignore lint/suspicious/noExplicitAny: typed at the operators
type AnyRecord = StreamRecord<any, any>

/** What a sub-topology needs from its task. */
export interface InstanceEnv {
  readonly applicationId: string
  readonly taskId: string
  readonly partition: number
  readonly clock: Clock
  /** A record reached a sink. Bytes must be copied before it returns. */
  emit(sink: SinkNode, record: AnyRecord): MaybePromise<void>
  store(name: string): TaskStore
  /** Needed where the topology has global tables. */
  global?(name: string): GlobalRows<unknown>
  schedule(
    node: string,
    intervalMs: number,
    type: 'stream' | 'wall',
    fire: (time: number) => MaybePromise<void>
  ): Cancellable
  /** Operators ask in topological order. */
  onIdle?(afterMs: number, advance: (time: number) => MaybePromise<void>): void
  drop(node: string, reason: string): void
  log?(node: string, facts: object, message: string): void
  /** Highest event time taken for processing; -1 before the first record. */
  streamTime(): number
  /** The record in hand; undefined in punctuators. */
  source(): RecordContext | undefined
  /**
   * Until the next call `source()` gives this instead of the place of the record in hand; null = back to that one. Needed by operators
   * with work of their own, as is `wake`.
   * @returns what was set before
   */
  place?(source: RecordContext | undefined | null): RecordContext | undefined | null
  /** Some operator's `settle` has something to pass on. */
  wake?(): void
  saved(node: string, slot: string): number | undefined
  save(node: string, slot: string, value: number): void
  /** Left out: every failure is the task's. */
  readonly supervisor?: RecordSupervisor
}

/** Where the records of a source topic go in. */
export interface SourceInstance {
  readonly node: SourceNode
  /** @throws ProcessingError with node, topic, partition, offset and cause when user code throws; so does the promise. */
  process(record: AnyRecord): MaybePromise<void>
  /** Call before `process` of rows [from, to) of a fetched set: their state is read with one multi-get per store. */
  prefetch(set: RecordSet, from: number, to: number): MaybePromise<void>
}

/** Which node is at work: kept by two writes per hop, so that no operator needs a try of its own. */
interface Running {
  at: string
}

interface Target {
  process(record: AnyRecord): MaybePromise<void>
}

class NodeContext implements OperatorContext {
  readonly nodeName: string
  readonly #env: InstanceEnv
  readonly #running: Running
  readonly #stores: readonly string[]
  readonly #globals: readonly string[]
  readonly #targets: Target[] = [] // owned by TopologyInstance: filled at compile, then fixed
  readonly #names: string[] = []
  readonly #supervision: Guard | undefined // of this node, where rules for records hold
  #plain: readonly Target[] | undefined // while the targets are measured

  constructor(node: Node, env: InstanceEnv, running: Running, guard?: Guard) {
    this.nodeName = node.name
    this.#stores = node.kind === 'processor' ? node.stores : []
    this.#globals = (node.kind === 'processor' && node.globals) || []
    this.#supervision = guard
    this.#env = env
    this.#running = running
  }

  /** @internal */
  addTarget(name: string, target: Target): void {
    this.#names.push(name)
    this.#targets.push(target)
  }

  /** @internal Calls to the children go through the meter, until it is undefined. */
  measure(meter: Meter | undefined): void {
    this.#plain ??= [...this.#targets]
    for (const [i, target] of this.#plain.entries()) {
      this.#targets[i] = meter === undefined ? target : meter.wrap(this.#names[i]!, target)
    }
    if (meter === undefined) this.#plain = undefined
  }

  get applicationId(): string {
    return this.#env.applicationId
  }
  get taskId(): string {
    return this.#env.taskId
  }
  get partition(): number {
    return this.#env.partition
  }
  get clock(): Clock {
    return this.#env.clock
  }
  get source(): RecordContext | undefined {
    return this.#env.source()
  }
  get streamTime(): number {
    return this.#env.streamTime()
  }

  forward(record: AnyRecord, child?: string): MaybePromise<void> {
    if (child !== undefined) return this.#hop(this.#index(child), record)
    if (this.#targets.length === 1) return this.#hop(0, record)
    return this.#fan(record, 0)
  }

  forwardFrom(source: RecordContext | undefined, record: AnyRecord): MaybePromise<void> {
    return this.#from(source, () => this.forward(record))
  }

  supervised(
    record: AnyRecord,
    source: RecordContext | undefined | null,
    call: () => MaybePromise<void>,
    attempt = 1
  ): MaybePromise<void> {
    const supervision = this.#supervision
    const run = supervision === undefined ? call : () => supervision.run(record, attempt, call)
    return source === null ? this.#guard(run) : this.#from(source, run)
  }

  putOff(error: unknown, record: AnyRecord, attempt: number): number | undefined {
    return this.#supervision?.putOff(error, record, attempt)
  }

  #from(source: RecordContext | undefined, call: () => MaybePromise<void>): MaybePromise<void> {
    const env = this.#env
    const before = env.place === undefined ? null : env.place(source)
    let result: MaybePromise<void>
    try {
      result = this.#guard(call)
    } catch (error) {
      env.place?.(before)
      throw error
    }
    if (result === undefined) env.place?.(before)
    return result?.finally(() => void env.place?.(before))
  }

  wake(): void {
    this.#env.wake?.()
  }

  #hop(index: number, record: AnyRecord): MaybePromise<void> {
    const running = this.#running
    const name = this.#names[index]!
    running.at = name
    const result = this.#targets[index]!.process(record)
    running.at = this.nodeName
    // A throw in the continuation of a waiting child comes when `at` has moved on: the innermost hop names it.
    return result === undefined ? undefined : result.catch((e) => this.#rethrow(e, name))
  }

  #fan(record: AnyRecord, from: number): MaybePromise<void> {
    for (let i = from; i < this.#targets.length; i++) {
      const result = this.#hop(i, record)
      if (result !== undefined) return result.then(() => this.#fan(record, i + 1))
    }
  }

  #rethrow(error: unknown, node: string): never {
    throw locate(error, node, this.#env.source())
  }

  #index(child: string): number {
    const index = this.#names.indexOf(child)
    if (index >= 0) return index
    throw new TopologyError(
      `Node "${this.nodeName}" forwards to "${child}", which is not its child. Its children: ${this.#names.join(', ') || 'none'}.`,
      { code: 'ERR_TOPOLOGY_PARENT' }
    )
  }

  store(name: string): TaskStore {
    if (this.#stores.includes(name)) return this.#env.store(name)
    throw new TopologyError(
      `Node "${this.nodeName}" asks for the store "${name}", which is not connected to it. Connected: ${this.#stores.join(', ') || 'none'}. ` +
        `Name the store in the node's \`stores\`.`,
      { code: 'ERR_TOPOLOGY_STORE', details: { node: this.nodeName, store: name } }
    )
  }

  global(name: string): GlobalRows<unknown> {
    if (this.#globals.includes(name) && this.#env.global) return this.#env.global(name)
    throw new TopologyError(
      `Node "${this.nodeName}" asks for the global table "${name}", which it does not say that it reads. Name it in the node's \`globals\`.`,
      { code: 'ERR_TOPOLOGY_STORE', details: { node: this.nodeName, store: name } }
    )
  }

  schedule(intervalMs: number, type: 'stream' | 'wall', fire: (time: number) => MaybePromise<void>): Cancellable {
    if (!(Number.isFinite(intervalMs) && intervalMs >= 1)) {
      throw new TopologyError(`Node "${this.nodeName}" schedules every ${intervalMs} ms: an interval is at least 1 ms.`)
    }
    return this.#env.schedule(this.nodeName, intervalMs, type, (time) => this.#guard(() => fire(time)))
  }

  onIdle(afterMs: number, advance: (time: number) => MaybePromise<void>): void {
    this.#env.onIdle?.(afterMs, (time) => this.#guard(() => advance(time)))
  }

  /** @internal For calls of the task into the operator: throws say where. */
  guarded<T>(run: () => MaybePromise<T>): MaybePromise<T> {
    return this.#guard(run)
  }

  #guard<T>(run: () => MaybePromise<T>): MaybePromise<T> {
    this.#running.at = this.nodeName
    try {
      const result = run()
      return result instanceof Promise ? result.catch((e) => this.#rethrow(e, this.nodeName)) : result
    } catch (error) {
      return this.#rethrow(error, this.#running.at)
    }
  }

  /** @internal The entry of a source and of a flush: where throws get their place. */
  enter(record: AnyRecord): MaybePromise<void> {
    this.#running.at = this.nodeName
    try {
      return this.forward(record)
    } catch (error) {
      return this.#rethrow(error, this.#running.at)
    }
  }

  /** @internal Makes a store's flush to this node say where it failed. */
  guardFlush(store: RowStore<unknown>): void {
    const flush = store.onFlush
    if (flush) store.onFlush = (row, old, set, at) => this.#guard(() => flush(row, old, set, at))
  }

  drop(reason: string): void {
    this.#env.drop(this.nodeName, reason)
  }
  log(facts: object, message: string): void {
    this.#env.log?.(this.nodeName, facts, message)
  }
  saved(slot: string): number | undefined {
    return this.#env.saved(this.nodeName, slot)
  }
  save(slot: string, value: number): void {
    this.#env.save(this.nodeName, slot, value)
  }
}

class CompiledSource implements SourceInstance {
  readonly node: SourceNode
  readonly #context: NodeContext
  readonly #prefetching: readonly Operator[]

  constructor(node: SourceNode, context: NodeContext, prefetching: readonly Operator[]) {
    this.node = node
    this.#context = context
    this.#prefetching = prefetching
  }

  process(record: AnyRecord): MaybePromise<void> {
    return this.#context.enter(record)
  }

  prefetch(set: RecordSet, from: number, to: number): MaybePromise<void> {
    let waiting: Promise<void>[] | undefined
    for (const operator of this.#prefetching) {
      const result = operator.prefetch!(set, from, to, this.node.key)
      if (result !== undefined) {
        waiting ??= []
        waiting.push(result)
      }
    }
    return waiting && Promise.all(waiting).then(() => undefined)
  }
}

/** One per task. `init` before the first record, `close` at the end; in between all calls are direct. */
export class TopologyInstance {
  /** Store names, each after those that feed it: the order of flushes. */
  readonly flushOrder: readonly string[]
  readonly #sources = new Map<string, CompiledSource>()
  readonly #operators: { node: ProcessorNode; operator: Operator; context: NodeContext }[] = []
  readonly #contexts: readonly NodeContext[]
  readonly #taskId: string
  readonly #settling: { operator: Operator; context: NodeContext }[] = [] // those with work of their own

  constructor(sub: SubTopology, env: InstanceEnv) {
    this.#taskId = env.taskId
    const running: Running = { at: '' }
    const contexts = new Map<string, NodeContext>()
    const operators = new Map<string, Operator>()
    const order = new Set<string>()
    const guarded = isGuarded(sub, env)
    this.guarded = guarded
    for (const node of sub.nodes) {
      const guard = guarded && node.kind !== 'source' ? guardOf(node, sub, env) : undefined
      const context = new NodeContext(node, env, running, guard)
      contexts.set(node.name, context)
      if (node.kind === 'source') continue
      const target: Target = node.kind === 'sink' ? { process: (record) => env.emit(node, record) } : node.create()
      const hop = guard === undefined ? target : guard.wrap(target)
      for (const parent of node.parents) contexts.get(parent)!.addTarget(node.name, hop)
      if (node.kind === 'sink') continue
      operators.set(node.name, target)
      this.#operators.push({ node, operator: target, context })
      if ((target as Operator).settle) this.#settling.push({ operator: target, context })
      // Nodes come in topological order. A store that several use counts from its first: the one that writes it.
      for (const store of node.stores) order.add(store)
    }
    this.flushOrder = [...order]
    this.#contexts = [...contexts.values()]
    for (const node of sub.nodes) {
      if (node.kind !== 'source') continue
      const source = new CompiledSource(node, contexts.get(node.name)!, prefetchers(node, sub, operators))
      for (const topic of node.topics) this.#sources.set(topic, source)
    }
  }

  /** Gives every operator its context, parents first. */
  init(): void {
    for (const { operator, context } of this.#operators) {
      try {
        operator.init?.(context)
      } catch (error) {
        throw locate(error, context.nodeName, undefined)
      }
    }
    for (const { node, context } of this.#operators) {
      // Only the first user of a store sets onFlush; guarding it once is enough.
      for (const name of node.stores) {
        const store = context.store(name) as RowStore<unknown>
        if (!this.#guarded.has(name) && store.onFlush) {
          this.#guarded.add(name)
          context.guardFlush(store)
        }
      }
    }
  }
  #guarded = new Set<string>()

  /** @throws TopologyError when the sub-topology does not read that topic. */
  source(topic: string): SourceInstance {
    const source = this.#sources.get(topic) ?? this.#byPattern(topic)
    if (source) return source
    throw new TopologyError(`No source reads the topic "${topic}". Sources: ${[...this.#sources.keys()].join(', ')}.`)
  }

  /** Rules for records hold somewhere in it. */
  readonly guarded: boolean

  /** From here on every hop is measured, until it is called with undefined. */
  measure(meter: Meter | undefined): void {
    for (const context of this.#contexts) context.measure(meter)
  }

  #byPattern(topic: string): CompiledSource | undefined {
    for (const source of this.#sources.values()) {
      if (source.node.pattern && matcher(source.node.pattern)(topic)) return source
    }
  }

  /** Some operator's work on records it took goes on. */
  get unsettled(): boolean {
    for (const { operator } of this.#settling) if (operator.unsettled) return true
    return false
  }

  /** `settle` of every operator, parents first: with `all` nothing is unsettled when it is done. Not with a record in hand. */
  settle(all: boolean): MaybePromise<void> {
    if (this.unsettled) return this.#settle(all)
  }

  async #settle(all: boolean): Promise<void> {
    for (const { operator, context } of this.#settling) {
      const settling = context.guarded(() => operator.settle!(all))
      if (settling !== undefined) await settling
    }
  }

  /** What the operator of that node says to a request. Not with a record in hand. Rejects with what fails the task. */
  answer(node: string, request: OperatorRequest): MaybePromise<Answer> {
    const asked = this.#operators.find(({ operator, context }) => operator.answer && context.nodeName === node)
    if (asked) return asked.context.guarded(() => asked.operator.answer!(request))
    return { refused: new TopologyError(`Node "${node}" answers no requests in task ${this.#taskId}.`) }
  }

  /** `abandon` of every operator. */
  abandon(): void {
    for (const { operator } of this.#settling) operator.abandon?.()
  }

  /** Closes every operator, children first; the first failure is thrown after all were closed. */
  close(): void {
    let failure: unknown
    for (const { operator, context } of [...this.#operators].reverse()) {
      try {
        operator.close?.()
      } catch (error) {
        failure ??= locate(error, context.nodeName, undefined)
      }
    }
    if (failure !== undefined) throw failure
  }
}

/** One node with rules asks for guards at all: the innermost guard tells whose failure it is. */
const isGuarded = (sub: SubTopology, { supervisor }: InstanceEnv): boolean =>
  supervisor !== undefined &&
  (supervisor.everywhere ||
    (sub.supervise ?? []).length > 0 ||
    sub.nodes.some((node) => node.kind !== 'source' && (node.supervise ?? []).length > 0))

const guardOf = (node: ProcessorNode | SinkNode, sub: SubTopology, env: InstanceEnv): Guard =>
  new Guard(node.name, [node.supervise ?? [], sub.supervise ?? []], env.supervisor!, () => env.source())

/** Operators that meet the source's own keys: reachable through nodes that keep the key. */
function prefetchers(source: SourceNode, sub: SubTopology, operators: Map<string, Operator>): Operator[] {
  const sameKey = new Set([source.name])
  const found: Operator[] = []
  for (const node of sub.nodes) {
    if (node.kind !== 'processor' || !node.parents.some((p) => sameKey.has(p))) continue
    const operator = operators.get(node.name)!
    if (operator.prefetch && !(operator.prefetchByTime && source.timestamp)) found.push(operator)
    if (node.keepsKey) sameKey.add(node.name)
  }
  return found
}
