/** How far a run of the bench is, and how long it will be: guessed from what each part took elsewhere, corrected by what this run takes. */
import { stopwatch } from '../../lib/time.ts'
import type { BenchOptions } from './types.ts'

/** Seconds for a million records through Millrace and both kinds of Kafka Streams, on two cores with the broker beside. */
const WORKLOADS: Readonly<Record<string, number>> = {
  ...{ read: 10, pass: 12, json: 50, count: 50, 'count-large': 140, window: 70, session: 110 },
  ...{ 'stream-table': 45, 'stream-stream': 150, machine: 90 }
}
/** Seconds for one run of each of the three. */
const SPECIALS: Readonly<Record<string, number>> = { latency: 60, start: 20, restore: 40, failover: 500 }
/** Seconds for a guarantee, of Millrace alone. */
const ALONE: Readonly<Record<string, number>> = { scale: 120, long: 90 }
/** A run's process, topics and check, seconds. */
const RUN = 6
const UNKNOWN = 60

/** @param names of workloads and specials, in the order they are run */
export function progress(names: readonly string[], options: BenchOptions) {
  const guesses = names.map((name) => guess(name, options))
  const total = guesses.reduce((a, b) => a + b, 0)
  const began = stopwatch()
  return {
    /** All of it, before it begins. */
    whole: `${names.length} benches, about ${span(total)}`,
    /** Call as bench `n` (0 is the first) begins. */
    at(n: number): string {
      const elapsed = (stopwatch() - began) / 1_000
      const done = guesses.slice(0, n).reduce((a, b) => a + b, 0)
      const left = (total - done) * (done > 0 ? elapsed / done : 1)
      return `[${n + 1} of ${names.length}, ${span(elapsed)} gone, about ${span(left)} to go]`
    }
  }
}

function guess(name: string, { guarantees, pairs, peers, records, warmUp }: BenchOptions): number {
  const sides = 1 + peers.length
  const runs = guarantees.length * pairs * sides
  if (name in ALONE) return ALONE[name]! * guarantees.length
  if (name in SPECIALS) return (SPECIALS[name]! / 3) * runs
  const warm = warmUp ? guarantees.length * RUN : 0
  return ((((WORKLOADS[name] ?? UNKNOWN) / 3) * records) / 1e6 + RUN) * runs + warm
}

const span = (seconds: number): string =>
  seconds < 100 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`
