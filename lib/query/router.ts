/** Brings a question about a key to the task that has it: behaviour and key → partition → task, waiting while the task is on its way. */
import { MillraceError, NotOwnerError, StateError, TopologyError, UnknownOutcomeError } from '../errors.ts'
import { partitionFor } from '../kafka/partitioner.ts'
import type { Serde } from '../record.ts'
import { type Clock, type Duration, delay, ms } from '../time.ts'
import type { BuiltTopology } from '../topology/built.ts'
import type { OperatorRequest, SourceNode } from '../topology/node.ts'

/** What is asked: a behaviour's name is its node's. */
export interface Addressed {
  readonly name: string
  readonly key: Serde<unknown>
}

export interface RequestOptions {
  /** How long to wait for the task and its answer. Default 10 s. */
  readonly timeout?: Duration
}

/** The tasks of this process, as the router sees them. */
export interface LocalTasks {
  /** undefined until the group has assigned something. */
  readonly built: BuiltTopology | undefined
  partitionCount(topic: string): number
  /** Assigned to this process, running or not. */
  assigned(task: string): boolean
  /** Address of the process that has it, when it tells one. */
  ownerOf(task: string): string | undefined
  /** Rejects with StateError when the task does not run: nothing was done then. */
  request(task: string, node: string, request: OperatorRequest): Promise<unknown>
}

const TIMEOUT_MS = 10_000

/** One per runtime. Its tasks come and go with the runs. */
export class Router {
  readonly #application: string
  readonly #clock: Clock
  #tasks: LocalTasks | undefined
  #version = 0
  #waiting: (() => void)[] = []

  constructor(application: string, clock: Clock) {
    this.#application = application
    this.#clock = clock
  }

  attach(tasks: LocalTasks): void {
    this.#tasks = tasks
    this.changed()
  }

  /** Another run may have been attached since. */
  detach(tasks: LocalTasks): void {
    if (this.#tasks === tasks) this.#tasks = undefined
  }

  /** Tasks were assigned, went, or began to run: those who wait look again. */
  changed(): void {
    this.#version++
    for (const look of this.#waiting.splice(0)) look()
  }

  /**
   * @throws NotOwnerError when another process has the key; MillraceError ERR_TIMEOUT when no answer came in time and nothing was done;
   *   UnknownOutcomeError when an ask was under way then; what the node refuses the request with
   */
  async request(to: Addressed, request: OperatorRequest, { timeout = TIMEOUT_MS }: RequestOptions): Promise<unknown> {
    const over = new AbortController()
    const limitMs = ms(timeout)
    let under = false // it is with a task
    const late = delay(this.#clock, limitMs, over.signal).then(() => {
      throw this.#late(to, request, limitMs, under)
    })
    late.catch(() => {})
    try {
      for (;;) {
        const version = this.#version
        const tasks = this.#tasks
        const task = tasks?.built && taskOf(tasks, tasks.built, to, request.key)
        if (tasks && task) {
          if (!tasks.assigned(task)) throw this.#elsewhere(to, request, task, tasks.ownerOf(task))
          try {
            under = true
            return await Promise.race([tasks.request(task, to.name, request), late])
          } catch (error) {
            if (!(error instanceof StateError)) throw error
            under = false
          }
        }
        if (version === this.#version) {
          await Promise.race([new Promise<void>((look) => this.#waiting.push(look)), late])
        }
      }
    } finally {
      over.abort()
    }
  }

  #late({ name }: Addressed, { kind, name: question }: OperatorRequest, limitMs: number, under: boolean): Error {
    const details = { application: this.#application, behaviour: name, question }
    const what = `The ${kind} "${question}" of behaviour "${name}" had no answer within ${limitMs} ms`
    if (under && kind === 'ask') {
      return new UnknownOutcomeError(
        `${what}; it may take effect yet. Query the key, then ask again if it has not. A longer timeout waits longer than a commit takes.`,
        { details }
      )
    }
    return new MillraceError(
      `${what}: its task is not running here yet, or is busy. Ask again, or give a longer timeout.`,
      'ERR_TIMEOUT',
      { details }
    )
  }

  #elsewhere({ name }: Addressed, request: OperatorRequest, task: string, owner: string | undefined): NotOwnerError {
    const where = owner === undefined ? 'which tells no address (option advertise)' : `at ${owner}`
    return new NotOwnerError(
      `The key ${JSON.stringify(request.key)} of behaviour "${name}" lies in another process of this job (task ${task}), ${where}: ask there.`,
      owner,
      { details: { application: this.#application, task } }
    )
  }
}

/** @throws TopologyError for what the topology does not have */
function taskOf(tasks: LocalTasks, built: BuiltTopology, { name, key: serde }: Addressed, key: unknown): string {
  for (const sub of built.subtopologies) {
    const node = sub.nodes.find((n) => n.name === name)
    if (node?.kind !== 'processor') continue
    // All its inputs have the same count of partitions.
    const source = sub.nodes.find((n): n is SourceNode => n.kind === 'source' && node.parents.includes(n.name))
    const count = tasks.partitionCount(source?.topics[0] ?? '')
    const bytes = serde.encode(key)
    return `${sub.id}_${partitionFor(bytes, 0, bytes.length, count)}`
  }
  throw new TopologyError(`The runtime has no behaviour "${name}": ask one that it was made with.`)
}
