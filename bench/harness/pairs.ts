/** A workload from its input to its results: a warm-up, then all sides alternately, each output checked. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import type { Guarantee } from '../../lib/task/port.ts'
import { runLine } from './report.ts'
import { runSide } from './run.ts'
import { SIDES } from './sides.ts'
import { middle, spread } from './spread.ts'
import { createTopic, type Filled, fill, removeTopics, verify } from './topics.ts'
import type { BenchOptions, Job, PeerName, Result, Run, Side, Workload } from './types.ts'

/** @throws Error when an output is wrong: then no figure counts */
export async function runWorkload(workload: Workload, options: BenchOptions): Promise<Result[]> {
  const transport = kafkaTransport({ brokers: options.brokers })
  const prefix = `bench-${workload.name}-${Date.now().toString(36)}`
  const inputs = Array.from({ length: workload.inputs }, (_, i) => `${prefix}-in${i}`)
  try {
    for (const input of inputs) await createTopic(transport, input)
    const filled = await fill(transport, workload, inputs, options.records)
    const results: Result[] = []
    for (const guarantee of options.guarantees) {
      // Quick: what the JVM does is checked in one guarantee, what Millrace does in both.
      const peers = options.warmUp || guarantee === 'at-least-once' ? options.peers : []
      const sides = [SIDES.millrace, ...peersFor(workload, guarantee, peers)]
      const runs = await alternate(transport, workload, { ...options, guarantee, prefix, inputs, filled, sides })
      results.push(...compare(workload, guarantee, sum(filled.counts), runs))
    }
    return results
  } finally {
    await removeTopics(transport, prefix)
    await transport.close()
  }
}

function peersFor(workload: Workload, guarantee: Guarantee, peers: readonly PeerName[]): Side[] {
  return peers
    .map((name) => SIDES[name])
    .filter((side) => {
      const why = side.refuses?.(workload.name, guarantee)
      if (why !== undefined) console.log(`  ${side.name} (${guarantee}): ${why}`)
      return why === undefined
    })
}

interface Plan extends BenchOptions {
  readonly guarantee: Guarantee
  readonly prefix: string
  readonly inputs: readonly string[]
  readonly filled: Filled
  readonly sides: readonly Side[]
}

async function alternate(transport: Transport, workload: Workload, plan: Plan): Promise<Map<string, Run[]>> {
  const { sides, guarantee, filled, pairs, inputs, brokers } = plan
  const runs = new Map<string, Run[]>(sides.map((side) => [side.name, []]))
  const streamed = filled.counts.filter((_, i) => !workload.tables?.includes(i))
  const work = { records: sum(filled.counts), streamed: sum(streamed) }
  // Pair 0 warms the broker up and does not count. A side runs in a process of its own, so its own start is part of each run.
  for (let pair = plan.warmUp ? 0 : 1; pair <= pairs; pair++) {
    for (const side of pair === 0 ? sides.slice(0, 1) : sides) {
      const group = `${plan.prefix}-${guarantee}-${side.name}-${pair}`
      const output = `${group}-out`
      const stateDir = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
      const job: Job = { workload: workload.name, group, guarantee, brokers, inputs, output, ...work, stateDir }
      try {
        await createTopic(transport, output)
        const run = await runSide(transport, side, job)
        await verify(transport, output, filled.expected)
        if (pair === 0) continue
        runs.get(side.name)!.push(run)
        console.log(runLine(side.name, guarantee, run, job.records))
      } finally {
        await rm(stateDir, { recursive: true, force: true })
        await removeTopics(transport, group)
      }
    }
  }
  return runs
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

function compare(
  workload: Workload,
  guarantee: Guarantee,
  records: number,
  runs: ReadonlyMap<string, Run[]>
): Result[] {
  const ours = runs.get('millrace')!
  const list: Result[] = []
  for (const [peer, theirs] of runs) {
    if (peer === 'millrace') continue
    const both = (read: (run: Run) => number, of: (values: number[]) => number) => ({
      millrace: of(ours.map(read)),
      other: of(theirs.map(read))
    })
    list.push({
      name: workload.name,
      guarantee,
      peer: peer as PeerName,
      records,
      millrace: spread(ours.map((run) => run.rate)),
      other: spread(theirs.map((run) => run.rate)),
      ratio: spread(ours.map((run, i) => run.rate / theirs[i]!.rate)),
      cpuSeconds: both((run) => run.cpuSeconds, middle),
      peakMemory: both(
        (run) => run.peakMemory,
        (values) => Math.max(...values)
      ),
      verified: true
    })
  }
  return list
}
