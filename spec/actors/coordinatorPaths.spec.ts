/**
 * The coordinator with two tasks, over fakes and a clock that moves when it is told to: every move in every situation that can be met within a
 * bound, for both strategies. Claims (numbers of the design's invariants): never two lives of one task at once (1), one event per failure (5), after
 * LOST nothing clean (6), no child left at the end (8), plain context (9); a drain always ends; one-for-all opens none before all are clean.
 */
import { expect } from 'chai'
import { createActor, fromPromise, SimulatedClock } from 'xstate'
import { coordinatorMachine, type PrepareInput, type RethrowInput, type WorkerInput } from '../../actors/coordinator.ts'
import { type Failure, NO_REPORT, type RunReport, type TaskDecision } from '../../actors/events.ts'
import { type CloseInput, type StepInput, taskMachine } from '../../actors/task.ts'
import { nextTurn } from '../../lib/time.ts'
import { allPaths } from './paths.ts'

const plan = (id: string) => ({ id, partitions: [{ topic: 'in', partition: Number(id.at(-1)) }] })
const assigned = (...ids: string[]) => ({ type: 'ASSIGNED', tasks: ids.map(plan), added: ids, generation: 1, ms: 1 })
const EVENTS: Record<string, object> = {
  'assign both': assigned('0_0', '0_1'),
  'assign 0_1': assigned('0_1'),
  'revoke 0_0': { type: 'REVOKED', tasks: ['0_0'] },
  'lose both': { type: 'LOST', tasks: ['0_0', '0_1'] },
  rebalancing: { type: 'REBALANCING' },
  ...Object.fromEntries(['PAUSE', 'RESUME', 'DRAIN', 'KILL'].map((type) => [type, { type }]))
}
const ENDS: Record<string, 'done' | TaskDecision> = {
  done: 'done',
  restart: { kind: 'restart', delayMs: 1_000, wipe: false, attempt: 1 },
  stop: { kind: 'stop' },
  release: { kind: 'release', reopenMs: 1_000 },
  escalate: { kind: 'escalate', exhausted: false }
}
const MOVES = [
  ...Object.keys(EVENTS),
  ...Object.keys(ENDS).map((end) => `0_0 ${end}`),
  ...['0_1 done', '0_1 restart', '1 s', '20 s']
]
/** Both tasks run. */
const LIVE = ['assign both', '0_0 done', '0_1 done', '0_0 done', '0_1 done']
const BOUND = 4

interface Step {
  readonly task: string
  readonly name: string
  over: boolean
  done(): void
  fail(failure: Failure): void
}

