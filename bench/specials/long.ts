/** What a record costs as the state grows a thousandfold. The state is restored first, and then counted on by a process that begins with it on disk. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Transport } from '../../lib/kafka/port.ts'
import { runLine } from '../harness/report.ts'
import { runSide, start } from '../harness/run.ts'
import { SIDES } from '../harness/sides.ts'
import { spread } from '../harness/spread.ts'
import { fill, removeTopics, verify } from '../harness/topics.ts'
import type { BenchOptions, Run } from '../harness/types.ts'
import { endless } from './runs.ts'
import { counted, writeCounts } from './state.ts'
import type { Measure, Special } from './types.ts'

const SIZES = [10_000, 100_000, 1_000_000, 10_000_000]
/** Keys for each record of a run, at most: with fewer records a large state would hardly be touched. */
const KEYS_A_RECORD = 10

export const long: Special = {
  name: 'long',
  about: `cost of a record of \`count-large\` as the state grows, keys scattered over all of it; --records of them at each size (up to ${KEYS_A_RECORD} keys a record), Millrace alone, one run each`,
  async run(transport, options) {
    const measures: Measure[] = []
    for (const keys of SIZES.filter((size) => size <= options.records * KEYS_A_RECORD))
      measures.push(...(await atSize(transport, options, keys)))
    return measures
  }
}

async function atSize(transport: Transport, options: BenchOptions, keys: number): Promise<Measure[]> {
  const { guarantees, records } = options
  const side = SIDES.millrace
  const prefix = `bench-long-${Date.now().toString(36)}`
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
  const measures: Measure[] = []
  const label = `${keys.toLocaleString('en')} keys`
  console.log(`  ${label}`)
  try {
    const job = {
      ...(await endless(transport, options, { workload: 'count-large', guarantee: guarantees[0]!, prefix })),
      stateDir
    }
    await writeCounts(transport, job, keys)
    const restoring = await start(side, job)
    await Promise.race([restoring.ready, restoring.early])
    await restoring.stop()
    const data = counted(keys)
    for (const [i, guarantee] of guarantees.entries()) {
      const { expected } = await fill(transport, data, job.inputs, records)
      // The group goes on from where the run before has stood: all offsets are looked at, and only this run's records are its work.
      const work = { ...job, guarantee, records: records * (i + 1), streamed: records }
      const all = await runSide(transport, side, work)
      await verify(transport, job.output, expected)
      const run: Run = { ...all, rate: (all.rate * records) / work.records }
      console.log(runLine(side.name, guarantee, run, records))
      const base = { name: 'long', guarantee, side: side.name }
      const found = [
        ['records/s', run.rate],
        ['CPU s a million', (run.cpuSeconds / records) * 1e6],
        ['MiB', run.peakMemory / 1_048_576]
      ] as const
      measures.push(...found.map(([unit, value]) => ({ ...base, figure: label, unit, values: spread([value]) })))
    }
  } finally {
    await rm(stateDir, { recursive: true, force: true })
    await removeTopics(transport, prefix)
  }
  return measures
}
