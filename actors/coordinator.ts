/** Membership, assignment and shutdown of one runtime as a state machine; tasks are its children. This is the logic a host invokes. */
import { type AnyActorRef, assign, emit, enqueueActions, fromPromise, fromTransition, sendTo, setup } from 'xstate'
import type { Until } from '../lib/options/until.ts'
import type {
  ErrorFacts,
  GroupEvent,
  PlannedTask,
  RunReport,
  RuntimeCommand,
  RuntimeEvent,
  RuntimeFigures,
  TaskOutcome,
  TaskProgress,
  TaskReport,
  TaskRole,
  TaskStateName
} from './events.ts'
import { factsOf, NO_REPORT } from './events.ts'
import { taskMachine } from './task.ts'

/*
 * A spec compares this diagram with the machine: state, then `event→target`.
 *
 *   idle             autostart→preparing · START→preparing · DRAIN→stopped · KILL→stopped
 *   preparing        done→member · error→leaving · DRAIN→leaving · KILL→leaving
 *   member           failed→draining · DRAIN→draining · KILL→draining
 *   ├ joining        done→balancing
 *   ├ balancing      broken→degraded · settled→steady
 *   ├ steady         broken→degraded · unsettled→balancing
 *   └ degraded       mended→balancing
 *   draining         empty→leaving
 *   leaving          done→ended · error→ended
 *   ended            failed→failed · else→stopped
 *   stopped
 *   failed
 *
 * preparing  topics against the topology, internal topics created, readers opened
 * joining    the group is asked for the first assignment
 * balancing  some task is opening, restoring or closing, or the group rebalances
 * degraded   some task is restarting, was stopped by a rule, or waits to be reopened
 * one-for-all: a task that restarts takes all others with it (RESTART); when all that do are clean, START to all
 * draining   RELEASE to all tasks, nothing new is opened; after drainWithin KILL to what is left
 * leaving    leave the group, close readers and clients
 * failed     rethrows the cause: the machine ends in error and the host sees it
 *
 * Hooks of the group are answered by the host object (workers/session.ts), never by waiting here:
 *   onRebalance  REBALANCING; hold to all live tasks, bounded
 *   onRevoked    REVOKED → RELEASE to those tasks; the hook waits for their end, past the deadline KILL
 *   onAssigned   renew to tasks that stay; ASSIGNED → new tasks are spawned; the hook does not wait
 *   onLost       LOST to those tasks; the hook does not wait
 */

export interface TaskStatus {
  readonly state: TaskStateName
  readonly role: TaskRole
  readonly restarts: number
  readonly lastError?: ErrorFacts
}

/** Plain and small; changes only on lifecycle events. */
export interface RuntimeContext {
  readonly autostart: boolean
  /** What the group assigns to this process: tasks of which all partitions are here. */
  readonly assigned: Readonly<Record<string, PlannedTask>>
  readonly tasks: Readonly<Record<string, TaskStatus>>
  readonly paused: boolean
  readonly rebalancing: boolean
  /** One-for-all: tasks close, and none is opened before all have. */
  readonly together: boolean
  readonly generation: number
  readonly cause: ErrorFacts | undefined
  readonly until: Until | undefined
  readonly report: RunReport
}

export interface RuntimeInput {
  /** A batch: processes up to there, drains, and is done with a `RunReport`. Default: runs until it is told to drain. */
  readonly until?: Until
  /** Default true: a host that invokes the logic need not send START. */
  readonly autostart?: boolean
}

type RuntimeMessage =
  | RuntimeCommand
  | GroupEvent
  | TaskReport
  | { readonly type: 'REOPEN'; readonly task: string }
  | ({ readonly type: 'PROGRESS' } & TaskProgress)
  | ({ readonly type: 'FIGURES' } & RuntimeFigures)
  | { readonly type: 'STANDBY'; readonly task: string; readonly lag: number }
  | { readonly type: `xstate.done.actor.task.${string}`; readonly output: TaskOutcome }
  | { readonly type: `xstate.error.actor.task.${string}`; readonly error: unknown }

