/** Waits until every broker serves: it knows its peers, and groups and transactions have coordinators. */
import { until } from '../until.ts'
import { aliveBrokers, hasCoordinators } from './probe.ts'

/**
 * Resolves when each of `nodes` answers, counts at least `count` living brokers, and names coordinators.
 * Rejects with `gone` as soon as that rejects (a broker ended), or with ERR_TIMEOUT.
 */
export async function clusterReady(
  nodes: readonly { address: string }[],
  count: number,
  options: { gone?: Promise<never>; signal?: AbortSignal | undefined; timeoutMs?: number } = {}
): Promise<void> {
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const waits = Promise.all(
    nodes.map(async ({ address }) => {
      const wait = { timeoutMs: options.timeoutMs ?? 60_000, everyMs: 25, signal }
      await until(async () => (await aliveBrokers(address)) >= count, {
        ...wait,
        what: `${address} answers and knows ${count} living broker(s)`
      })
      await until(() => hasCoordinators(address), { ...wait, what: `${address} names its coordinators` })
    })
  )
  waits.catch(() => {}) // when `gone` wins
  options.gone?.catch(() => {}) // when it loses, and a later stop() ends the broker
  try {
    await (options.gone ? Promise.race([waits, options.gone]) : waits)
  } finally {
    stop.abort(new Error('no longer waiting'))
  }
}
