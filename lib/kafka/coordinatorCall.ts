/** One request to a group's or transaction's coordinator, wherever it is at the moment, repeated as long as that may help. */
import { TransportError } from '../errors.ts'
import type { Cluster } from './cluster.ts'
import type { ApiMap } from './protocol/api.ts'
import { faultOf, kafkaError } from './protocol/errors.ts'
import { retry } from './retry.ts'
import type { ApiName, Lane } from './wire.ts'

export interface CoordinatorCall<A extends ApiName> {
  kind: 'group' | 'transaction'
  key: string
  api: A
  request: ApiMap[A]['request']
  /** The code that counts in an answer; 0 = all is well. */
  code(answer: ApiMap[A]['response']): number
  /** Start of the sentence of an error: `Committing transaction t-0_3`. */
  what: string
  /** How long it is repeated, in ms. */
  timeoutMs: number
  signal?: AbortSignal
  /** Told of each try whose fate is unknown: an answer lost after the request was written. */
  onLost?(): void
}

/**
 * Repeats what a broker in motion answers (codes 14, 15, 16, 51 …), connection errors, and lost answers: every request that goes
 * to a coordinator may be repeated, its second execution changes nothing.
 * @throws TransportError the last one met
 */
export async function callCoordinator<A extends ApiName>(
  cluster: Cluster,
  lane: Lane,
  call: CoordinatorCall<A>
): Promise<ApiMap[A]['response']> {
  const once = async (): Promise<ApiMap[A]['response']> => {
    const node = await cluster.coordinator(call.kind, call.key)
    let answer: ApiMap[A]['response']
    try {
      answer = await lane.call(node, call.api, call.request)
    } catch (error) {
      // The broker may be gone for good: the next try asks who took over.
      cluster.forgetCoordinator(call.kind, call.key)
      if (isLost(error)) call.onLost?.()
      throw error
    }
    const code = call.code(answer)
    if (code === 0) return answer
    const fault = faultOf(code)
    if (fault === 'coordinator') cluster.forgetCoordinator(call.kind, call.key)
    throw kafkaError(code, call.what, { [call.kind]: call.key })
  }
  const options = { what: call.what, timeoutMs: call.timeoutMs, ...(call.signal && { signal: call.signal }) }
  // Two paces: a transaction being settled is done in milliseconds (a slow start of back-off made stock clients wait 260 ms,
  // D7), while a broker that is gone is not asked 100 times a second.
  return retry(cluster, { ...options, baseMs: 20, maxMs: 500, retriable: mayRepeat }, () =>
    retry(cluster, { ...options, baseMs: 5, maxMs: 20, retriable: isUnstable }, once)
  )
}

const isUnstable = (error: unknown): boolean => error instanceof TransportError && error.fault === 'unstable'

/** The request was written and no answer came. */
export const isLost = (error: unknown): boolean =>
  error instanceof TransportError && error.fault === 'unknown-outcome' && error.kafkaCode === undefined

/** Repeating the same request may succeed, if its second execution changes nothing. */
export const mayRepeat = (error: unknown): boolean =>
  error instanceof TransportError && error.fault !== 'unstable' && (error.retriable || isLost(error))

/** The code that matters among those of partitions: the first that is not a mere consequence of another one. */
export function firstError(
  topics: readonly { topic: string; partitions: readonly { partition: number; error: number }[] }[]
): { code: number; topic: string; partition: number } {
  let found = { code: 0, topic: '', partition: -1 }
  for (const { topic, partitions } of topics) {
    for (const { partition, error } of partitions) {
      // 55 OPERATION_NOT_ATTEMPTED only says that another partition failed.
      if (error !== 0 && (found.code === 0 || found.code === 55)) found = { code: error, topic, partition }
    }
  }
  return found
}
