/** Suppress: a table whose changes are held back. */
import { ConfigError, TopologyError } from '../errors.ts'
import { SuppressOperator } from '../operators/suppress.ts'
import { entrySerde } from '../operators/suppressEntry.ts'
import { TableRowsOperator } from '../operators/tableRows.ts'
import { isWindowed } from '../serde/windowed.ts'
import { type Duration, ms } from '../time.ts'
import { callSite } from '../topology/names.ts'
import { keySerde, type Part, stateName, step, valueSerde } from './part.ts'
import { specOf } from './store.ts'
import { idleOf } from './windows.ts'

export interface SuppressOptions {
  /**
   * 'close': only the last result of each window goes on, when the window takes no more records. A duration: the last change of a key goes on
   * when stream time has passed the time of its first one by so much.
   */
  readonly until: 'close' | Duration
  /**
   * Until a time: while a task gets no record for so long, at least 100 ms, time goes on as the wall clock does, and what waits goes on. Until close it is the
   * windows that say it: `windowedBy(…, { closeIdleAfter })`. Default: time is that of records only.
   */
  readonly closeIdleAfter?: Duration
  /** How many keys may wait. Default: any number. */
  readonly maxRecords?: number
  /** Serialised bytes of the keys and values that may wait. Default: any number. */
  readonly maxBytes?: number
  /** Beyond the bounds: 'emit' passes the oldest on early, 'fail' fails the task. Default 'emit'; until close only 'fail' keeps the promise. */
  readonly full?: 'emit' | 'fail'
  /** Names the node, its store and so its changelog. Without one the name is derived, with a warning. */
  readonly name?: string
  /** What waits is written to a changelog topic and restored from it. Default true. */
  readonly logged?: boolean
  /** Settings of the changelog topic that differ from Millrace's. */
  readonly topicConfig?: Readonly<Record<string, string>>
}

/** @internal The node that holds back, and the rows behind it should somebody need them. */
export function suppressPart<K, V>(
  part: Part<K, V>,
  options: SuppressOptions
): { readonly part: Part<K, V>; readonly materialise: () => string } {
  const { logged, topicConfig } = options
  const key = keySerde(part, undefined, 'suppress()')
  const value = valueSerde(part, undefined)
  const suppression = checked(part, options)
  const name = stateName(part, 'suppress', options.name)
  const kind = 'buffer' as const
  part.graph.addStore(specOf({ name, kind, key, value: entrySerde(value), caching: true, logged, topicConfig }))
  const create = (): SuppressOperator<K, V> => new SuppressOperator(name, key, value, suppression)
  const node = step(part, 'suppress', { name, stores: [name], keepsKey: true }, create)
  const result: Part<K, V> = { ...part, node, anchor: name }
  let rows: string | undefined
  const materialise = (): string => {
    if (rows !== undefined) return rows
    const store = stateName(result, 'rows', options.name && `${options.name}-rows`)
    part.graph.addStore(specOf({ name: store, kind: 'keyValue', key, value, caching: true, logged, topicConfig }))
    step(
      result,
      'rows',
      { name: store, stores: [store], keepsKey: true },
      () => new TableRowsOperator(store, key, false)
    )
    rows = store
    return store
  }
  return { part: result, materialise }
}

function checked(
  part: Part<never, never> | Part<unknown, unknown>,
  options: SuppressOptions
): {
  readonly untilClose: boolean
  readonly wait: number
  readonly maxRecords: number
  readonly maxBytes: number
  readonly full: 'emit' | 'fail'
  readonly idleMs: number | undefined
} {
  const never = Number.POSITIVE_INFINITY
  const { until, maxRecords = never, maxBytes = never } = options
  for (const [what, bound] of Object.entries({ maxRecords, maxBytes })) {
    if (bound !== never && !(Number.isInteger(bound) && bound >= 1)) {
      throw new ConfigError(`suppress (${callSite()}) has ${what} ${bound}: it must be a whole number of at least 1.`)
    }
  }
  if (until !== 'close') {
    const idleMs = idleOf(`suppress (${callSite()})`, options)
    return { untilClose: false, wait: ms(until), maxRecords, maxBytes, full: options.full ?? 'emit', idleMs }
  }
  const { closesAfter } = part
  if (!part.key || !isWindowed(part.key) || closesAfter === undefined || part.key.size === never) {
    throw new TopologyError(
      `suppress (${callSite()}) waits until windows close, but its table has none that do. Use it behind windowedBy(…), or give it a time: { until: '5m' }.`,
      { code: 'ERR_TOPOLOGY_WINDOW' }
    )
  }
  if (options.closeIdleAfter !== undefined) {
    throw new TopologyError(
      `suppress (${callSite()}) waits for windows that close when windowedBy says so, or they would be given on twice. Move closeIdleAfter there: windowedBy(…, { closeIdleAfter }).`,
      { code: 'ERR_TOPOLOGY_WINDOW' }
    )
  }
  if (options.full === 'emit') {
    throw new TopologyError(
      `suppress (${callSite()}) shall give only final results, which { full: 'emit' } would break. Use { full: 'fail' }, or no bound.`,
      { code: 'ERR_TOPOLOGY_WINDOW' }
    )
  }
  return { untilClose: true, wait: closesAfter, maxRecords, maxBytes, full: 'fail', idleMs: part.idleMs }
}
