/** A runtime that runs alone in its process: started, observed, drained by signals, awaited. */
import { createActor, type InspectionEvent, type Observer, type SnapshotFrom } from 'xstate'
import type { Inspect, Settings } from '../lib/options/options.ts'
import { checkUntil, type Until } from '../lib/options/until.ts'
import type { RuntimeContext } from './coordinator.ts'
import type { RunReport, RuntimeCommand, RuntimeEvent } from './events.ts'
import type { RuntimeLogic } from './logic.ts'

export interface RunOptions {
  /** Aborting drains: finish what is in hand, commit, leave the group. */
  signal?: AbortSignal
  /** SIGTERM and SIGINT drain; the second one closes without a commit. The process is never exited. Default true. */
  signals?: boolean
  /**
   * A batch: processes what there is up to here, and everything that follows from it inside the job, commits, and stops by itself; `stopped` then
   * gives the report, with an exit status. Partitions of other processes of the job count by what the group has committed. Default: runs on.
   */
  until?: Until
  /** XState's inspection. Default: that of `createRuntime`. */
  inspect?: Inspect
}

/** Of a runtime at one moment. Plain data. */
export interface RuntimeStatus {
  readonly id: string
  /** `member.steady`, `draining` …: see the diagram in docs/design.md. */
  readonly state: string
  readonly healthy: boolean
  readonly tasks: RuntimeContext['tasks']
}

/** A runtime that runs alone. Also what a program without XState holds on to: `send`, `subscribe`, `on`, `stopped`. */
export interface RunningRuntime extends AsyncDisposable, RuntimeStatus {
  /** Resolves with a report when it has stopped; rejects with the cause when it failed. Who never looks at it gets an unhandled rejection instead. */
  readonly stopped: Promise<RunReport>
  /** @returns the function that takes the listener away */
  on<T extends RuntimeEvent['type']>(type: T, listener: (event: Extract<RuntimeEvent, { type: T }>) => void): () => void
  /** START is sent by `run`; the others are also methods here. */
  send(command: RuntimeCommand): void
  /** Told at once, and at each change. @returns the function that takes the listener away */
  subscribe(listener: (status: RuntimeStatus) => void): () => void
  /** Tasks keep their state and partitions, and process nothing. */
  pause(): void
  resume(): void
  /** Finishes what is in hand, commits, leaves the group. Resolves when stopped; rejects with the cause when it failed. */
  drain(): Promise<RunReport>
  /** Leaves without finishing or committing. */
  kill(): Promise<RunReport>
}

export async function running(settings: Settings, logic: RuntimeLogic, options: RunOptions): Promise<RunningRuntime> {
  options.signal?.throwIfAborted()
  const inspect = (options.inspect ?? settings.inspect) as Observer<InspectionEvent> | undefined
  const until = options.until === undefined ? undefined : checkUntil(options.until)
  const actor = createActor(logic, {
    clock: settings.clock,
    ...(until === undefined ? {} : { input: { until } }),
    ...(inspect ? { inspect } : {})
  })
  let failure: { cause: unknown } | undefined
  let observed = false // somebody waits for the end, so a failure reaches a person
  let snapshot = actor.getSnapshot()
  let finish!: () => void
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })
  const started = deferred<void>()
  actor.subscribe({
    next: (next) => {
      snapshot = next
      if (next.matches('member') && !next.matches({ member: 'joining' })) started.resolve()
    },
    complete: () => finish(),
    error: (cause) => {
      failure = { cause }
      finish()
    }
  })
  const drain = (): void => actor.send({ type: 'DRAIN' })
  const kill = (): void => actor.send({ type: 'KILL' })
  const unlisten = listen(options, drain, kill)

  const end = finished.then(() => {
    unlisten()
    if (failure === undefined) return actor.getSnapshot().output as RunReport
    settings.logger.error({ error: failure.cause, application: settings.id }, 'The runtime failed')
    throw failure.cause
  })
  const watched = (): Promise<RunReport> => {
    observed = true
    return end
  }
  actor.start()
  try {
    await Promise.race([started.promise, end.then(() => options.signal?.throwIfAborted())])
  } catch (error) {
    unlisten()
    throw error
  }
  // From here on a failure that nobody waits for must not pass in silence: it becomes the process's unhandled rejection.
  end.catch((error) => {
    if (!observed) return Promise.reject(error)
  })

  const status = (): RuntimeStatus => ({
    id: settings.id,
    state: failure ? 'failed' : stateName(snapshot),
    healthy: snapshot.hasTag('healthy'),
    tasks: snapshot.context.tasks
  })
  return {
    id: settings.id,
    get state() {
      return failure ? 'failed' : stateName(snapshot)
    },
    get healthy() {
      return snapshot.hasTag('healthy')
    },
    get tasks() {
      return snapshot.context.tasks
    },
    get stopped() {
      return watched()
    },
    on(type, listener) {
      const subscription = actor.on(type, (event) => listener(event as Parameters<typeof listener>[0]))
      return () => subscription.unsubscribe()
    },
    send: (command) => actor.send(command),
    subscribe(listener) {
      listener(status())
      const tell = (): void => listener(status())
      const subscription = actor.subscribe({ next: tell, complete: tell, error: tell })
      return () => subscription.unsubscribe()
    },
    pause: () => actor.send({ type: 'PAUSE' }),
    resume: () => actor.send({ type: 'RESUME' }),
    drain() {
      drain()
      return watched()
    },
    kill() {
      kill()
      return watched()
    },
    async [Symbol.asyncDispose]() {
      const told = observed && failure !== undefined
      drain()
      // A failure that was told already is not told again: it would hide what the block threw.
      await watched().catch((error) => {
        if (!told) throw error
      })
    }
  }
}

function listen(options: RunOptions, drain: () => void, kill: () => void): () => void {
  let asked = false
  const onSignal = (): void => {
    if (asked) kill()
    else drain()
    asked = true
  }
  const names = options.signals === false ? [] : (['SIGTERM', 'SIGINT'] as const)
  for (const name of names) process.on(name, onSignal)
  options.signal?.addEventListener('abort', drain, { once: true })
  return () => {
    for (const name of names) process.off(name, onSignal)
    options.signal?.removeEventListener('abort', drain)
  }
}

function stateName(snapshot: SnapshotFrom<RuntimeLogic>): string {
  const parts: string[] = []
  for (let value: unknown = snapshot.value; value !== undefined; ) {
    if (typeof value === 'string') {
      parts.push(value)
      break
    }
    const [[name, inner]] = Object.entries(value as object) as [[string, unknown]]
    parts.push(name)
    value = inner
  }
  return parts.join('.')
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
