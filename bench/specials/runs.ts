/** What the special benches share: runs of every side by turns, a process started and stopped, figures put together. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Transport } from '../../lib/kafka/port.ts'
import type { Guarantee } from '../../lib/task/port.ts'
import { rounded } from '../harness/report.ts'
import { type Running, start } from '../harness/run.ts'
import { SIDES } from '../harness/sides.ts'
import { spread } from '../harness/spread.ts'
import { createTopic, removeTopics } from '../harness/topics.ts'
import { type BenchOptions, type Job, PARTITIONS, type Side, type SideName } from '../harness/types.ts'
import type { Measure } from './types.ts'

export type Figures = Readonly<Record<string, number>>

/** @param once one run of one side; the topics it makes begin with the prefix, and are removed after it */
export async function byTurns(
  transport: Transport,
  { pairs, guarantees, peers }: BenchOptions,
  { name, unit, workload }: { name: string; unit: Measure['unit']; workload: string },
  once: (side: Side, guarantee: Guarantee, prefix: string) => Promise<Figures>
): Promise<Measure[]> {
  const measures: Measure[] = []
  for (const guarantee of guarantees) {
    const sides = (['millrace', ...peers] as SideName[])
      .map((side) => SIDES[side])
      .filter((side) => side.refuses?.(workload, guarantee) === undefined)
    const found = new Map<SideName, Figures[]>(sides.map((side) => [side.name, []]))
    for (let pair = 1; pair <= pairs; pair++) {
      for (const side of sides) {
        const prefix = `bench-${name}-${Date.now().toString(36)}`
        try {
          const figures = await once(side, guarantee, prefix)
          found.get(side.name)!.push(figures)
          const text = Object.entries(figures).map(([figure, value]) => `${figure} ${rounded(value)} ${unit}`)
          console.log(`  ${side.name.padEnd(20)} ${guarantee.padEnd(13)} ${text.join('  ')}`)
        } finally {
          await removeTopics(transport, prefix)
        }
      }
    }
    for (const [side, runs] of found) {
      for (const figure of Object.keys(runs[0]!))
        measures.push({ name, figure, unit, guarantee, side, values: spread(runs.map((run) => run[figure]!)) })
    }
  }
  return measures
}

/** Makes a topic to read and one to write. @returns a job that works until it is told to stop; topics and group begin with the prefix */
export async function endless(
  transport: Transport,
  { brokers }: BenchOptions,
  { workload, guarantee, prefix, partitions = PARTITIONS }: Endless
): Promise<Omit<Job, 'stateDir'> & { readonly input: string; readonly partitions: number }> {
  const [input, output] = [`${prefix}-in`, `${prefix}-out`]
  await createTopic(transport, input, partitions)
  await createTopic(transport, output, partitions)
  const work = { inputs: [input], input, output, records: 0, streamed: 0, partitions }
  return { workload, group: prefix, guarantee, brokers, ...work }
}

interface Endless {
  readonly workload: string
  readonly guarantee: Guarantee
  readonly prefix: string
  readonly partitions?: number
}

/** Starts a side with a directory of its own, and stops it after `body`. */
export async function withSide<T>(
  side: Side,
  job: Omit<Job, 'stateDir'>,
  body: (running: Running) => Promise<T>
): Promise<T> {
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
  const running = await start(side, { ...job, stateDir })
  try {
    return await Promise.race([body(running), running.early])
  } finally {
    await running.stop()
    await rm(stateDir, { recursive: true, force: true })
  }
}
