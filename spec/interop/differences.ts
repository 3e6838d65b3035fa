/** Where we differ from Kafka Streams on purpose. Whatever is not listed here is a bug. */
import type { Any, Case, CaseRecord } from '../conformance/format.ts'

export interface Deliberate {
  readonly name: string
  readonly reason: string
  /** Whether this explains that ours and theirs are not the same. Outputs by step. */
  covers(c: Pick<Case, 'topology' | 'inputs'>, ours: readonly CaseRecord[][], theirs: readonly CaseRecord[][]): boolean
}

export const DIFFERENCES: readonly Deliberate[] = [
  {
    name: 'closed windows after a jump of stream time',
    reason:
      'Kafka Streams emits on close only windows that are still within the retention of its store: a jump of stream time loses them. We emit every closed window.',
    covers: ({ topology }, ours, theirs) =>
      has(topology, (e) => e.emit === 'close') && within(theirs.flat(), ours.flat())
  },
  {
    name: 'records without a partner come out when they are due',
    reason:
      'In a left or outer join of streams whose window is longer on one side, Kafka Streams looks for what is due only after a guard that takes the wrong side’s length: ' +
      'it may wait for another record. We emit with the first record that makes it due.',
    covers: ({ topology: e }, ours, theirs) =>
      e.op === 'join' &&
      e.how !== 'inner' &&
      e.window !== undefined &&
      e.window.beforeMs !== e.window.afterMs &&
      within(theirs.flat(), ours.flat())
  },
  {
    name: 'the last millisecond of retention in stream joins and sessions',
    reason:
      'The stores of a stream join in Kafka Streams hide what is exactly before + after + grace behind their own stream time: of a stream joined with itself it loses pairs that are in the window. Session stores hide what is gap + grace behind, although such a session still takes records. ' +
      'We keep that millisecond.',
    covers: ({ topology, inputs }) => has(topology, (e) => e.window !== undefined && apart(inputs, span(e.window)))
  },
  {
    name: 'joins of tables that share a source give each result once',
    reason:
      'Both sides of such a join change with one record: Kafka Streams joins twice, the first time with a side that is half new (KAFKA-6443), and for an inner join does not tell of a deletion.',
    covers: ({ topology: e }, ours, theirs) =>
      e.op === 'join' && isTable(e.left) && shares(e.left, e.right) && sameRows(ours.flat(), theirs.flat())
  },
  {
    name: 'suppress tells what it gave last as what was before',
    reason:
      'The buffer of Kafka Streams gives the old value of the last change that went in, although nobody behind it has seen that value, and makes a filter in front of it keep rows. ' +
      'A join, a filter or a grouping at such a table then says of rows that never were that they are gone.',
    covers: ({ topology }, ours, theirs) =>
      has(topology, (e) => e.op === 'suppress' && e.until !== 'close') &&
      (sameButDeletions(ours.flat(), theirs.flat()) || has(topology, holdsFiltered))
  },
  {
    name: 'a stream joined with a table that the same record is still to change',
    reason:
      'Kafka Streams computes the row of a joined or suppressed table from the tables below when it is asked, so that it may see a record that has not come through to that table. We read the row that the table has given.',
    covers: ({ topology }) => has(topology, joinsComputed)
  },
  {
    name: 'deletions of rows that never were, behind a join with a filtered table',
    reason:
      'Whether Kafka Streams tells of a row that a filter has never passed hangs on who behind it asks for old values. Rows that are kept for our joins know what was there. Only such deletions differ.',
    covers: ({ topology }, ours, theirs) =>
      has(topology, (e) => (e.op === 'join' || e.op === 'foreignKeyJoin') && has(e, isFilter)) &&
      sameButDeletions(ours.flat(), theirs.flat())
  },
  {
    name: 'deletions of rows that never were, behind a filtered aggregate',
    reason:
      'The first change of an aggregate has its initial value as what was before in Kafka Streams: a filter that would have passed that value says that the row is gone. Ours has no old value there.',
    covers: ({ topology }, ours, theirs) =>
      has(topology, (e) => isFilter(e) && has(e, (inner) => inner.op === 'count' || inner.op === 'sum')) &&
      within(ours.flat(), theirs.flat()) &&
      sameButDeletions(ours.flat(), theirs.flat())
  },
  {
    name: 'null keys end at repartition()',
    reason:
      'Kafka Streams lets null keys through any repartition topic with a left or outer join behind it; ours through the topic that the join makes for itself, while repartition() always drops them.',
    covers: ({ topology }, ours, theirs) =>
      has(topology, (e) => e.op === 'join' && e.how !== 'inner' && has(e, (inner) => inner.op === 'repartition')) &&
      within(ours.flat(), theirs.flat()) &&
      theirs.flat().some((r) => r.key === null)
  },
  {
    name: 'dropped records move the time of a join with grace',
    reason:
      'The buffer of such a join in Kafka Streams has a time of its own that only buffered records move; ours is the stream time of the operator, as everywhere.',
    covers: ({ topology, inputs }) =>
      has(topology, (e) => e.op === 'join' && e.graceMs !== undefined) &&
      inputs.some(({ key, value }) => key === null || value === null)
  },
  {
    name: 'a filter of joined tables passes deletions of rows that it never had',
    reason:
      'Kafka Streams works out the old result of a table join from the old rows; we do so only where the results are kept, so a filter behind a join cannot tell and passes the deletion on, ' +
      'as it does behind a table that is read from a topic.',
    covers: ({ topology }, ours, theirs) =>
      has(topology, (e) => (e.op === 'filter' || e.op === 'filterNot') && isJoined(e.in)) &&
      within(theirs.flat(), ours.flat()) &&
      within(
        ours.flat().filter((r) => r.value !== null),
        theirs.flat()
      )
  }
]

