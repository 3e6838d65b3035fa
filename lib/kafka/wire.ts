/** The seam below reader, group and producer: typed requests of Kafka's protocol to a node. Kafka and the embedded log answer it. */
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
   *   when the connection was lost or timed out after it was written, 'fatal' when the broker does not speak the version.
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
  /** Names: 'group:<id>', 'source', 'restore', 'producer:<n>', 'control'. The same name gives the same lane. */
  lane(name: string): Lane
  close(): Promise<void>
}
