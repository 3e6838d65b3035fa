/** Counts the calls that run in a database, so that a close waits for them and refuses new ones. */
import { StateError } from '../errors.ts'

export class Gate {
  readonly #directory: string
  #running = 0
  #closing: (() => void) | undefined
  #closed = false

  constructor(directory: string) {
    this.#directory = directory
  }

  get closed(): boolean {
    return this.#closed
  }

  /** @throws StateError ERR_STATE when the database is closed or closing. */
  enter(): void {
    if (this.#closed) {
      throw new StateError(
        `The database in ${this.#directory} is closed. Do not keep a store after its task was closed or moved.`
      )
    }
    this.#running++
  }

  leave(): void {
    if (--this.#running === 0) this.#closing?.()
  }

  /** Refuses calls from now on; resolves when the last running one has left. */
  async shut(): Promise<void> {
    this.#closed = true
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#closing = resolve
      })
    }
  }
}
