/** The hop into a node where rules for records hold: the failure of a record ends here, or goes on as that of the task. */
import type { MillraceError } from '../errors.ts'
import type { StreamRecord } from '../record.ts'
import type { MaybePromise } from '../store/port.ts'
import { isRecordFailure } from '../supervise/decide.ts'
import type { Rule } from '../supervise/rules.ts'
import { isSignal, locate } from './failure.ts'
import type { RecordContext } from './node.ts'

// biome-ignore lint/suspicious/noExplicitAny: a task carries records of every type
type AnyRecord = StreamRecord<any, any>

/** A record that failed at a node. */
export interface FailedRecord {
  readonly node: string
  /** Scopes within the task, the node's own first. */
  readonly scopes: readonly (readonly Rule[])[]
  readonly error: MillraceError
  /** As it came to the node. */
  readonly record: AnyRecord
  readonly source: RecordContext | undefined
  /** Runs at this node since it was taken in hand, this one included. */
  readonly attempt: number
}

/** What a task does with records that fail. */
export interface RecordSupervisor {
  /** Rules of the runtime ask for guards at every node. */
  readonly everywhere: boolean
  /**
   * Decides, and does what can be done at once. @returns after how many ms to run the record again; undefined: it is gone past
   * @throws the error, when it is the task's to fail; a Parked, when the whole record comes again later
   */
  judge(failed: FailedRecord): number | undefined
  /** Whether the rules say to put the record off until its key is due, and for how long, ms. Pure but for the dice. */
  putOff(failed: FailedRecord): number | undefined
  /** With the record in hand. @throws Unfinished when the task is to leave */
  wait(delayMs: number): Promise<void>
}

const judged = new WeakSet<object>()

/** One per node. Throws of nodes behind this one come judged, and pass. */
export class Guard {
  readonly #node: string
  readonly #scopes: readonly (readonly Rule[])[]
  readonly #supervisor: RecordSupervisor
  readonly #source: () => RecordContext | undefined

  constructor(
    node: string,
    scopes: readonly (readonly Rule[])[],
    supervisor: RecordSupervisor,
    source: () => RecordContext | undefined
  ) {
    this.#node = node
    this.#scopes = scopes
    this.#supervisor = supervisor
    this.#source = source
  }

  /** The target, guarded. */
  wrap(target: { process(record: AnyRecord): MaybePromise<void> }): { process(record: AnyRecord): MaybePromise<void> } {
    return {
      process: (record) => {
        try {
          const result = target.process(record)
          return result === undefined
            ? undefined
            : result.catch((error) => this.failed(error, record, 1, () => target.process(record)))
        } catch (error) {
          return this.failed(error, record, 1, () => target.process(record))
        }
      }
    }
  }

  /** As a guarded hop, for calls of an operator into itself. `attempt`: which run of the record this is, from 1. */
  run(record: AnyRecord, attempt: number, call: () => MaybePromise<void>): MaybePromise<void> {
    try {
      const result = call()
      return result === undefined ? undefined : result.catch((error) => this.failed(error, record, attempt, call))
    } catch (error) {
      return this.failed(error, record, attempt, call)
    }
  }

  /** After how many ms the record is to come again by its key; undefined when that is not what the rules say. */
  putOff(error: unknown, record: AnyRecord, attempt: number): number | undefined {
    const failed = this.#failed(error, record, attempt)
    return failed && this.#supervisor.putOff(failed)
  }

  failed(error: unknown, record: AnyRecord, attempt: number, again: () => MaybePromise<void>): MaybePromise<void> {
    const failed = this.#failed(error, record, attempt)
    if (failed === undefined) throw error
    let delayMs: number | undefined
    try {
      delayMs = this.#supervisor.judge(failed)
    } catch (decided) {
      judged.add(failed.error)
      throw decided
    }
    if (delayMs === undefined) return
    return this.#supervisor.wait(delayMs).then(() => this.run(record, attempt + 1, again))
  }

  /** undefined: not the record's failure, or not this node's. */
  #failed(error: unknown, record: AnyRecord, attempt: number): FailedRecord | undefined {
    if (isSignal(error)) return undefined
    const source = this.#source()
    const located = locate(error, this.#node, source)
    if (!isRecordFailure(located) || judged.has(located)) return undefined
    return { node: this.#node, scopes: this.#scopes, error: located, record, source, attempt }
  }
}
