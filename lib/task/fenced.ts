/** What a task throws when another has taken its place. */
import { FencedError, TransportError } from '../errors.ts'
import { tpKey } from '../record.ts'
import type { TaskPlan } from './port.ts'

/** FencedError for a transport's refusal; any other error as it is. */
export function asTaskError(error: unknown, { id, sources }: TaskPlan): unknown {
  if (!(error instanceof TransportError) || error.fault !== 'fenced') return error
  return new FencedError(
    `Task ${id} was fenced: another process opened it, or its transaction took longer than the time-out. ` +
      'It is given up here; if it is still assigned to this process it is opened again.',
    { cause: error, details: { task: id, sources: sources.map((tp) => tpKey(tp.topic, tp.partition)) } }
  )
}