export interface WorkerInput {
  /** Tells apart two actors of one logic: only the first may run. */
  readonly runtime: AnyActorRef
}
export interface PrepareInput extends WorkerInput {
  readonly until: Until | undefined
}
export interface RethrowInput extends WorkerInput {
  readonly cause: ErrorFacts | undefined
}

/** Shows in an inspector what the pumps do: an actor whose snapshot is the last figures, told at most once a second. */
const pumpFigures = fromTransition(
  (_: RuntimeFigures, { type, ...figures }: { type: 'FIGURES' } & RuntimeFigures): RuntimeFigures => figures,
  { records: 0, recordsPerSecond: 0, lag: 0, cacheBytes: 0, commitMs: 0 }
)

const unprovided = <I, O = void>() =>
  fromPromise<O, I>(async () => {
    throw new Error('This worker is given by provide()')
  })

const NEW_TASK: TaskStatus = { state: 'created', role: 'active', restarts: 0 }

interface TaskEnd {
  readonly task: string
  readonly outcome: TaskOutcome
}

/** A child exists for it. */
export const isAlive = (status: TaskStatus | undefined): boolean =>
  status !== undefined && status.state !== 'stopped' && status.state !== 'reopening'

/** Dots separate tokens of event types: `xstate.done.actor.task.*` takes the ends of tasks and of nothing else. */
const childId = (task: string): string => `task.${task}`
const BROKEN: ReadonlySet<TaskStateName> = new Set(['restarting', 'clean', 'stopped', 'reopening'])
/** One-for-all: not waited for, since they do not come back by themselves, or are closed. */
const ASIDE: ReadonlySet<TaskStateName> = new Set(['created', 'clean', 'draining', 'closing', 'stopped', 'reopening'])
const SETTLED: ReadonlySet<TaskStateName> = new Set(['running', 'suspended'])
const states = (context: RuntimeContext): TaskStateName[] => Object.values(context.tasks).map((t) => t.state)

const without = <T>(all: Readonly<Record<string, T>>, keys: readonly string[]): Record<string, T> =>
  Object.fromEntries(Object.entries(all).filter(([key]) => !keys.includes(key)))

