/** The handles of one task, outside its machine: the run, what it was last told, and the promise of the step that runs. */
import { fromPromise } from 'xstate'
import { StateError } from '../../lib/errors.ts'
import type { GroupMeta } from '../../lib/kafka/port.ts'
import type { TaskPlan, TaskRun } from '../../lib/task/port.ts'
import type { OperatorRequest } from '../../lib/topology/node.ts'
import type { Failure, TaskOutcome, TaskReport } from '../events.ts'
import { type CloseInput, type StepInput, taskMachine } from '../task.ts'

export interface TaskHostOptions {
  readonly plan: TaskPlan
  /** A new run for each opening: nothing of a failed one is used again. */
  readonly create: (plan: TaskPlan) => TaskRun
  /** Judges a failure, exactly once, where it happened. */
  readonly judge: (error: unknown) => Failure
  readonly meta: GroupMeta
  /** Its pump begins to run. */
  readonly onLive?: () => void
  /** A close failed: the machine goes on, the error must not be lost. */
  readonly closeFailed: (error: unknown) => void
}

export class TaskHost {
  readonly plan: TaskPlan
  /** The last failure, as thrown. */
  error: unknown
  #options: TaskHostOptions
  #run: TaskRun | undefined // from open to close
  #live = false // the pump runs
  #meta: GroupMeta
  #held = false
  #paused = false
  #draining = false
  #settled: Promise<unknown> = Promise.resolve() // never rejects; the step or close that was begun last
  #ended!: (outcome: TaskOutcome) => void
  /** Resolves when the machine has ended. */
  readonly ended: Promise<TaskOutcome>

  constructor(options: TaskHostOptions) {
    this.#options = options
    this.plan = options.plan
    this.#meta = options.meta
    this.ended = new Promise((resolve) => {
      this.#ended = resolve
    })
  }

  open(signal: AbortSignal): Promise<void> {
    return this.#step(signal, async () => {
      this.#run = this.#options.create(this.plan)
      await this.#run.open(signal)
    })
  }

  restore(signal: AbortSignal): Promise<void> {
    return this.#step(signal, (run) => run.restore(signal))
  }

  /** The pump may be told things in the same turn in which it is invoked, before it runs: those are repeated to it here. */
  pump(signal: AbortSignal): Promise<void> {
    return this.#step(signal, async (run) => {
      const running = run.run(this.#meta, signal)
      this.#live = true
      this.#options.onLive?.()
      if (this.#held) run.hold().catch(() => {})
      if (this.#paused) run.pause()
      if (this.#draining) run.drain()
      try {
        await running
      } finally {
        this.#live = false
      }
    })
  }

  /** Waits for the step that was left first: leaving a state only aborts its signal. Closing what is closed is nothing. */
  close(options: { clean: boolean; wipe: boolean }): Promise<void> {
    const before = this.#settled
    const closing = (async () => {
      await before
      const run = this.#run
      if (run === undefined) return
      this.#run = undefined
      await run.close(options)
    })()
    this.#settled = closing.catch(() => {})
    return closing.catch((error) => {
      this.#options.closeFailed(error)
      throw error
    })
  }

  /** Commit what is ready, then none until `renew`. Resolves when settled, also when the run fails meanwhile: that is told elsewhere. */
  async hold(): Promise<void> {
    this.#held = true
    if (this.#live) await this.#run?.hold().catch(() => {})
  }

  renew(meta: GroupMeta): void {
    this.#meta = meta
    this.#held = false
    if (this.#live) this.#run?.renew(meta)
  }

  pause(): void {
    this.#paused = true
    if (this.#live) this.#run?.pause()
  }

  resume(): void {
    this.#paused = false
    if (this.#live) this.#run?.resume()
  }

  drain(): void {
    this.#draining = true
    if (this.#live) this.#run?.drain()
  }

  /** @throws StateError when its pump does not run: nothing was done */
  async request(node: string, request: OperatorRequest): Promise<unknown> {
    if (!this.#live || this.#run === undefined) throw new StateError(`Task ${this.plan.id} does not run yet.`)
    return this.#run.request(node, request)
  }

  end(outcome: TaskOutcome): void {
    this.#ended(outcome)
  }

  async #step(signal: AbortSignal, body: (run: TaskRun) => Promise<void>): Promise<void> {
    // `body` of open makes the run itself; the others only follow it.
    const before = this.#settled
    const work = (async () => {
      await before
      signal.throwIfAborted()
      await body(this.#run as TaskRun)
    })()
    this.#settled = work.catch(() => {})
    try {
      await work
    } catch (error) {
      // The state was left: the failure is of no interest any more, and must not cost a restart.
      if (signal.aborted) throw error
      this.error = error
      throw this.#options.judge(error)
    }
  }
}

export interface TaskLogicOptions {
  /** The host of a task of this runtime; `admit` makes one when there is none. */
  readonly host: (task: string) => TaskHost | undefined
  readonly admit: (task: string) => TaskHost | undefined
  readonly report: (report: TaskReport) => void
  readonly drainWithinMs: number
  readonly closeWithinMs: number
}

const worker = <I extends StepInput>(
  host: TaskLogicOptions['host'],
  body: (host: TaskHost, input: I, signal: AbortSignal) => Promise<void>
) =>
  fromPromise<void, I>(async ({ input, signal }) => {
    const found = host(input.id)
    if (found) await body(found, input, signal)
  })

/** The task machine over real handles. One logic for all tasks of a runtime: the id leads to the host. */
export function taskLogic({ host, admit, report, drainWithinMs, closeWithinMs }: TaskLogicOptions) {
  return taskMachine.provide({
    actors: {
      open: worker<StepInput>(admit, (task, _, signal) => task.open(signal)),
      restore: worker<StepInput>(host, (task, _, signal) => task.restore(signal)),
      pump: worker<StepInput>(host, (task, _, signal) => task.pump(signal)),
      close: worker<CloseInput>(host, (task, { clean, wipe }) => task.close({ clean, wipe }))
    },
    actions: {
      report: ({ context }, { state, failed }) =>
        report({
          type: 'TASK',
          task: context.id,
          state,
          attempt: context.attempt,
          failure: failed ? context.failure : undefined
        }),
      pausePump: ({ context }) => host(context.id)?.pause(),
      resumePump: ({ context }) => host(context.id)?.resume(),
      drainPump: ({ context }) => host(context.id)?.drain()
    },
    delays: { drainWithin: drainWithinMs, closeWithin: closeWithinMs }
  })
}
