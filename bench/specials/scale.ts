/** One job in several processes, and in one process with many tasks. The input is written beforehand and seen at once, when all tasks wait for it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Transport } from '../../lib/kafka/port.ts'
import type { Guarantee } from '../../lib/task/port.ts'
import { delay, stopwatch, systemClock } from '../../lib/time.ts'
import { runLine } from '../harness/report.ts'
import { type Running, start } from '../harness/run.ts'
import { SIDES } from '../harness/sides.ts'
import { spread } from '../harness/spread.ts'
import { committed, putter, removeTopics, verify } from '../harness/topics.ts'
import { type BenchOptions, PARTITIONS, type Run } from '../harness/types.ts'
import { type Usage, usageOf } from '../harness/usage.ts'
import { workload } from '../workloads/index.ts'
import { endless } from './runs.ts'
import type { Measure, Special } from './types.ts'

const PROCESSES = [1, 2, 4]
const TASKS = [1, 16, 64, 256]
/** For the processes: they cannot know when the whole input is taken, so they commit often instead of at the end. */
const COMMIT_MS = 100
const GATE_MS = 600_000
const MIB = 1_048_576

export const scale: Special = {
  name: 'scale',
  about:
    `records/s of ${PROCESSES.join(', ')} processes together (\`pass\`, \`count\`; ${PARTITIONS} partitions, twice --records, commits every ${COMMIT_MS} ms), ` +
    `and of one process with ${TASKS.join(', ')} tasks (\`count\`), Millrace alone, one run each. Beyond a process for each core that the broker leaves, none can gain`,
  async run(transport, options) {
    const measures: Measure[] = []
    const run = async (wish: Wish, label: string): Promise<Run> => {
      const found = await once(transport, options, wish)
      console.log(`${runLine(`${wish.workload}, ${label}`, wish.guarantee, found, wish.records)} (all ready)`)
      const base = {
        name: `scale ${wish.workload}`,
        guarantee: wish.guarantee,
        side: 'millrace' as const,
        figure: label
      }
      measures.push({ ...base, unit: 'records/s', values: spread([found.rate]) })
      measures.push({ ...base, unit: 'MiB', values: spread([found.peakMemory / MIB]) })
      return found
    }
    for (const guarantee of options.guarantees) {
      for (const name of ['pass', 'count']) {
        for (const processes of PROCESSES) {
          const wish = { workload: name, guarantee, partitions: PARTITIONS, processes, records: 2 * options.records }
          await run(wish, processes === 1 ? '1 process' : `${processes} processes`)
        }
      }
      const memory: number[] = []
      for (const partitions of TASKS) {
        const wish = { workload: 'count', guarantee, partitions, processes: 1, records: options.records }
        memory.push((await run(wish, partitions === 1 ? '1 task' : `${partitions} tasks`)).peakMemory)
      }
      const each = (memory.at(-1)! - memory[0]!) / (TASKS.at(-1)! - TASKS[0]!) / MIB
      console.log(`  memory of a further task ${guarantee}: ${each.toFixed(2)} MiB`)
      const figure = 'memory of a further task'
      measures.push({ name: 'scale count', figure, unit: 'MiB', guarantee, side: 'millrace', values: spread([each]) })
    }
    return measures
  }
}

interface Wish {
  readonly workload: string
  readonly guarantee: Guarantee
  readonly partitions: number
  readonly processes: number
  readonly records: number
}

/** @returns of all processes together, from the moment when the input is seen */
async function once(transport: Transport, options: BenchOptions, wish: Wish): Promise<Run> {
  const { partitions, processes, records } = wish
  const prefix = `bench-scale-${Date.now().toString(36)}`
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
  const running: Running[] = []
  try {
    const job = await endless(transport, options, { ...wish, prefix })
    // Not seen by committed readers before the transaction ends.
    const gate = await transport.txnProducer(`${prefix}-gate`, { lane: 0, timeoutMs: GATE_MS })
    const put = putter(gate, job.input, partitions)
    const expected = workload(wish.workload).data(records, (_input, timestamp, key, value) =>
      put(timestamp, key, value)
    )
    await gate.flush()
    const spawned = stopwatch()
    const share = { ...job, tasks: partitions / processes, records }
    for (let n = 0; n < processes; n++) {
      // A single one leaves, and so commits, once it has taken all.
      const work = processes === 1 && partitions !== PARTITIONS ? { streamed: records } : { commitMs: COMMIT_MS }
      running.push(await start(SIDES.millrace, { ...share, ...work, stateDir: join(stateDir, String(n)) }))
    }
    const early = Promise.race(running.map((one) => one.early))
    early.catch(() => {}) // they end after their work, too
    const usage = (): Promise<Usage[]> => Promise.all(running.map(({ pid }) => usageOf(pid)))
    await Promise.race([Promise.all(running.map(({ ready }) => ready)), early])
    const before = await usage()
    const began = stopwatch()
    await gate.commit()
    const seen = (async () => {
      while ((await committed(transport, job)) < records) await delay(systemClock, 10)
    })()
    await Promise.race([seen, early])
    const ended = stopwatch()
    const after = await usage()
    await gate.close()
    await Promise.all(running.splice(0).map((one) => one.stop()))
    await verify(transport, job.output, expected, partitions)
    const sum = (all: Usage[], of: keyof Usage): number => all.reduce((total, each) => total + each[of], 0)
    return {
      rate: (records / (ended - began)) * 1_000,
      startMs: began - spawned,
      cpuSeconds: sum(after, 'cpuSeconds') - sum(before, 'cpuSeconds'),
      startCpuSeconds: sum(before, 'cpuSeconds'),
      peakMemory: sum(after, 'peakMemory')
    }
  } finally {
    await Promise.allSettled(running.map((one) => one.stop()))
    await rm(stateDir, { recursive: true, force: true })
    await removeTopics(transport, prefix)
  }
}
