/** The lifecycle of one task as a state machine. Records never pass here: the steps are workers, the pump is one of them. */
import { assign, fromPromise, setup } from 'xstate'
import type { Tp } from '../lib/record.ts'
import type { Failure, TaskCommand, TaskOutcome, TaskRole, TaskStateName } from './events.ts'

/*
 * A spec compares this diagram with the machine: state, then `event→target`.
 *
 *   created          START→opening · RELEASE→closed · LOST→closed · KILL→closed
 *   opening          done→restoring · error→failing · RESTART→restarting · RELEASE→dirty · LOST→dirty · KILL→dirty
 *   restoring        done→live · error→failing · RESTART→restarting · RELEASE→clean · LOST→dirty · KILL→dirty
 *   live             done→clean · error→failing · LOST→dirty · KILL→dirty
 *   ├ running        paused→suspended · RESTART→restarting · RELEASE→draining
 *   ├ suspended      resumed→running · RESTART→restarting · RELEASE→draining
 *   └ draining       drainWithin→dirty
 *   failing          restart→restarting · else→dirty
 *   restarting
 *   ├ cleaning       done→waiting · error→dirty · RELEASE→dirty · LOST→dirty · KILL→dirty
 *   ├ waiting        backoff→opening · backoff→ready · RELEASE→closed · LOST→closed · KILL→closed
 *   └ ready          START→opening · RELEASE→closed · LOST→closed · KILL→closed
 *   closing          closeWithin→closed
 *   ├ clean          done→closed · error→closed
 *   └ dirty          done→closed · error→closed
 *   closed
 *
 * opening    lock the directory, open the database, fence the predecessor, read stable offsets
 * restoring  replay the changelog behind the local position
 * live       the pump runs; it is invoked here, so it survives pause, resume and drain
 * draining   stops pulling, finishes its batch, commits; past drainWithin it is closed without a commit
 * failing    passes at once: the failure carries its decision (release, stop and escalate close)
 * restarting resources closed, then the back-off; RELEASE and LOST beat it
 * ready      one-for-all: closed, until all others are and the coordinator sends START
 * closing    first awaits the step that was left (leaving a state only aborts its signal), else a store is closed under running calls
 * closed     final; the output says why: released, stopped, killed, escalated, leaked (closing never ended; its lock stays)
 */

export interface TaskInput {
  readonly id: string
  readonly partitions: readonly Tp[]
  readonly paused: boolean
}

/** Plain data only: handles live with the host of the task. */
export interface TaskContext {
  readonly id: string
  readonly partitions: readonly Tp[]
  readonly role: TaskRole
  readonly paused: boolean
  /** It restarts together with all others: not before START. */
  readonly held: boolean
  /** Restarts since the task was assigned. */
  readonly attempt: number
  readonly failure: Failure | undefined
  readonly outcome: TaskOutcome['kind']
}

export interface StepInput {
  readonly id: string
}
export interface CloseInput extends StepInput {
  readonly clean: boolean
  readonly wipe: boolean
}

const unprovided = <I>() =>
  fromPromise<void, I>(async () => {
    throw new Error('This worker is given by provide()')
  })

/** A failure without a decision is a bug of ours and escalates. */
function failureOf(error: unknown): Failure {
  if (typeof error === 'object' && error !== null && 'decision' in error) return error as Failure
  return {
    error: { name: 'Error', code: 'ERR_UNEXPECTED', message: error instanceof Error ? error.message : String(error) },
    decision: { kind: 'escalate', exhausted: false }
  }
}

