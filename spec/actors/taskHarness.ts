/** A task machine over steps that a spec settles by hand, with time that moves when it is told to. */
import { type Actor, createActor, fromPromise, SimulatedClock } from 'xstate'
import type { Failure, TaskCommand, TaskDecision } from '../../actors/events.ts'
import { type CloseInput, type StepInput, taskMachine } from '../../actors/task.ts'
import { nextTurn } from '../../lib/time.ts'

export type Step = 'open' | 'restore' | 'pump' | 'close'

export interface Pending {
  step: Step
  input: CloseInput
  aborted: boolean
  /** Ended by the spec. */
  settled: boolean
  done(): void
  fail(decision: TaskDecision): void
}

export const failure = (decision: TaskDecision): Failure => ({
  error: { name: 'Error', code: 'ERR_X', message: 'broken' },
  decision
})

export function taskHarness(paused = false) {
  const clock = new SimulatedClock()
  const log: string[] = []
  const calls: string[] = []
  const pending: Pending[] = []
  const worker = <I extends StepInput>(step: Step) =>
    fromPromise<void, I>(
      ({ input, signal }) =>
        new Promise((resolve, reject) => {
          const { clean, wipe } = input as unknown as CloseInput
          log.push(step === 'close' ? `close(${clean ? 'clean' : 'dirty'}${wipe ? ', wipe' : ''})` : step)
          const entry: Pending = {
            step,
            input: input as unknown as CloseInput,
            aborted: false,
            settled: false,
            done: resolve,
            fail: (decision) => reject(failure(decision))
          }
          signal.addEventListener('abort', () => {
            entry.aborted = true
          })
          pending.push(entry)
        })
    )
  const reports: string[] = []
  const logic = taskMachine.provide({
    actors: {
      open: worker<StepInput>('open'),
      restore: worker<StepInput>('restore'),
      pump: worker<StepInput>('pump'),
      close: worker<CloseInput>('close')
    },
    actions: {
      report: (_, { state, failed }) => reports.push(failed ? `${state}!` : state),
      pausePump: () => calls.push('pause'),
      resumePump: () => calls.push('resume'),
      drainPump: () => calls.push('drain')
    }
  })
  const actor: Actor<typeof taskMachine> = createActor(logic, {
    clock,
    input: { id: '0_0', partitions: [{ topic: 'in', partition: 0 }], paused }
  })
  actor.start()
  const current = (): Pending => pending.filter((p) => !p.aborted).at(-1)!
  const settle = async (how: 'done' | TaskDecision): Promise<void> => {
    const step = current()
    step.settled = true
    if (how === 'done') step.done()
    else step.fail(how)
    await nextTurn()
  }
  const send = (...types: TaskCommand['type'][]): void => {
    for (const type of types) actor.send({ type })
  }
  const live = async (): Promise<void> => {
    send('START')
    await settle('done')
    await settle('done')
  }
  return { actor, clock, log, calls, pending, reports, settle, send, live }
}