async function walk(path: readonly string[], oneForAll: boolean): Promise<{ signature: string; state: string }> {
  const clock = new SimulatedClock()
  const steps: Step[] = []
  const alive = new Set<string>() // from open to the end of close
  const violations: string[] = []
  let failed = 0
  const idle = async (): Promise<void> => {}
  const step = <I extends StepInput>(name: string) =>
    fromPromise<void, I>(
      ({ input, signal }) =>
        new Promise((resolve, reject) => {
          const { id: task } = input
          if (name === 'open') {
            if (alive.has(task)) violations.push(`${task} opened twice`)
            alive.add(task)
            const { tasks } = actor.getSnapshot().context
            const unclean = Object.entries(tasks).filter(([id, { state }]) => id !== task && state === 'restarting')
            if (oneForAll && unclean.length > 0) violations.push(`${task} opens before ${unclean[0]![0]} is clean`)
          }
          const { clean } = input as unknown as CloseInput
          const entry: Step = {
            task,
            name: name === 'close' && clean ? 'close clean' : name,
            over: false,
            done: () => {
              if (name === 'close') alive.delete(task)
              resolve()
            },
            fail: reject
          }
          signal.addEventListener('abort', () => {
            entry.over = true
          })
          steps.push(entry)
        })
    )
  const task = taskMachine.provide({
    actors: {
      open: step<StepInput>('open'),
      restore: step<StepInput>('restore'),
      pump: step<StepInput>('pump'),
      close: step<CloseInput>('close')
    },
    actions: {
      report: ({ context }, { state, failed: isFailure }) =>
        actor.send({
          type: 'TASK',
          task: context.id,
          state,
          attempt: context.attempt,
          failure: isFailure ? context.failure : undefined
        })
    }
  })
  const machine = coordinatorMachine.provide({
    actors: {
      presence: fromPromise<void, WorkerInput>(() => new Promise(() => {})),
      prepare: fromPromise<void, PrepareInput>(idle),
      join: fromPromise<void, WorkerInput>(idle),
      leave: fromPromise<RunReport, WorkerInput>(async () => NO_REPORT),
      rethrow: fromPromise<void, RethrowInput>(() => Promise.reject(new Error('the cause'))),
      task
    },
    actions: {
      taskEnded: (_, { task: id, outcome }) => {
        // Its lock stays: should it open again, the lock refuses.
        if (outcome.kind === 'leaked') alive.delete(id)
      }
    },
    guards: { oneForAll: () => oneForAll }
  })
  const actor = createActor(machine, { clock })
  actor.subscribe({ error: () => {} })
  let events = 0
  actor.on('task.failed', () => events++)
  actor.start()
  for (let i = 0; i < 3; i++) await nextTurn()

  for (const move of [...LIVE, ...path]) {
    const [id, end] = move.split(' ') as [string, string]
    if (move in EVENTS) {
      const before = steps.length
      actor.send(EVENTS[move] as never)
      const clean = steps.slice(before).some(({ name }) => name === 'close clean')
      if (move === 'lose both' && clean) violations.push('closed clean after LOST')
    } else if (move === '1 s') clock.increment(1_000)
    else if (move === '20 s') clock.increment(20_000)
    else {
      const open = steps.filter((s) => s.task === id && !s.over).at(-1)
      const how = ENDS[end]!
      if (open && (how === 'done' || !open.name.startsWith('close'))) {
        open.over = true
        if (how === 'done') open.done()
        else {
          failed++
          open.fail({ error: { name: 'Error', code: 'ERR_X', message: 'broken' }, decision: how })
        }
      }
    }
    await nextTurn()
  }
  const { value, context } = actor.getSnapshot()
  const situation = [value, context, steps.filter((s) => !s.over).map((s) => `${s.task} ${s.name}`), [...alive]]
  const end = { signature: JSON.stringify(situation), state: JSON.stringify(value) }
  expect(structuredClone(context)).to.deep.equal(context) // 9
  expect(events).to.equal(failed) // 5
  // Whatever came before, a drain ends.
  actor.send({ type: 'DRAIN' })
  await nextTurn()
  for (const ms of [20_000, 10_000, 10_000]) {
    clock.increment(ms)
    await nextTurn()
    await nextTurn()
  }
  const last = actor.getSnapshot()
  expect(['done', 'error']).to.include(last.status)
  expect(Object.keys(last.children).filter((child) => child.startsWith('task.'))).to.deep.equal([]) // 8
  expect(violations).to.deep.equal([])
  return end
}

describe('the coordinator machine, path by path', function () {
  this.timeout(120_000)

  for (const oneForAll of [false, true]) {
    const strategy = oneForAll ? 'one-for-all' : 'one-for-one'
    it(`keeps its invariants for every move in every situation within ${BOUND} moves, ${strategy}`, async () => {
      const paths = await allPaths(MOVES, BOUND, (path) => walk(path, oneForAll), true)
      console.log(`      ${paths.count} paths, the longest of ${paths.longest.length} moves`)
      for (const state of ['{"member":"steady"}', '{"member":"degraded"}', '{"member":"balancing"}', '"draining"']) {
        expect([...paths.met]).to.include(state)
      }
      expect(paths.count).to.be.greaterThan(1_000)
    })
  }
})
