/** Checks what an embedded broker and its transport are asked for: a misspelt option would be a default in silence. */
import { type Check, callable, having, longestTimer, refuseUnknown, text, whole, wrong } from '../check.ts'
import type { Clock } from '../time.ts'
import type { EmbeddedBroker, EmbeddedBrokerOptions } from './broker.ts'

export interface EmbeddedTransportOptions extends EmbeddedBrokerOptions {
  /** A broker shared with others; it outlives the transport. Default: one of its own, made with the other options here. */
  broker?: EmbeddedBroker
  /** Named in calls to the broker's fault function. Default 'client'. */
  client?: string
}

const clock = having<Clock>('a clock with now, setTimeout and clearTimeout', 'now', 'setTimeout', 'clearTimeout')
const random = callable('a function that gives numbers in [0, 1)')
const milliseconds = (least: number): Check<number> =>
  longestTimer(whole(least, `a whole number of milliseconds, ${least} or more`))
const count = whole(1, 'a whole number, 1 or more')

const CHECKS: Readonly<Record<keyof EmbeddedBrokerOptions, Check<unknown>>> = {
  clock,
  random,
  latencyMs: (value, name) =>
    typeof value === 'function' || (Number.isFinite(value) && (value as number) >= 0)
      ? value
      : wrong(name, value, 'milliseconds, 0 or more, or a function that gives them'),
  autoCreate: (value, name) => (value === false ? value : count(value, name)),
  defaultPartitions: count,
  nodes: count,
  cleanEveryMs: milliseconds(0),
  markerDelayMs: milliseconds(0),
  initialRebalanceDelayMs: milliseconds(0),
  minSessionMs: milliseconds(1),
  maxTransactionTimeoutMs: milliseconds(1)
}
const OF_BROKER = Object.keys(CHECKS)

/** @throws ConfigError */
export function checkBrokerOptions(options: EmbeddedBrokerOptions): void {
  refuseUnknown(options, OF_BROKER, '')
  for (const [name, check] of Object.entries(CHECKS)) {
    const value = options[name as keyof EmbeddedBrokerOptions]
    if (value !== undefined) check(value, name)
  }
}

/** @throws ConfigError */
export function checkTransportOptions({ broker, client, ...rest }: EmbeddedTransportOptions): void {
  refuseUnknown(rest, [...OF_BROKER, 'broker', 'client'], '')
  checkBrokerOptions(rest)
  if (client !== undefined) text(client, 'client')
  if (broker === undefined) return
  having('a broker made by embeddedBroker()', 'connect', 'close')(broker, 'broker')
  for (const name of OF_BROKER) {
    // The client's own two; all else was settled when the broker was made, and would be ignored.
    if (name === 'clock' || name === 'random' || rest[name as keyof typeof rest] === undefined) continue
    wrong(name, rest[name as keyof typeof rest], 'it to embeddedBroker(): this transport goes to a broker that exists')
  }
}
