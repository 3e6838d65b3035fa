/** Requests to a task from outside, served by the pump between batches: reads of its stores, questions to its nodes. */
import { StateError, UnknownOutcomeError } from '../errors.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Answer } from '../topology/node.ts'

type Stores = (name: string) => unknown

interface Asker {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

interface Question extends Asker {
  readonly read: (store: Stores) => unknown
}

interface Ask extends Asker {
  readonly work: () => MaybePromise<Answer>
  reply: unknown
}

/**
 * Questions wait here until the pump has no record in hand. An ask changes state, so its reply waits for the commit that holds the change:
 * who is told earlier may act on what a crash takes back.
 */
export class Inbox {
  readonly #taskId: string
  readonly #wake: () => void
  #questions: Question[] = []
  #asks: Ask[] = []
  readonly #worked: Ask[] = [] // since the last commit began
  readonly #sealed: Ask[] = [] // in the commit under way
  #open = false

  constructor(taskId: string, wake: () => void) {
    this.#taskId = taskId
    this.#wake = wake
  }

  /** Reads wait. */
  get waiting(): boolean {
    return this.#questions.length > 0
  }

  /** Asks wait to be worked. */
  get asking(): boolean {
    return this.#asks.length > 0
  }

  /** Replies wait for the next commit. */
  get owing(): boolean {
    return this.#worked.length > 0
  }

  open(): void {
    this.#open = true
  }

  /** @throws StateError when the pump does not run */
  ask<T>(read: (store: Stores) => T | Promise<T>): Promise<T> {
    return this.#wait<T>((asker) => this.#questions.push({ read, ...asker }))
  }

  /** A read that a node answers. Throws as `ask`, or what the node refuses it with. */
  async query(read: () => MaybePromise<Answer>): Promise<unknown> {
    const answer = await this.ask(async () => read())
    if ('refused' in answer) throw answer.refused
    return answer.reply
  }

  /**
   * Work that is committed as a record's is.
   * @throws StateError when the pump does not run: nothing was done; UnknownOutcomeError when it stops before the commit is known to be through
   */
  request(work: () => MaybePromise<Answer>): Promise<unknown> {
    return this.#wait((asker) => this.#asks.push({ work, reply: undefined, ...asker }))
  }

  #wait<T>(put: (asker: Asker) => void): Promise<T> {
    if (!this.#open) return Promise.reject(this.#closed())
    return new Promise<T>((resolve, reject) => {
      put({ resolve: resolve as (answer: unknown) => void, reject })
      this.#wake()
    })
  }

  /** Answers all reads that wait; a question that throws fails its asker only. */
  async serve(stores: Stores): Promise<void> {
    const questions = this.#questions
    this.#questions = []
    for (const { read, resolve, reject } of questions) {
      try {
        resolve(await read(stores))
      } catch (error) {
        reject(error)
      }
    }
  }

  /** Works all asks that wait. @throws what fails the task */
  async work(): Promise<void> {
    for (let ask = this.#asks.shift(); ask !== undefined; ask = this.#asks.shift()) {
      this.#worked.push(ask)
      const answer = await ask.work()
      if ('reply' in answer) ask.reply = answer.reply
      else {
        this.#worked.pop()
        ask.reject(answer.refused)
      }
    }
  }

  /** A commit has begun: it holds all that was worked so far. Called again for a commit that is repeated. */
  seal(): void {
    this.#sealed.push(...this.#worked.splice(0))
  }

  /** The commit is through. */
  committed(): void {
    for (const { resolve, reply } of this.#sealed.splice(0)) resolve(reply)
  }

  close(): void {
    this.#open = false
    for (const { reject } of [...this.#questions.splice(0), ...this.#asks.splice(0)]) reject(this.#closed())
    for (const { reject } of [...this.#sealed.splice(0), ...this.#worked.splice(0)]) reject(this.#unknown())
  }

  #closed(): StateError {
    return new StateError(
      `Task ${this.#taskId} is not running, so it answers nothing. Ask again when it is, or ask the process that owns it now.`,
      { details: { task: this.#taskId } }
    )
  }

  #unknown(): UnknownOutcomeError {
    return new UnknownOutcomeError(
      `Task ${this.#taskId} stopped before the commit that holds this ask was known to be through: it may have taken effect or not. Query the key, then ask again if it has not.`,
      { details: { task: this.#taskId } }
    )
  }
}
