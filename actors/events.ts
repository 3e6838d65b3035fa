/** Messages between host, coordinator and tasks, and the events that a runtime emits. All plain data: they survive structuredClone. */
import { MillraceError } from '../lib/errors.ts'
import type { Tp } from '../lib/record.ts'
import type { Decision } from '../lib/supervise/decide.ts'

/** What an error looks like in snapshots and events. The Error itself is given by `stopped` and by the logger. */
export interface ErrorFacts {
  readonly name: string
  readonly code: string
  readonly message: string
}

/** Total: whatever was thrown, this gives facts. */
export function factsOf(error: unknown): ErrorFacts {
  if (error instanceof MillraceError) return { name: error.name, code: error.code, message: error.message }
  if (error instanceof Error) return { name: error.name, code: 'ERR_UNEXPECTED', message: error.message }
  return { name: 'Error', code: 'ERR_UNEXPECTED', message: String(error) }
}

/** A decision as the machines carry it. A release comes with the time after which a task that is still assigned is opened again. */
export type TaskDecision =
  | Exclude<Decision, { kind: 'release' }>
  | { readonly kind: 'release'; readonly reopenMs: number }

/** What a step of a task rejects with: the error was already judged, exactly once, where it happened. */
export interface Failure {
  readonly error: ErrorFacts
  readonly decision: TaskDecision
}

/** How a task ended. */
export interface TaskOutcome {
  readonly kind: 'released' | 'stopped' | 'killed' | 'escalated' | 'leaked'
  readonly error?: ErrorFacts
  /** Set when it closed itself (fenced): open it again after so many ms if it is still assigned. */
  readonly reopenMs?: number
}

export type TaskRole = 'active'

export type TaskStateName =
  | 'created'
  | 'opening'
  | 'restoring'
  | 'running'
  | 'suspended'
  | 'draining'
  | 'restarting'
  /** Closed, as all others are to be before one opens again (one-for-all). */
  | 'clean'
  | 'closing'
  /** Closed by a rule; its partitions stay assigned and are not processed. */
  | 'stopped'
  /** Fenced while still assigned: opened again after a back-off. */
  | 'reopening'

/** Coordinator → task. */
export type TaskCommand =
  | { readonly type: 'START' }
  | { readonly type: 'PAUSE' }
  | { readonly type: 'RESUME' }
  /** Close without a commit, and open again at the next START: another task has failed, and all restart together. */
  | { readonly type: 'RESTART' }
  /** Finish, commit, close. Answered by the final outcome `released`. */
  | { readonly type: 'RELEASE' }
  /** The generation is gone: close without a commit. */
  | { readonly type: 'LOST' }
  | { readonly type: 'KILL' }

/** Task → coordinator. */
export interface TaskReport {
  readonly type: 'TASK'
  readonly task: string
  readonly state: TaskStateName
  readonly failure?: Failure | undefined
  /** Restarts of this task since it was assigned. */
  readonly attempt: number
}

/** Host → runtime. */
export type RuntimeCommand =
  | { readonly type: 'START' }
  | { readonly type: 'PAUSE' }
  | { readonly type: 'RESUME' }
  /** Finish, commit, leave the group; ends the actor with `done`. */
  | { readonly type: 'DRAIN' }
  /** As DRAIN, without finishing or committing. */
  | { readonly type: 'KILL' }

export interface PlannedTask {
  readonly id: string
  readonly partitions: readonly Tp[]
}

/** What the group's hooks tell the coordinator. */
export type GroupEvent =
  | {
      readonly type: 'ASSIGNED'
      readonly tasks: readonly PlannedTask[]
      readonly added: readonly string[]
      readonly generation: number
      /** From the beginning of the rebalance to this assignment; -1 for the first. */
      readonly ms: number
    }
  | { readonly type: 'REVOKED'; readonly tasks: readonly string[] }
  | { readonly type: 'LOST'; readonly tasks: readonly string[] }
  | { readonly type: 'REBALANCING' }
  | { readonly type: 'FAILED'; readonly error: ErrorFacts }

export interface TaskProgress {
  readonly task: string
  /** Records committed since the task was opened. */
  readonly records: number
  /** Committed source offsets by `topic-partition`. */
  readonly offsets: Readonly<Record<string, number>>
  /** While restoring: changelog records restored and in total, over all stores. */
  readonly restored?: { readonly done: number; readonly total: number }
}

/** What the pumps of a process do, together. */
export interface RuntimeFigures {
  /** Source records committed by this process since it started. */
  readonly records: number
  /** Over the time since the last report. */
  readonly recordsPerSecond: number
  /** Records that the broker is known to have behind the committed positions, over the tasks here. */
  readonly lag: number
  /** Bytes of all write-back caches. */
  readonly cacheBytes: number
  /** The longest commit since the last report, ms. */
  readonly commitMs: number
  /** Of a batch run: offsets of the input, over all processes of the job. */
  readonly batch?: { readonly done: number; readonly total: number }
}

/** How a run ended that did not fail. */
export interface RunReport {
  /** Source records committed by this process. */
  readonly records: number
  /** Source partitions of the job, those between its own tasks included. */
  readonly partitions: number
  /** From the start to the end, ms. */
  readonly ms: number
  /** It got to where `until` says; always false without. */
  readonly reached: boolean
  /** For `process.exitCode`: 2 when there was an `until` and it was stopped before it got there, else 0. */
  readonly exitCode: 0 | 2
}

export const NO_REPORT: RunReport = { records: 0, partitions: 0, ms: 0, reached: false, exitCode: 0 }

/** What a runtime tells the outside: `running.on('task.failed', …)`. */
export type RuntimeEvent =
  | { readonly type: 'task.ready'; readonly task: string }
  | { readonly type: 'task.closed'; readonly task: string; readonly outcome: TaskOutcome }
  | {
      readonly type: 'task.failed'
      readonly task: string
      readonly error: ErrorFacts
      readonly directive: TaskDecision['kind']
      readonly attempt: number
      /** Milliseconds until it is tried again; -1 when it is not. */
      readonly nextMs: number
    }
  | { readonly type: 'task.restarted'; readonly task: string; readonly attempt: number }
  /** At most once a second and task. */
  | ({ readonly type: 'task.progress' } & TaskProgress)
  /** At most once a second and task: how many offsets of its changelogs the copy in this process still has to read. */
  | { readonly type: 'standby.progress'; readonly task: string; readonly lag: number }
  /** At most once a second, while records are committed. */
  | ({ readonly type: 'runtime.progress' } & RuntimeFigures)
  | {
      readonly type: 'runtime.rebalanced'
      readonly generation: number
      readonly added: readonly string[]
      readonly revoked: readonly string[]
      readonly lost: readonly string[]
      readonly ms: number
    }
