/** Says of a failure where it happened: node, topic, partition, offset. */
import { DecodeError, EncodeError, MillraceError, ProcessingError } from '../errors.ts'
import type { RecordContext } from './node.ts'

const located = new WeakSet<object>()

/** Thrown through the operators: the record in hand comes again, whole, after so many ms. Nothing of it has left a trace. */
export class Parked extends Error {
  readonly delayMs: number
  constructor(delayMs: number) {
    super(`The record waits ${delayMs} ms.`)
    this.delayMs = delayMs
  }
}

/** Thrown through the operators: the task leaves while it waits with a record in hand. It leaves without a commit. */
export class Unfinished extends Error {}

/** No failure, but a way out. */
export const isSignal = (error: unknown): boolean => error instanceof Parked || error instanceof Unfinished

/** What user code threw becomes a ProcessingError with it as cause; errors of ours keep their class and learn their place. */
export function locate(error: unknown, node: string, source: RecordContext | undefined): unknown {
  if (typeof error === 'object' && error !== null && (located.has(error) || isSignal(error))) return error
  const at = source
    ? `topic ${source.topic}, partition ${source.partition}, offset ${source.offset}`
    : 'no record in hand'
  const details = source ? { node, topic: source.topic, partition: source.partition, offset: source.offset } : { node }
  let result: MillraceError
  if (error instanceof MillraceError) {
    result = error
    for (const [name, value] of Object.entries(details)) result.details[name] ??= value
    if (error instanceof DecodeError || error instanceof EncodeError) result.message += ` (node "${node}", ${at})`
  } else {
    const text = error instanceof Error ? error.message : String(error)
    result = new ProcessingError(
      `Node "${node}" threw: ${text} (${at}). Mend the function given to that node, or declare what happens to such records.`,
      { cause: error, details }
    )
  }
  located.add(result)
  return result
}
