/** What the figures are to reach, and whether they do. Each target says how many times better than the peer Millrace is to be. */

import type { Guarantee } from '../../lib/task/port.ts'
import type { Measure } from '../specials/types.ts'
import type { PeerName, Result } from './types.ts'

export interface Verdict {
  readonly name: string
  readonly figure: string
  readonly guarantee: Guarantee
  readonly peer: PeerName
  /** How many times better: of what is to be low (times, memory, CPU time), the peer's figure divided by ours. */
  readonly times: number
  readonly target: number
  readonly met: boolean
}

type KafkaStreams = 'kafka-streams' | 'kafka-streams-tuned'
const isKafkaStreams = (peer: string): peer is KafkaStreams => peer.startsWith('kafka-streams')

/** Of the median of the ratios, records/s. */
const RATE: Readonly<Record<KafkaStreams, number>> = { 'kafka-streams': 3, 'kafka-streams-tuned': 2 }
const MEMORY = 2
const CPU: Readonly<Record<string, number>> = { pass: 5, count: 5 }
/** By bench and figure. Times are better when they are less, rates when they are more. */
const MEASURES: Readonly<Record<string, { target: number; more?: 'is better' }>> = {
  'latency p99': { target: 1 },
  'start to first output': { target: 1 },
  'restore restored': { target: 2, more: 'is better' }
}

/** Of those figures that have a target. */
export function verdicts(results: readonly Result[], measures: readonly Measure[]): Verdict[] {
  return [...results.flatMap(ofWorkload), ...measures.flatMap((measure) => ofMeasure(measure, measures))]
}

function ofWorkload({ name, guarantee, peer, ratio, cpuSeconds, peakMemory }: Result): Verdict[] {
  if (!isKafkaStreams(peer)) return []
  const verdict = (figure: string, times: number, target: number): Verdict => ({
    ...{ name, figure, guarantee, peer, times, target },
    met: times >= target
  })
  const cpu = CPU[name]
  return [
    verdict('records/s', ratio.median, RATE[peer]),
    verdict('peak memory', peakMemory.other / peakMemory.millrace, MEMORY),
    ...(cpu === undefined ? [] : [verdict('CPU time', cpuSeconds.other / cpuSeconds.millrace, cpu)])
  ]
}

function ofMeasure({ name, figure, guarantee, side, values }: Measure, all: readonly Measure[]): Verdict[] {
  const rule = MEASURES[`${name} ${figure}`]
  if (rule === undefined || !isKafkaStreams(side)) return []
  const same = (other: Measure): boolean =>
    other.name === name && other.figure === figure && other.guarantee === guarantee && other.side === 'millrace'
  const ours = all.find(same)
  if (ours === undefined) return []
  const { target } = rule
  const times = rule.more ? ours.values.median / values.median : values.median / ours.values.median
  // "Below the peer's" is more than once.
  const met = target === 1 ? times > 1 : times >= target
  return [{ name, figure, guarantee, peer: side, times, target, met }]
}

/** How many are met, and one row for each that is not. */
export function verdictLines(list: readonly Verdict[]): string {
  const missed = list.filter(({ met }) => !met)
  const summary = `${list.length - missed.length} of ${list.length} targets met`
  if (missed.length === 0) return `${summary}.`
  const rows = missed.map(
    ({ name, figure, guarantee, peer, times, target }) =>
      `| ${[name, figure, guarantee, peer, times.toFixed(2), target].join(' | ')} |`
  )
  const head = '| missed | figure | guarantee | peer | times better | target |\n|---|---|---|---|---|---|'
  return `${summary}:\n\n${[head, ...rows].join('\n')}`
}
