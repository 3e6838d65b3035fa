/** All throughput workloads, in the order they are run and shown. */
import type { Workload } from '../harness/types.ts'
import { count, countLarge, perMinute, perSession } from './counts.ts'
import { streamStream, streamTable } from './joins.ts'
import { machine } from './machine.ts'
import { jsonChange, pass, read } from './plain.ts'

export const WORKLOADS: readonly Workload[] = [
  ...[read, pass, jsonChange],
  ...[count, countLarge, perMinute, perSession],
  ...[streamTable, streamStream, machine]
]

/** @throws Error when there is none of that name */
export function workload(name: string): Workload {
  const found = WORKLOADS.find((w) => w.name === name)
  if (found) return found
  throw new Error(`There is no workload "${name}"; there are ${WORKLOADS.map((w) => w.name).join(', ')}`)
}
