/** What the job of the crash specs is made of: counts by an aggregation, or by a behaviour whose timers tell them. */
import { defineBehaviour } from '../../lib/behaviour/define.ts'
import type { KeyedRow } from '../../lib/behaviour/keyedRow.ts'
import { topology } from '../../lib/dsl/index.ts'
import type { Topic } from '../../lib/dsl/topic.ts'
import { json } from '../../lib/serde/index.ts'
import type { Buildable } from '../../lib/topology/built.ts'

/** Event time of the first number, ms; each next one is a ms later. */
export const START = 1_000

export interface Kind {
  /** With the counts; changelogged. */
  readonly store: string
  readonly count: (row: never) => number
  /** Totals go out by timers, so that the last ones come only when time goes on. */
  readonly timers: boolean
  /** `numbers` by the words in, out, totals. */
  readonly topology: (numbers: (what: string) => Topic<string, number>) => Buildable
}

export const counting: Kind = {
  store: 'counts',
  count: (count: number) => count,
  timers: false,
  topology: (numbers) => {
    const t = topology()
    const stream = t.stream(numbers('in'))
    stream.to(numbers('out'))
    stream.groupByKey().count({ name: 'counts' }).toStream().to(numbers('totals'))
    return t
  }
}

interface Bell {
  readonly count: number
  /** A timer is set. One that is lost stays set for ever, and the key says nothing more. */
  readonly waits: boolean
}

/** With five keys in turn, a key's timer falls behind each second number of the key. */
const BELL_MS = 7

export const bells: Kind = {
  store: 'bells-state',
  count: ({ state }: KeyedRow<Bell>) => state!.count,
  timers: true,
  topology: (numbers) =>
    defineBehaviour('bells', {
      input: { numbers: numbers('in') },
      output: { out: numbers('out'), totals: numbers('totals') },
      state: json<Bell>(),
      initial: () => ({ count: 0, waits: false }),
      receive: {
        numbers({ count, waits }, number, { emit, timers }) {
          if (number < 0) return undefined
          emit.out(number)
          if (!waits) timers.set('bell', { after: BELL_MS })
          return { count: count + 1, waits: true }
        }
      },
      timer: {
        bell({ count }, { emit }) {
          emit.totals(count)
          return { count, waits: false }
        }
      }
    })
}

/** A count behind what leaves out: what the first store knows and the second does not is not counted any more. */
export const countedOnce: Kind = {
  store: 'counts',
  count: (count: number) => count,
  timers: false,
  topology: (numbers) => {
    const t = topology()
    const fresh = t.stream(numbers('in')).deduplicate({ within: '1h', by: ({ value }) => String(value), name: 'once' })
    fresh.to(numbers('out'))
    fresh.groupByKey().count({ name: 'counts' }).toStream().to(numbers('totals'))
    return t
  }
}

/** Each number with those of its key within `PAIRS_MS` that 3 divides; without, when there are none. */
export const PAIRS_MS = 12
export const ALONE = 999
export const pairs: Kind = {
  store: 'pairs-pending',
  count: () => 1,
  timers: false,
  topology: (numbers) => {
    const t = topology()
    const stream = t.stream(numbers('in'))
    stream
      .leftJoin(
        stream.filter(({ value }) => value % 3 === 0),
        (left: number, right: number | null) => left * 1_000 + (right ?? ALONE),
        { within: { before: 0, after: PAIRS_MS }, name: 'pairs' }
      )
      .to(numbers('out'))
    return t
  }
}

/** Leaves out what its state knows: a record whose output is lost once the state has it is lost for good. */
export const once: Kind = {
  store: 'once',
  count: () => 1,
  timers: false,
  topology: (numbers) => {
    const t = topology()
    t.stream(numbers('in'))
      .deduplicate({ within: '1h', by: ({ value }) => String(value), name: 'once' })
      .to(numbers('out'))
    return t
  }
}