export const coordinatorMachine = setup({
  types: {
    context: {} as RuntimeContext,
    events: {} as RuntimeMessage,
    input: {} as RuntimeInput | undefined,
    output: {} as RunReport,
    emitted: {} as RuntimeEvent,
    tags: {} as 'healthy'
  },
  actors: {
    /** Lasts as long as the machine: its abort is how a host that simply stops us is noticed, and everything closed. */
    presence: unprovided<WorkerInput>(),
    pump: pumpFigures,
    prepare: unprovided<PrepareInput>(),
    join: unprovided<WorkerInput>(),
    leave: unprovided<WorkerInput, RunReport>(),
    rethrow: unprovided<RethrowInput>(),
    task: taskMachine
  },
  actions: {
    /** The host keeps the error itself; here are its facts. The first cause counts. */
    remember: assign({ cause: ({ context }, params: { error: ErrorFacts }) => context.cause ?? params.error }),
    /** Tells the host object that a task ended: hooks of the group wait for it. */
    taskEnded: (_, _params: TaskEnd) => {},
    /** Opens what is assigned and not there. */
    spawnMissing: enqueueActions(({ context, enqueue }) => {
      const tasks: Record<string, TaskStatus> = { ...context.tasks }
      for (const plan of Object.values(context.assigned)) {
        const before = tasks[plan.id]
        // A task that is closing, stopped or waits for its back-off is looked at again when that is over.
        if (before !== undefined) continue
        tasks[plan.id] = NEW_TASK
        enqueue.assign({ tasks: { ...tasks } })
        enqueue.spawnChild('task', {
          id: childId(plan.id),
          input: { id: plan.id, partitions: plan.partitions, paused: context.paused }
        })
        if (!context.together) enqueue.sendTo(childId(plan.id), { type: 'START' })
      }
    }),
    tell: enqueueActions(
      (
        { context, enqueue },
        params: { tasks?: readonly string[]; type: 'PAUSE' | 'RESUME' | 'RELEASE' | 'LOST' | 'KILL' }
      ) => {
        for (const task of params.tasks ?? Object.keys(context.tasks)) {
          if (isAlive(context.tasks[task])) enqueue.sendTo(childId(task), { type: params.type })
        }
      }
    ),
    /** No longer ours; those without a child are forgotten at once. */
    unassign: assign({
      assigned: ({ context }, params: { tasks: readonly string[] }) => without(context.assigned, params.tasks),
      tasks: ({ context }, params: { tasks: readonly string[] }) =>
        without(
          context.tasks,
          params.tasks.filter((t) => !isAlive(context.tasks[t]))
        )
    }),
    /** One-for-all: all are clean, so all open. */
    startTogether: enqueueActions(({ context, enqueue }) => {
      enqueue.assign({ together: false })
      for (const [task, { state }] of Object.entries(context.tasks)) {
        if (state === 'clean' || state === 'created') enqueue.sendTo(childId(task), { type: 'START' })
      }
    }),
    unassignAll: assign({ assigned: {} }),
    rebalanced: emit((_, params: Omit<Extract<RuntimeEvent, { type: 'runtime.rebalanced' }>, 'type'>) => ({
      type: 'runtime.rebalanced' as const,
      ...params
    })),
    /** A report of a task: its state, and the public event that goes with it. */
    note: enqueueActions(({ context, enqueue, check }, { report }: { report: TaskReport }) => {
      const before = context.tasks[report.task]
      if (before === undefined) return
      enqueue.assign({
        tasks: {
          ...context.tasks,
          [report.task]: {
            ...before,
            state: report.state,
            restarts: report.attempt,
            ...(report.failure ? { lastError: report.failure.error } : {})
          }
        }
      })
      if (report.failure) {
        const { decision, error } = report.failure
        enqueue.emit({
          type: 'task.failed',
          task: report.task,
          error,
          directive: decision.kind,
          attempt: decision.kind === 'restart' ? decision.attempt : report.attempt,
          nextMs: decision.kind === 'restart' ? decision.delayMs : decision.kind === 'release' ? decision.reopenMs : -1
        })
      }
      if (report.failure?.decision.kind === 'restart' && check('oneForAll')) {
        enqueue.assign({ together: true })
        for (const [task, status] of Object.entries(context.tasks)) {
          if (isAlive(status)) enqueue.sendTo(childId(task), { type: 'RESTART' })
        }
      }
      if (report.state === 'opening' && (before.state === 'restarting' || before.state === 'clean')) {
        enqueue.emit({ type: 'task.restarted', task: report.task, attempt: report.attempt })
      }
      if (report.state === 'running' && before.state === 'restoring') {
        enqueue.emit({ type: 'task.ready', task: report.task })
      }
    }),
    /** A task ended: remove the child, then do what its outcome asks for. `spawnMissing` comes after it. */
    settle: enqueueActions(({ context, enqueue }, { task, outcome }: TaskEnd) => {
      enqueue.stopChild(childId(task))
      enqueue.emit({ type: 'task.closed', task, outcome })
      const assigned = context.assigned[task] !== undefined
      const fatal = isFatal(outcome, assigned)
      const error = outcome.error ? { lastError: outcome.error } : {}
      const become = (state: TaskStateName): void =>
        enqueue.assign({
          tasks: { ...context.tasks, [task]: { ...(context.tasks[task] ?? NEW_TASK), ...error, state } }
        })
      if (fatal) enqueue.raise({ type: 'FAILED', error: fatalFacts(task, outcome) })
      if (assigned && (fatal || outcome.kind === 'stopped')) return become('stopped')
      if (assigned && outcome.reopenMs !== undefined) {
        become('reopening')
        enqueue.raise({ type: 'REOPEN', task }, { delay: outcome.reopenMs })
        return
      }
      // Still assigned = revoked and assigned again while it was closing: the two runs must not overlap, so it opens only now.
      enqueue.assign({ tasks: without(context.tasks, [task]) })
    })
  },
  guards: {
    /** Given by provide(). */
    oneForAll: () => false,
    allClean: ({ context }) => context.together && states(context).every((s) => ASIDE.has(s)),
    autostart: ({ context }) => context.autostart,
    failed: ({ context }) => context.cause !== undefined,
    empty: ({ context }) => !Object.values(context.tasks).some(isAlive),
    broken: ({ context }) => states(context).some((s) => BROKEN.has(s)),
    mended: ({ context }) => !states(context).some((s) => BROKEN.has(s)),
    settled: ({ context }) => !context.rebalancing && states(context).every((s) => SETTLED.has(s)),
    unsettled: ({ context }) => context.rebalancing || states(context).some((s) => !SETTLED.has(s))
  },
  delays: { drainWithin: 20_000 }
}).createMachine({
  id: 'runtime',
  context: ({ input }) => ({
    autostart: input?.autostart ?? true,
    assigned: {},
    tasks: {},
    paused: false,
    // Until the first assignment: a process without tasks is not healthy before it was told that it has none.
    rebalancing: true,
    together: false,
    generation: -1,
    cause: undefined,
    until: input?.until,
    report: NO_REPORT
  }),
  output: ({ context }) => context.report,
  initial: 'idle',
  invoke: [
    { id: 'presence', src: 'presence', input: ({ self }) => ({ runtime: self }) },
    { id: 'pump', src: 'pump' }
  ],
  on: {
    TASK: { actions: { type: 'note', params: ({ event }) => ({ report: event }) } },
    STANDBY: { actions: emit(({ event: { task, lag } }) => ({ type: 'standby.progress' as const, task, lag })) },
    PROGRESS: {
      actions: emit(({ event: { type: _, ...progress } }) => ({ type: 'task.progress' as const, ...progress }))
    },
    FIGURES: {
      actions: [
        sendTo('pump', ({ event }) => event),
        emit(({ event: { type: _, ...figures } }) => ({ type: 'runtime.progress' as const, ...figures }))
      ]
    },
    PAUSE: { actions: [assign({ paused: true }), { type: 'tell', params: { type: 'PAUSE' } }] },
    RESUME: { actions: [assign({ paused: false }), { type: 'tell', params: { type: 'RESUME' } }] },
    // Also while draining: the group's hook waits for these tasks.
    REVOKED: {
      actions: [
        {
          type: 'rebalanced',
          params: ({ context, event }) => ({
            generation: context.generation,
            added: [],
            revoked: event.tasks,
            lost: [],
            ms: 0
          })
        },
        { type: 'tell', params: ({ event }) => ({ tasks: event.tasks, type: 'RELEASE' }) },
        { type: 'unassign', params: ({ event }) => ({ tasks: event.tasks }) }
      ]
    },
    LOST: {
      actions: [
        {
          type: 'rebalanced',
          params: ({ context, event }) => ({
            generation: context.generation,
            added: [],
            revoked: [],
            lost: event.tasks,
            ms: 0
          })
        },
        { type: 'tell', params: ({ event }) => ({ tasks: event.tasks, type: 'LOST' }) },
        // Without a membership the runtime is not healthy, although nothing of it is broken.
        assign({ rebalancing: true }),
        { type: 'unassign', params: ({ event }) => ({ tasks: event.tasks }) }
      ]
    },
    FAILED: { actions: { type: 'remember', params: ({ event }) => ({ error: event.error }) } },
    'xstate.done.actor.task.*': {
      actions: [
        { type: 'taskEnded', params: ({ event }) => ended(event) },
        { type: 'settle', params: ({ event }) => ended(event) },
        'spawnMissing'
      ]
    },
    'xstate.error.actor.task.*': {
      actions: [
        { type: 'taskEnded', params: ({ event }) => crashed(event) },
        { type: 'settle', params: ({ event }) => crashed(event) },
        'spawnMissing'
      ]
    }
  },
  states: {
    idle: {
      always: { guard: 'autostart', target: 'preparing' },
      on: { START: 'preparing', DRAIN: 'stopped', KILL: 'stopped' }
    },
    preparing: {
      invoke: {
        src: 'prepare',
        input: ({ context, self }) => ({ runtime: self, until: context.until }),
        onDone: 'member',
        onError: {
          target: 'leaving',
          actions: { type: 'remember', params: ({ event }) => ({ error: factsOf(event.error) }) }
        }
      },
      on: { DRAIN: 'leaving', KILL: 'leaving' }
    },
    member: {
      initial: 'joining',
      always: [
        { guard: 'failed', target: 'draining' },
        { guard: 'allClean', actions: 'startTogether' }
      ],
      on: {
        DRAIN: 'draining',
        KILL: { target: 'draining', actions: { type: 'tell', params: { type: 'KILL' } } },
        REBALANCING: { actions: assign({ rebalancing: true }) },
        ASSIGNED: {
          actions: [
            assign({
              assigned: ({ event }) => Object.fromEntries(event.tasks.map((t) => [t.id, t])),
              generation: ({ event }) => event.generation,
              rebalancing: false
            }),
            {
              type: 'rebalanced',
              params: ({ event }) => ({
                generation: event.generation,
                added: event.added,
                revoked: [],
                lost: [],
                ms: event.ms
              })
            },
            'spawnMissing'
          ]
        },
        REOPEN: {
          guard: ({ context, event }) => context.tasks[event.task]?.state === 'reopening',
          actions: [assign({ tasks: ({ context, event }) => without(context.tasks, [event.task]) }), 'spawnMissing']
        }
      },
      states: {
        joining: {
          invoke: {
            src: 'join',
            input: ({ self }) => ({ runtime: self }),
            onDone: 'balancing',
            onError: { actions: { type: 'remember', params: ({ event }) => ({ error: factsOf(event.error) }) } }
          }
        },
        balancing: {
          always: [
            { guard: 'broken', target: 'degraded' },
            { guard: 'settled', target: 'steady' }
          ]
        },
        steady: {
          tags: 'healthy',
          always: [
            { guard: 'broken', target: 'degraded' },
            { guard: 'unsettled', target: 'balancing' }
          ]
        },
        degraded: { always: { guard: 'mended', target: 'balancing' } }
      }
    },
    draining: {
      entry: ['unassignAll', { type: 'tell', params: { type: 'RELEASE' } }],
      always: { guard: 'empty', target: 'leaving' },
      on: { KILL: { actions: { type: 'tell', params: { type: 'KILL' } } } },
      after: { drainWithin: { actions: { type: 'tell', params: { type: 'KILL' } } } }
    },
    leaving: {
      invoke: {
        src: 'leave',
        input: ({ self }) => ({ runtime: self }),
        onDone: { target: 'ended', actions: assign({ report: ({ event }) => event.output }) },
        onError: 'ended'
      }
    },
    ended: {
      always: [{ guard: 'failed', target: 'failed' }, { target: 'stopped' }]
    },
    stopped: { type: 'final' },
    failed: { invoke: { src: 'rethrow', input: ({ context, self }) => ({ runtime: self, cause: context.cause }) } }
  }
})

/** A leaked task still holds its lock: opening it again in this process would only fail more obscurely. */
const isFatal = (outcome: TaskOutcome, assigned: boolean): boolean =>
  outcome.kind === 'escalated' || (outcome.kind === 'leaked' && assigned)

const fatalFacts = (task: string, outcome: TaskOutcome): ErrorFacts =>
  outcome.error ?? {
    name: 'StateError',
    code: 'ERR_TASK_LEAKED',
    message: `Task ${task} did not close in time.`
  }

const ended = (event: { type: string; output: TaskOutcome }): TaskEnd => ({
  task: taskOf(event.type),
  outcome: event.output
})

/** A task machine never throws by itself: this is a bug of ours, and escalates at once. */
const crashed = (event: { type: string; error: unknown }): TaskEnd => ({
  task: taskOf(event.type),
  outcome: { kind: 'escalated', error: factsOf(event.error) }
})

const taskOf = (type: string): string => type.slice(type.indexOf('.task.') + '.task.'.length)
