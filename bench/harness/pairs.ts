/** A workload from its input to its results: a warm-up, then all sides alternately, each output checked. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import { runLine } from './report.ts'
import { runSide } from './run.ts'
import { middle, spread } from './spread.ts'
import { createTopic } from './topics.ts'
import type { BenchOptions, Job, Result, Run, Workload } from './types.ts'

/** @throws Error when an output is wrong: then no figure counts */
export async function runWorkload(workload: Workload, { brokers, records, pairs }: BenchOptions): Promise<Result[]> {
  const { name, partitions, sides } = workload
  const transport = kafkaTransport({ brokers })
  const run = `bench-${name}-${Date.now().toString(36)}`
  const input = `${run}-in`
  const topics = [input]
  const runs = new Map<string, Run[]>(sides.map((side) => [side.name, []]))
  try {
    await createTopic(transport, input, partitions)
    await workload.fill(transport, input, records)
    // Pair 0 warms the broker up and does not count. A side runs in a process of its own, so its own start is part of each run.
    for (let pair = 0; pair <= pairs; pair++) {
      for (const side of sides) {
        if (pair === 0 && side !== sides[0]) continue
        const output = `${run}-${side.name}-${pair}`
        topics.push(output)
        await createTopic(transport, output, partitions)
        const stateDir = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
        const { guarantee } = side
        const job: Job = {
          ...{ workload: name, group: output, guarantee, brokers, input, output, records, partitions, stateDir }
        }
        try {
          const result = await runSide(transport, workload, side, job)
          await workload.verify(transport, job)
          if (pair === 0) continue
          runs.get(side.name)!.push(result)
          console.log(runLine(side, result, records))
        } finally {
          await rm(stateDir, { recursive: true, force: true })
        }
      }
    }
  } finally {
    await transport.admin.deleteTopics(topics)
    await transport.close()
  }
  return results(workload, runs)
}

function results(workload: Workload, runs: ReadonlyMap<string, Run[]>): Result[] {
  const list: Result[] = []
  for (const side of workload.sides) {
    if (side.against === undefined) continue
    const [ours, theirs] = [runs.get(side.name)!, runs.get(side.against)!]
    const both = (
      read: (run: Run) => number,
      of: (values: number[]) => number
    ): { millrace: number; other: number } => ({
      millrace: of(ours.map(read)),
      other: of(theirs.map(read))
    })
    list.push({
      name: workload.name,
      guarantee: side.guarantee,
      side: side.name,
      peer: side.against,
      millrace: spread(ours.map((run) => run.rate)),
      other: spread(theirs.map((run) => run.rate)),
      // Of the runs of one pair, which stand beside each other in time.
      ratio: spread(ours.map((run, i) => run.rate / theirs[i]!.rate)),
      cpuSeconds: both((run) => run.cpuSeconds, middle),
      peakMemory: both(
        (run) => run.peakMemory,
        (values) => Math.max(...values)
      ),
      verified: true,
      target: side.target
    })
  }
  return list
}
