/** What the actors drive of a task: five steps, and plain calls into the running pump. Nothing here knows XState. */
import type { Group, GroupMeta, Transport } from '../kafka/port.ts'
import type { Tp } from '../record.ts'
import type { GlobalState } from '../store/globalState.ts'
import type { DatabaseDriver } from '../store/port.ts'
import type { Rule } from '../supervise/rules.ts'
import type { Clock, Random } from '../time.ts'
import type { OperatorRequest, SubTopology } from '../topology/node.ts'
import type { RoutedReader } from './readerRouter.ts'
import type { Held } from './standby.ts'

export type Guarantee = 'at-least-once' | 'exactly-once'

/** Points between the steps of the open and commit orders (architecture, section 5); specs crash here. */
export type TaskStep =
  | 'open:locked'
  | 'open:database'
  | 'open:producer'
  | 'open:offsets'
  | 'restore:end'
  | 'restore:done'
  | 'commit:flushed'
  | 'commit:produced'
  | 'commit:offsets'
  | 'commit:committed'
  | 'commit:persisted'
  /** Not of a task: records of that partition are in a global table. */
  | 'global:applied'

export interface Logger {
  debug(facts: object, message: string): void
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

/** What all tasks of a process share. */
export interface TaskEnv {
  readonly applicationId: string
  readonly guarantee: Guarantee
  readonly transport: Transport
  /** The process's source reader and restore reader (`routedReader` makes both); tasks add and remove their partitions, and hear of errors of those. */
  readonly readers: { readonly source: RoutedReader; readonly restore: RoutedReader }
  /** For at-least-once commits; undefined until joined. */
  readonly group: () => Group | undefined
  readonly partitionCount: (topic: string) => number
  readonly driver: DatabaseDriver
  readonly stateDirectory: string
  /** What a standby of the task in this process has open; it follows no more. */
  readonly takeOver?: ((plan: TaskPlan) => Promise<Held | undefined>) | undefined
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Rules of the runtime for records, the outermost scope. Default: none. */
  readonly rules?: readonly Rule[]
  readonly commitIntervalMs: number
  readonly transactionTimeoutMs: number
  /**
   * An empty input partition is always waited for while the broker is known to hold more of it. This is how long to wait on top of that,
   * for new records of a partition that is read to its end, ms. 0 = not at all, -1 = never wait, not even for what the broker holds.
   */
  readonly maxTaskIdleMs: number
  /** Bytes a source queue may hold before its partition is paused. */
  readonly queueBytes: number
  /** Bytes of outputs in flight per task before the pump waits. */
  readonly outboxBytes: number
  readonly cache: CacheBudget
  /** Needed where the topology has global tables. */
  readonly globals?: Pick<GlobalState, 'rows'> | undefined
  /** Batch run: where each source partition ends, by `tpKey`. Positions that only passed markers are then committed too: ends are waited for. */
  readonly ends?: ReadonlyMap<string, number> | undefined
  /** Called at each step of open and commit; a throw there is a crash of the task. */
  readonly probe?: ((taskId: string, step: TaskStep) => void | Promise<void>) | undefined
  readonly events: TaskEvents
}

/** Bytes of all write-back caches of the process. */
export interface CacheBudget {
  readonly limit: number
  used: number
}

/** Of one commit, for those who watch. */
export interface CommitFigures {
  /** How long it took, ms. */
  readonly ms: number
  /** Records that the broker is known to have behind the position, over the task's source partitions. */
  readonly lag: number
}

export interface TaskEvents {
  dropped(taskId: string, reason: string, at: { topic: string; partition: number; offset: number } | undefined): void
  restored(
    taskId: string,
    progress: { store: string; restored: number; total: number; from: number; end: number }
  ): void
  /** After each commit: source offsets that are now committed, per `tpKey`. */
  committed(taskId: string, offsets: ReadonlyMap<string, number>, records: number, figures: CommitFigures): void
}

export interface TaskPlan {
  /** `<subtopology>_<partition>` */
  readonly id: string
  readonly subtopology: SubTopology
  readonly partition: number
  /** The source partitions this task reads. */
  readonly sources: readonly Tp[]
}

/** The steps a task machine invokes, in this order; each cleans up after itself when it throws or its signal aborts. */
export interface TaskRun {
  readonly plan: TaskPlan
  /** Lock directory → open database → producer (fences a predecessor) → stable committed offsets. */
  open(signal: AbortSignal): Promise<void>
  /** Changelog end (LSO) → replay of the tail behind the local position. */
  restore(signal: AbortSignal): Promise<void>
  /** The hot loop. Resolves when drained (last batch committed); rejects on a failure; on abort it stops without a commit. */
  run(meta: GroupMeta, signal: AbortSignal): Promise<void>
  /** Clean: the position is already with the data, so this only closes. Dirty: aborts the transaction, closes, writes nothing. wipe removes the files. */
  close(options: { clean: boolean; wipe?: boolean }): Promise<void>

  // Plain calls into the running pump
  /** Commit what is ready, then start no commit until `renew`. Resolves when settled. */
  hold(): Promise<void>
  renew(meta: GroupMeta): void
  pause(): void
  resume(): void
  /** Stop pulling, finish the batch, commit; then `run` resolves. */
  drain(): void
  /** Runs between batches with the stores settled. @throws StateError when the pump does not run. */
  inspect<T>(read: (store: (name: string) => unknown) => T | Promise<T>): Promise<T>
  /**
   * To the operator of that node. A query is answered between batches; an ask is worked between batches, when the task is not paused, held or
   * draining, and answered after the commit that holds it.
   * @throws StateError when the pump does not run: nothing was done; UnknownOutcomeError when it stops before that commit is known to be
   * through; what the node refuses the request with.
   */
  request(node: string, request: OperatorRequest): Promise<unknown>
}