export const taskMachine = setup({
  types: {
    context: {} as TaskContext,
    events: {} as TaskCommand,
    input: {} as TaskInput,
    output: {} as TaskOutcome
  },
  actors: {
    open: unprovided<StepInput>(),
    restore: unprovided<StepInput>(),
    pump: unprovided<StepInput>(),
    close: unprovided<CloseInput>()
  },
  actions: {
    /** Tells the coordinator. */
    report: (_, _params: { state: TaskStateName; failed?: boolean }) => {},
    pausePump: () => {},
    resumePump: () => {},
    drainPump: () => {},
    pause: assign({ paused: true }),
    resume: assign({ paused: false }),
    /** Keeps what failed until the task is live again. */
    fail: assign({ failure: (_, params: { error: unknown }) => failureOf(params.error) }),
    recover: assign({ failure: undefined }),
    attempted: assign({ attempt: ({ context }) => context.attempt + 1 }),
    hold: assign({ held: true }),
    unhold: assign({ held: false }),
    /** Another task has failed, not this one. */
    startOver: assign({ held: true, failure: undefined, attempt: ({ context }) => context.attempt + 1 }),
    end: assign({ outcome: (_, params: { as: TaskOutcome['kind'] }) => params.as }),
    endAsDecided: assign({
      outcome: ({ context }) => {
        const kind = context.failure?.decision.kind
        return kind === 'release' ? 'released' : kind === 'stop' ? 'stopped' : 'escalated'
      }
    })
  },
  guards: {
    paused: ({ context }) => context.paused,
    resumed: ({ context }) => !context.paused,
    held: ({ context }) => context.held,
    restart: ({ context }) => context.failure?.decision.kind === 'restart'
  },
  delays: {
    backoff: ({ context }) => (context.failure?.decision.kind === 'restart' ? context.failure.decision.delayMs : 0),
    drainWithin: 20_000,
    closeWithin: 10_000
  }
}).createMachine({
  id: 'task',
  context: ({ input }) => ({
    id: input.id,
    partitions: input.partitions,
    role: 'active',
    paused: input.paused,
    held: false,
    attempt: 0,
    failure: undefined,
    outcome: 'released'
  }),
  initial: 'created',
  on: {
    PAUSE: { actions: 'pause' },
    RESUME: { actions: 'resume' }
  },
  states: {
    created: {
      on: {
        START: 'opening',
        RELEASE: 'closed',
        LOST: 'closed',
        KILL: { target: 'closed', actions: { type: 'end', params: { as: 'killed' } } }
      }
    },
    opening: {
      entry: { type: 'report', params: { state: 'opening' } },
      invoke: {
        src: 'open',
        input: ({ context }) => ({ id: context.id }),
        onDone: 'restoring',
        onError: { target: 'failing', actions: { type: 'fail', params: ({ event }) => ({ error: event.error }) } }
      },
      on: {
        RESTART: { target: 'restarting', actions: ['startOver', { type: 'report', params: { state: 'restarting' } }] },
        RELEASE: 'closing.dirty',
        LOST: 'closing.dirty',
        KILL: { target: 'closing.dirty', actions: { type: 'end', params: { as: 'killed' } } }
      }
    },
    restoring: {
      entry: { type: 'report', params: { state: 'restoring' } },
      invoke: {
        src: 'restore',
        input: ({ context }) => ({ id: context.id }),
        onDone: { target: 'live', actions: 'recover' },
        onError: { target: 'failing', actions: { type: 'fail', params: ({ event }) => ({ error: event.error }) } }
      },
      on: {
        RESTART: { target: 'restarting', actions: ['startOver', { type: 'report', params: { state: 'restarting' } }] },
        RELEASE: 'closing.clean',
        LOST: 'closing.dirty',
        KILL: { target: 'closing.dirty', actions: { type: 'end', params: { as: 'killed' } } }
      }
    },
    live: {
      initial: 'running',
      invoke: {
        src: 'pump',
        input: ({ context }) => ({ id: context.id }),
        onDone: 'closing.clean',
        onError: { target: 'failing', actions: { type: 'fail', params: ({ event }) => ({ error: event.error }) } }
      },
      on: {
        LOST: 'closing.dirty',
        KILL: { target: 'closing.dirty', actions: { type: 'end', params: { as: 'killed' } } }
      },
      states: {
        running: {
          entry: ['resumePump', { type: 'report', params: { state: 'running' } }],
          always: { guard: 'paused', target: 'suspended' },
          on: {
            RESTART: {
              target: '#task.restarting',
              actions: ['startOver', { type: 'report', params: { state: 'restarting' } }]
            },
            RELEASE: 'draining'
          }
        },
        suspended: {
          entry: ['pausePump', { type: 'report', params: { state: 'suspended' } }],
          always: { guard: 'resumed', target: 'running' },
          on: {
            RESTART: {
              target: '#task.restarting',
              actions: ['startOver', { type: 'report', params: { state: 'restarting' } }]
            },
            RELEASE: 'draining'
          }
        },
        draining: {
          entry: ['drainPump', { type: 'report', params: { state: 'draining' } }],
          after: { drainWithin: '#task.closing.dirty' }
        }
      }
    },
    failing: {
      always: [
        { guard: 'restart', target: 'restarting', actions: 'attempted' },
        { target: 'closing.dirty', actions: 'endAsDecided' }
      ],
      exit: { type: 'report', params: { state: 'restarting', failed: true } }
    },
    restarting: {
      initial: 'cleaning',
      on: { RESTART: { actions: 'hold' } },
      states: {
        cleaning: {
          invoke: {
            src: 'close',
            input: ({ context }) => ({
              id: context.id,
              clean: false,
              wipe: context.failure?.decision.kind === 'restart' && context.failure.decision.wipe
            }),
            onDone: 'waiting',
            onError: {
              target: '#task.closing.dirty',
              actions: [
                { type: 'fail', params: ({ event }) => ({ error: event.error }) },
                { type: 'end', params: { as: 'escalated' } }
              ]
            }
          },
          on: {
            RELEASE: '#task.closing.dirty',
            LOST: '#task.closing.dirty',
            KILL: { target: '#task.closing.dirty', actions: { type: 'end', params: { as: 'killed' } } }
          }
        },
        waiting: {
          after: { backoff: [{ guard: 'held', target: 'ready' }, { target: '#task.opening' }] },
          on: {
            RELEASE: '#task.closed',
            LOST: '#task.closed',
            KILL: { target: '#task.closed', actions: { type: 'end', params: { as: 'killed' } } }
          }
        },
        ready: {
          entry: { type: 'report', params: { state: 'clean' } },
          on: {
            START: { target: '#task.opening', actions: 'unhold' },
            RELEASE: '#task.closed',
            LOST: '#task.closed',
            KILL: { target: '#task.closed', actions: { type: 'end', params: { as: 'killed' } } }
          }
        }
      }
    },
    closing: {
      entry: { type: 'report', params: { state: 'closing' } },
      initial: 'dirty',
      after: { closeWithin: { target: 'closed', actions: { type: 'end', params: { as: 'leaked' } } } },
      states: {
        clean: {
          invoke: {
            src: 'close',
            input: ({ context }) => ({ id: context.id, clean: true, wipe: false }),
            onDone: '#task.closed',
            onError: '#task.closed'
          }
        },
        dirty: {
          invoke: {
            src: 'close',
            input: ({ context }) => ({ id: context.id, clean: false, wipe: false }),
            onDone: '#task.closed',
            onError: '#task.closed'
          }
        }
      }
    },
    closed: { type: 'final' }
  },
  output: ({ context }): TaskOutcome => {
    const failure = context.failure
    return {
      kind: context.outcome,
      ...(failure && context.outcome !== 'killed' ? { error: failure.error } : {}),
      ...(failure?.decision.kind === 'release' ? { reopenMs: failure.decision.reopenMs } : {})
    }
  }
})
