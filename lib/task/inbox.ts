/** Reads of a task's stores by others, served by the pump between batches. */
import { StateError } from '../errors.ts'

type Stores = (name: string) => unknown

interface Question {
  readonly read: (store: Stores) => unknown
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

/** Questions wait here until the pump has no record in hand. */
export class Inbox {
  readonly #taskId: string
  readonly #wake: () => void
  #questions: Question[] = []
  #open = false

  constructor(taskId: string, wake: () => void) {
    this.#taskId = taskId
    this.#wake = wake
  }

  get waiting(): boolean {
    return this.#questions.length > 0
  }

  open(): void {
    this.#open = true
  }

  /** @throws StateError when the pump does not run */
  ask<T>(read: (store: Stores) => T | Promise<T>): Promise<T> {
    if (!this.#open) return Promise.reject(this.#closed())
    return new Promise<T>((resolve, reject) => {
      this.#questions.push({ read, resolve: resolve as (answer: unknown) => void, reject })
      this.#wake()
    })
  }

  /** Answers all that wait; a question that throws fails its asker only. */
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

  close(): void {
    this.#open = false
    for (const { reject } of this.#questions.splice(0)) reject(this.#closed())
  }

  #closed(): StateError {
    return new StateError(
      `Task ${this.#taskId} is not running, so its stores cannot be read. Ask again when it is, or ask the process that owns it now.`,
      { details: { task: this.#taskId } }
    )
  }
}
