/** The coordinator machine over real handles: what a host invokes. Specs give it tasks and transports of their own. */
import { type AnyActorRef, fromPromise, type SnapshotFrom } from 'xstate'
import { StateError } from '../lib/errors.ts'
import type { Settings } from '../lib/options/options.ts'
import { coordinatorMachine, type RethrowInput, type WorkerInput } from './coordinator.ts'
import { Errors, Session, type SessionOptions } from './workers/session.ts'
import { taskLogic } from './workers/taskHost.ts'

export type RuntimeLogic = typeof coordinatorMachine
export type RuntimeSnapshot = SnapshotFrom<RuntimeLogic>

/** One logic per `createRuntime`; each actor of it gets a session of its own, one at a time. */
export function runtimeLogic(settings: Settings, create: SessionOptions['createTask']): RuntimeLogic {
  const errors = new Errors()
  let owner: AnyActorRef | undefined
  let session: Session | undefined
  let leaving: Promise<void> = Promise.resolve()

  /** Only for the actor that owns the session: another actor of this logic must not close what it does not have. */
  const mine = (actor: AnyActorRef): Session | undefined => (actor === owner ? session : undefined)

  const release = (actor: AnyActorRef, how: 'leave' | 'abandon'): Promise<void> => {
    const left = mine(actor)
    if (!left) return leaving
    owner = undefined
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
      prepare: fromPromise<void, WorkerInput>(({ input: { runtime } }) =>
        remembering(async () => {
          if (owner !== undefined) {
            throw new StateError(
              `The runtime "${settings.id}" runs already. Stop it first, or make another with createRuntime.`
            )
          }
          owner = runtime
          await leaving
          session = new Session({
            settings,
            createTask: create,
            send: (message) => runtime.send(message),
            remember: errors.remember
          })
          await session.prepare()
        })
      ),
      join: fromPromise<void, WorkerInput>(({ input }) => remembering(async () => mine(input.runtime)?.join())),
      leave: fromPromise<void, WorkerInput>(({ input }) => release(input.runtime, 'leave')),
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
