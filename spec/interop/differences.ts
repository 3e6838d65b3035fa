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
    name: 'changes that change nothing',
    reason:
      'Whether Kafka Streams tells of a row that a filter has never passed hangs on who behind it asks for old values; a join behind it then repeats its result. ' +
      'Rows that are kept for our joins know what was there; other filters cannot tell, and pass deletions on. Only deletions of rows that are not there and repetitions of the row that is there differ; a repetition moves the time of the row in a join.',
    covers: ({ topology }, ours, theirs) =>
      has(topology, isFilter) && sameChanges(ours, theirs, !has(topology, joinsFiltered))
  },
  {
    name: 'sliding windows: the one behind a late record',
    reason:
      'Of a record that came too late for the window that ends at it, Kafka Streams forgets that the next record makes the window that begins behind it: it takes the record before for the last one. ' +
      'At the first difference ours has all that theirs has, and such a window.',
    covers: ({ topology, inputs }, ours, theirs) => {
      const first = ours.findIndex((step, i) => !sameRecords(step, theirs[i] ?? []))
      return (
        has(topology, (e) => e.window?.kind === 'sliding') &&
        inputs.some(({ ts }, i) => inputs.slice(0, i).some((before) => before.ts > ts)) &&
        first >= 0 &&
        (theirs[first] ?? []).every((record) => ours[first]!.some((other) => idOf(other) === idOf(record)))
      )
    }
  },
  {
    name: 'joins of tables that share a source give each result once',
    reason:
      'Both sides of such a join change with one record: Kafka Streams joins twice, the first time with a side that is half new (KAFKA-6443), and for an inner join does not tell of a deletion.',
    covers: ({ topology: e }, ours, theirs) =>
      e.op === 'join' && isTable(e.left) && shares(e.left, e.right) && sameRows(ours.flat(), theirs.flat())
  },
  {
    name: 'dropped records move the time of a join with grace',
    reason:
      'The buffer of such a join in Kafka Streams has a time of its own that only buffered records move; ours is the stream time of the operator, as everywhere.',
    covers: ({ topology, inputs }) =>
      has(topology, (e) => e.op === 'join' && e.graceMs !== undefined) &&
      inputs.some(({ topic, key, value }) => topic !== 'v1' && (key === null || value === null))
  }
]

export const isTable = (e: Any): boolean =>
  e.op === 'table' || (e.op !== 'stream' && e.op !== 'toStream' && !('window' in e))

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

export const isFilter = (e: Any): boolean => e.op === 'filter' || e.op === 'filterNot'

const joinsFiltered = (e: Any): boolean => (e.op === 'join' || e.op === 'foreignKeyJoin') && has(e, isFilter)

const sameRecords = (a: readonly CaseRecord[], b: readonly CaseRecord[]): boolean =>
  a.map(idOf).join() === b.map(idOf).join()

/** The same changes of rows, at the same inputs and in the same order, if those are left out that leave a row as it is. */
function sameChanges(ours: readonly CaseRecord[][], theirs: readonly CaseRecord[][], times: boolean): boolean {
  const changes = (steps: readonly CaseRecord[][]): string => {
    const rows = new Map<string, unknown>()
    return JSON.stringify(
      steps.map((step) =>
        step
          .filter(({ key, window, value }) => {
            const row = JSON.stringify([key, window])
            const same = (rows.get(row) ?? null) === value
            rows.set(row, value)
            return !same
          })
          .map((record) => idOf(times ? record : { ...record, ts: 0 }))
      )
    )
  }
  return changes(ours) === changes(theirs)
}

/**
 * Differences that the comparison takes out of Kafka Streams' way, so that what lies behind them is still compared to the letter. All in
 * CaseRunner.java:
 *
 * - Emit on close gives only windows and sessions that the store still keeps, so a jump of stream time loses them: its stores keep them a
 *   day longer (records find closed sessions no more than before). We emit every closed window.
 * - Suppress until close gives a sliding window or session in the last ms in which that takes records, so it may come twice. There it waits
 *   1 ms more. Ours waits until the window is closed.
 * - Stores of sliding windows forget windows that tell of the record before one that is not late yet: they keep them a day longer too.
 * - Stores hide what is exactly their retention behind their own time: of a stream joined with itself pairs in the window, of sessions one that
 *   still takes records. There the stores keep a millisecond more. We keep that millisecond.
 * - Results without a partner wait behind a guard, which takes the wrong side's length and forgets some of those that wait: they may come with
 *   another record. The guard is open. We emit with the first record that makes them due. The look once in a second of the wall clock, for
 *   these and for closed windows, is set to every record.
 * - The first change of an aggregate has the initial value as what was before (without a cache; with one, nothing); a suppressed table has that of
 *   the last change that went in, although nobody behind it has seen that; the row of a table that keeps none is computed when it is asked,
 *   and a filter asked for old values swallows changes in front of a buffer. Where old values or rows count behind such a table, the rows that
 *   came through are kept, and say what was before. Ours are those too.
 * - A join behind a suppress until a time makes filters in front of it swallow deletions of rows they never passed. Ours sees only the rows that the
 *   suppress has given, so such deletions take a place in the buffer and move its time, with a join behind it or without: the filters are not asked.
 * - repartition() lets null keys through if a left or outer join comes behind it; ours drops them, so a filter in front of it does there.
 */

/** What the generator draws nothing of, and why. The runner prints it. */
export const NOT_DRAWN: readonly { readonly what: string; readonly reason: string }[] = [
  {
    what: 'a stream merged with itself',
    reason:
      'Kafka Streams connects a node to one parent once, so each record comes once; ours come twice, as of two equal streams'
  },
  {
    what: 'two inputs of a join or merge that both come through internal topics from one source',
    reason: 'which of two records of one time comes first is not said: ours by arrival, there as a heap has it'
  },
  {
    what: 'suppress until a time behind a filter of joined tables',
    reason:
      'joins there always say what was before, so the filter swallows deletions of rows that it never passed; ours pass it, take a place in the buffer and move its time'
  },
  {
    what: 'joins of tables that share a source, but for one at the root',
    reason: 'Kafka Streams gives results twice (KAFKA-6443), and what lies behind them differs with that'
  },
  {
    what: 'join windows that do not hold their own time, near time 0',
    reason: 'Kafka Streams cuts both bounds at 0, so that they hold it there'
  },
  {
    what: 'several partitions, wall clock, cache, buffered inputs, headers, extractors, punctuate',
    reason:
      "Kafka Streams' test driver has one partition and takes records one by one; the given cases and the property specs have these"
  },
  {
    what: 'foreign-key joins whose left row changes before its response is there',
    reason:
      'Kafka Streams leaves a late response without a row out, and keeps the result for ever; ours asks again. The property specs and those of the operator have these'
  },
  {
    what: 'suppress that fails when it is full, null keys of global tables, versioned tables but as the right side of a stream',
    reason: 'left to the given cases and the specs of the operators'
  }
]

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