const span = ({ kind, gapMs, beforeMs, afterMs, graceMs = 0 }: Any): number => {
  if (kind === undefined) return beforeMs + afterMs + graceMs
  return kind === 'session' ? gapMs + graceMs : Number.NaN
}

/** Whether any two of the records are exactly so far apart. */
function apart(inputs: Case['inputs'], ms: number): boolean {
  const times = new Set(inputs.map(({ ts }) => ts))
  return [...times].some((ts) => times.has(ts + ms))
}

const isTable = (e: Any): boolean => e.op === 'table' || (e.op !== 'stream' && e.op !== 'toStream' && !('window' in e))

function shares(a: Any, b: Any): boolean {
  return has(a, (e) => e.topic !== undefined && has(b, (other) => other.topic === e.topic))
}

/** Whether both end with the same rows, but for rows that ours has deleted: after a deletion, theirs may keep a result of an inner join. */
function sameRows(ours: readonly CaseRecord[], theirs: readonly CaseRecord[]): boolean {
  const rows = (records: readonly CaseRecord[]): Map<string, unknown> =>
    new Map(records.map((r) => [JSON.stringify([r.key, r.window]), r.value]))
  const mine = rows(ours)
  const others = [...rows(theirs)].filter(([key, value]) => value !== null && mine.get(key) !== null)
  const kept = [...mine].filter(([, value]) => value !== null)
  return kept.length === others.length && others.every(([key, value]) => mine.get(key) === value)
}

/** What the filter does not pass there neither fills the buffer nor moves its time. */
const holdsFiltered = (e: Any): boolean => {
  const below = (n: Any): boolean => n.op === 'filter' || n.op === 'filterNot' || (n.op === 'mapValues' && below(n.in))
  return e.op === 'suppress' && below(e.in)
}

const isFilter = (e: Any): boolean => e.op === 'filter' || e.op === 'filterNot'

const joinsComputed = (e: Any): boolean =>
  e.op === 'join' &&
  shares(e.left, e.right) &&
  has(e.right, (inner) => inner.op === 'suppress' || inner.op === 'join' || inner.op === 'foreignKeyJoin')

const sameButDeletions = (a: readonly CaseRecord[], b: readonly CaseRecord[]): boolean => {
  const rows = (records: readonly CaseRecord[]): CaseRecord[] => records.filter((r) => r.value !== null)
  return within(rows(a), rows(b)) && within(rows(b), rows(a))
}

/**
 * Differences that the comparison takes out of Kafka Streams' way instead, so that what lies behind them is still compared:
 *
 * - A stream merged with itself: Kafka Streams connects a node to the same parent once, so that each record comes once; we give it twice,
 *   as two streams of the same records would. Such cases are not drawn.
 * - The first change of an aggregate: Kafka Streams gives the initial value as what was before (without a cache; with one, nothing). A
 *   grouped table behind it then takes off what it never put on, and its counts are too low. Ours has no old value there. CaseRunner.java puts
 *   a table of the results in between, which gives true old values.
 * - The look-out for closed windows and due join results once in a second of the wall clock: it is set to every record.
 */

function isJoined(e: Any): boolean {
  if (e.op === 'join' || e.op === 'foreignKeyJoin') return true
  return ['filter', 'filterNot', 'mapValues'].includes(e.op) && isJoined(e.in)
}

/** Faults of Kafka Streams that we do not have, by a word of their message. */
export const THEIR_FAULTS: readonly { readonly name: string; readonly word: string; readonly reason: string }[] = [
  {
    name: 'one topic read as a stream and as a table',
    word: 'has already been registered by another source',
    reason: 'Kafka Streams refuses a topic in two sources; here it is one source that both use.'
  },
  {
    name: 'a null key in a left join with a versioned table',
    word: 'NullPointerException: key cannot be null',
    reason:
      'Kafka Streams asks its store for the null key and fails; we join the record with null, as with any other table.'
  }
]

/** @returns the difference that explains it, if there is one */
export function deliberate(
  c: Pick<Case, 'topology' | 'inputs'>,
  ours: readonly CaseRecord[][],
  theirs: readonly CaseRecord[][]
): Deliberate | undefined {
  return DIFFERENCES.find((difference) => difference.covers(c, ours, theirs))
}

/** Whether any node of the expression satisfies the predicate. */
export function has(node: Any, wanted: (e: Any) => boolean): boolean {
  if (typeof node !== 'object' || node === null) return false
  return wanted(node) || [node.in, node.left, node.right].flat().some((child) => has(child, wanted))
}

const idOf = ({ key, value, ts, window }: CaseRecord): string => JSON.stringify([key, value, ts, window])

/** Whether `part` has nothing that `whole` has not. */
function within(part: readonly CaseRecord[], whole: readonly CaseRecord[]): boolean {
  const left = new Map<string, number>()
  for (const record of whole) left.set(idOf(record), (left.get(idOf(record)) ?? 0) + 1)
  return part.every((record) => {
    const count = left.get(idOf(record)) ?? 0
    left.set(idOf(record), count - 1)
    return count > 0
  })
}
