/** `createRuntime`: options in, a logic to embed or a process to run out. Owns no records and decides nothing: see coordinator and task. */
import type { Answered, AskedKey, Asking, Given, Questionable } from '../lib/behaviour/questions.ts'
import { type MillraceOptions, parseOptions, type Settings } from '../lib/options/options.ts'
import { type RequestOptions, Router } from '../lib/query/router.ts'
import { describeRules } from '../lib/supervise/rules.ts'
import { createTask } from '../lib/task/task.ts'
import { type RuntimeLogic, runtimeLogic } from './logic.ts'
import { type RunningRuntime, type RunOptions, running } from './running.ts'

export interface Runtime {
  readonly id: string
  /**
   * The whole runtime as XState actor logic, for a host that invokes or spawns it. It starts by itself (input `{ autostart: false }` waits for
   * START), takes PAUSE RESUME DRAIN KILL, is done after a drain, and ends in error with the cause when it failed.
   */
  readonly logic: RuntimeLogic
  /**
   * Starts it alone in this process; resolves when it is a member of the group.
   * @throws ConfigError, TopologyError, TopicError (ERR_MISSING_TOPIC, ERR_COPARTITION, ERR_INTERNAL_TOPIC), UnreachableError
   *   ERR_BROKER_UNREACHABLE; StateError when it runs already
   */
  run(options?: RunOptions): Promise<RunningRuntime>
  /**
   * Asks a behaviour about a key of this process; what it sees may not be committed yet. Waits for a task that is starting. Names, inputs and
   * answers have the types of the behaviour's handlers.
   * @throws NotOwnerError when another process has the key; MillraceError ERR_TIMEOUT; what the behaviour's query throws
   * @example const total = await runtime.query(cart, 'user-42', 'total', undefined, { timeout: '2s' })
   */
  query<B extends Questionable, N extends Asking<B, 'query'>>(
    behaviour: B,
    key: AskedKey<B>,
    name: N,
    ...given: Given<B, 'query', N, [options?: RequestOptions]>
  ): Promise<Answered<B, 'query', N>>
  /**
   * As `query`, for a question that changes the key's state: the reply comes after the commit that holds the change.
   * @throws as `query`; UnknownOutcomeError when it was under way and its commit is not known to be through
   */
  ask<B extends Questionable, N extends Asking<B, 'ask'>>(
    behaviour: B,
    key: AskedKey<B>,
    name: N,
    ...given: Given<B, 'ask', N, [options?: RequestOptions]>
  ): Promise<Answered<B, 'ask', N>>
  /** The topology and the rules, for people. */
  describe(): string
}

function supervision({ strategy, onEscalate, rules }: Settings): string {
  const lines = describeRules(rules).split('\n')
  return `Supervision, ${strategy}; an escalated failure: ${onEscalate}\n${lines.map((line) => `  on ${line}`).join('\n')}\n`
}

/**
 * A job on this process. Nothing is contacted before it runs; one of it can be live at a time.
 * @throws ConfigError ERR_UNKNOWN_OPTION with the nearest name, ERR_OPTION for a value that cannot work
 * @example
 * const runtime = createRuntime({ id: 'billing', topology, kafka: { brokers: ['localhost:9092'] }, guarantee: 'exactly-once' })
 * await using app = await runtime.run() // drains at the end of the block, and on SIGTERM
 * await app.stopped
 */
export function createRuntime(options: MillraceOptions): Runtime {
  const settings = parseOptions(options)
  const router = new Router(settings.id, settings.clock)
  const logic = runtimeLogic(settings, createTask, router)
  const asked =
    (kind: 'query' | 'ask') =>
    (behaviour: Questionable, key: unknown, name: string, input?: unknown, options: RequestOptions = {}) =>
      router.request(behaviour, { kind, name, key, input }, options)
  return {
    id: settings.id,
    logic,
    run: (run = {}) => running(settings, logic, run),
    query: asked('query') as Runtime['query'],
    ask: asked('ask') as Runtime['ask'],
    describe: () => `${settings.topology.build(settings.id).describe()}\n${supervision(settings)}`
  }
}
