/** Records that come when their window is closed: counted, and shown to a handler of the user's. */
import type { StreamRecord } from '../record.ts'
import type { OperatorContext } from '../topology/node.ts'

/** A record that a closed window refused. A record of hopping or sliding windows may be late for some and in time for others. */
export interface Late<K, V> {
  readonly key: K
  readonly value: V
  /** Event time of the record, ms. */
  readonly timestamp: number
  /** The window that did not take it; a session: what it would have become. */
  readonly window: { readonly start: number; readonly end: number }
  /** How far stream time has passed the closing of the window, ms. */
  readonly lateBy: number
}

/** Called at once, in the task that refuses the record; the record counts as dropped all the same. What it gives is ignored. */
export type OnLate<K, V> = (late: Late<K, V>) => void

/** @param closed stream time less grace (and gap): the time up to which windows are closed */
export function refuse<K, V>(
  context: OperatorContext,
  onLate: OnLate<K, V> | undefined,
  record: StreamRecord<K, V>,
  start: number,
  end: number,
  closed: number
): void {
  context.drop('late')
  if (onLate === undefined) return
  const { key, value, timestamp } = record
  onLate({ key, value, timestamp, window: { start, end }, lateBy: closed - end })
}
