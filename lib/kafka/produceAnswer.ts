/** What a partition's entry in a Produce answer asks for: nothing, the same bytes again, or the end of the producer. */
import type { TransportError } from '../errors.ts'
import { Code, faultOf, kafkaError } from './protocol/errors.ts'

export type Verdict =
  | { kind: 'done'; baseOffset: number }
  /** Send the same bytes again; `moved` = ask for the leader first. */
  | { kind: 'again'; moved: boolean; error: TransportError }
  | { kind: 'failed'; error: TransportError }

/** @param entry undefined when the answer has no entry for the partition, which is no success (D4) */
export function judge(
  entry: { error: number; baseOffset: number } | undefined,
  topic: string,
  partition: number
): Verdict {
  const what = `Producing to ${topic}-${partition}`
  const details = { topic, partition }
  if (!entry) {
    return {
      kind: 'again',
      moved: true,
      error: kafkaError(Code.UNKNOWN_TOPIC_OR_PARTITION, `${what} (the answer leaves the partition out)`, details)
    }
  }
  const { error } = entry
  if (error === Code.NONE) return { kind: 'done', baseOffset: entry.baseOffset }
  // The batch is in the log already, too far back for the broker to know its offset.
  if (error === Code.DUPLICATE_SEQUENCE_NUMBER) return { kind: 'done', baseOffset: -1 }
  const fault = faultOf(error)
  if (fault === 'metadata') return { kind: 'again', moved: true, error: kafkaError(error, what, details) }
  // 51: the partition was added to a transaction whose predecessor is still being settled.
  if (fault === 'retriable' || fault === 'unstable' || fault === 'coordinator') {
    return { kind: 'again', moved: false, error: kafkaError(error, what, details) }
  }
  return { kind: 'failed', error: kafkaError(error, what, details) }
}
