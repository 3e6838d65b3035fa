/** The seam below reader, group and producer: typed requests of Kafka's protocol to a node. Kafka and the embedded log answer it. */
import { TransportError } from '../errors.ts'
import type { ApiMap } from './protocol/api.ts'

export type ApiName = keyof ApiMap

/** A broker's id, or a role the lane looks up: any broker, or the controller. */
export type Node = number | 'any' | 'controller'

/**
 * A set of connections that nobody else uses, one per broker: a parked JoinGroup or long Fetch holds up only its own lane.
 * Connections are made at the first call and again after a loss.
 */
export interface Lane {
  /**
   * Sends one request; calls to the same node are answered in the order they were made.
   * Resolves with the decoded answer whatever error codes it carries: those are the caller's to judge.
   * @throws TransportError 'retriable' when the request surely did not reach the broker or has no effect to repeat, 'unknown-outcome'
   *   when the connection was lost or timed out after it was written, 'fatal' when the broker does not speak the version, and
   *   'fatal' with code ERR_TRANSPORT_CLOSED when the lane or its wire was closed before the answer came.
   */
  call<A extends ApiName>(
    node: Node,
    api: A,
    request: ApiMap[A]['request'],
    options?: { timeoutMs?: number }
  ): Promise<ApiMap[A]['response']>
  close(): Promise<void>
}

export interface Wire {
  /**
   * Names: 'group:<id>', 'source', 'restore', 'producer:<n>', 'control'. The same name gives the same lane until that is closed.
   * Never throws: a closed wire gives lanes that refuse each call, so that whoever is under way meets it as any other failure.
   */
  lane(name: string): Lane
  close(): Promise<void>
}

/** What a call on a closed lane is rejected with, and one that was under way. */
export function closedError(): TransportError {
  return new TransportError(
    'The transport was closed: what was under way has ended, and nothing new begins.',
    'fatal',
    {
      code: 'ERR_TRANSPORT_CLOSED'
    }
  )
}
