/** A backend as one XState machine: an HTTP server and a stream job, supervised together. */
import { type PromiseActorLogic, sendTo, setup } from 'xstate'
import type { Runtime } from '../../actors/index.ts'

/**
 * SIGTERM drains the job, and the backend is done when the job is. A job that fails is built anew after 30 seconds, while the server goes on
 * and says that it is not healthy. A server that fails ends the backend.
 */
export function backendMachine({ job, http }: { job: Runtime['logic']; http: PromiseActorLogic<void> }) {
  return setup({
    types: { tags: {} as 'failed', events: {} as { type: 'SIGTERM' } },
    actors: { job, http },
    actions: { report: (_, { error }: { error: unknown }) => console.error(error) },
    delays: { rebuild: 30_000 }
  }).createMachine({
    id: 'backend',
    initial: 'serving',
    states: {
      serving: {
        invoke: {
          src: 'http',
          onError: { target: 'failed', actions: { type: 'report', params: ({ event: { error } }) => ({ error }) } }
        },
        initial: 'up',
        states: {
          up: {
            invoke: {
              src: 'job',
              id: 'job',
              systemId: 'job',
              onDone: '#backend.down',
              onError: {
                target: 'degraded',
                actions: { type: 'report', params: ({ event: { error } }) => ({ error }) }
              }
            },
            on: { SIGTERM: { actions: sendTo('job', { type: 'DRAIN' }) } }
          },
          degraded: { after: { rebuild: 'up' }, on: { SIGTERM: '#backend.down' } }
        }
      },
      down: { type: 'final' },
      failed: { type: 'final', tags: 'failed' }
    }
  })
}
