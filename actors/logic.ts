/** The coordinator machine over real handles: what a host invokes. Specs give it tasks and transports of their own. */
import { type AnyActorRef, createActor, fromPromise, type SnapshotFrom } from 'xstate'
import { StateError } from '../lib/errors.ts'
import { type Settings, SILENT } from '../lib/options/options.ts'
import { checkUntil } from '../lib/options/until.ts'
import type { Router } from '../lib/query/router.ts'
import type { Logger } from '../lib/task/port.ts'
import { type Clock, systemClock } from '../lib/time.ts'
import { coordinatorMachine, type PrepareInput, type RethrowInput, type WorkerInput } from './coordinator.ts'
import { NO_REPORT, type RunReport } from './events.ts'
import { Errors, Session, type SessionOptions } from './workers/session.ts'
import { taskLogic } from './workers/taskHost.ts'

export type RuntimeLogic = typeof coordinatorMachine
export type RuntimeSnapshot = SnapshotFrom<RuntimeLogic>

/** One logic per `createRuntime`; each actor of it gets a session of its own, one at a time. */
export function runtimeLogic(settings: Settings, create: SessionOptions['createTask'], router?: Router): RuntimeLogic {
  const errors = new Errors()
  let owner: AnyActorRef | undefined
  let session: Session | undefined
  let leaving: Promise<RunReport> = Promise.resolve(NO_REPORT)

  /** Only for the actor that owns the session: another actor of this logic must not close what it does not have. */
  const mine = (actor: AnyActorRef): Session | undefined => (actor === owner ? session : undefined)

  const release = (actor: AnyActorRef, how: 'leave' | 'abandon'): Promise<RunReport> => {
    const left = mine(actor)
    if (!left) return leaving
    owner = undefined
    router?.detach(left)
    // A host may start the next one at once: it waits until this one has let go of directories and connections.
    leaving = left[how]()
    return leaving
  }

  const remembering = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      errors.remember(error)
      throw error
    }
  }

  return coordinatorMachine.provide({
    actors: {
      presence: fromPromise<void, WorkerInput>(
        ({ input, signal }) =>
          new Promise(() => {
            signal.addEventListener('abort', () => void release(input.runtime, 'abandon'), { once: true })
          })
      ),
      prepare: fromPromise<void, PrepareInput>(({ input: { runtime, until } }) =>
        remembering(async () => {
          if (owner !== undefined) {
            throw new StateError(
              `The runtime "${settings.id}" runs already. Stop it first, or make another with createRuntime.`
            )
          }
          owner = runtime
          await leaving
          session = new Session({
            settings: hosted(settings, runtime),
            until: until === undefined ? undefined : checkUntil(until),
            createTask: create,
            send: (message) => runtime.send(message),
            remember: errors.remember,
            router
          })
          router?.attach(session)
          await session.prepare()
        })
      ),
      join: fromPromise<void, WorkerInput>(({ input }) => remembering(async () => mine(input.runtime)?.join())),
      leave: fromPromise<RunReport, WorkerInput>(({ input }) => release(input.runtime, 'leave')),
      rethrow: fromPromise<void, RethrowInput>(async ({ input }) => {
        throw errors.find(input.cause)
      }),
      task: taskLogic({
        host: (task) => session?.hosts.get(task),
        admit: (task) => session?.host(task),
        report: (report) => owner?.send(report),
        drainWithinMs: settings.drainWithinMs,
        closeWithinMs: settings.closeWithinMs
      })
    },
    actions: {
      taskEnded: (_, { task, outcome }) => session?.ended(task, outcome)
    },
    guards: { oneForAll: () => settings.strategy === 'one-for-all' },
    delays: { drainWithin: settings.drainWithinMs }
  })
}

/** Prints to the console. */
const XSTATE_LOGGER = (createActor(coordinatorMachine) as unknown as { logger: unknown }).logger

/**
 * What the options leave open follows the host: its logger, unless it is XState's default (which would print), and its clock when that knows
 * the time, as `SimulatedClock` does. The machines' own delays run on the host's clock anyway.
 */
function hosted(settings: Settings, actor: AnyActorRef): Settings {
  const { clock, logger } = actor as unknown as { clock: Clock; logger: (...facts: unknown[]) => void }
  return {
    ...settings,
    clock: settings.clock === systemClock && typeof clock?.now === 'function' ? clock : settings.clock,
    logger: settings.logger === SILENT && logger !== XSTATE_LOGGER ? linesOf(logger) : settings.logger
  }
}

/** XState's logger takes anything; it gets level, message and facts. */
function linesOf(log: (...facts: unknown[]) => void): Logger {
  const at = (level: string) => (facts: object, message: string) => log(level, message, facts)
  return { debug: () => {}, info: at('info'), warn: at('warn'), error: at('error') }
}
