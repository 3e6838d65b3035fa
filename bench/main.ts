/** The bench's command line: runs the workloads one after another on one Kafka, prints what they gave, fails on a wrong result or a missed target. */
import { parseArgs } from 'node:util'
import { startKafka } from '../lib/testing/kafka.ts'
import { runWorkload } from './harness/pairs.ts'
import { machine, resultLines, writeJson } from './harness/report.ts'
import type { Result, Workload } from './harness/types.ts'
import { pass } from './workloads/pass.ts'

const WORKLOADS: readonly Workload[] = [pass]

const HELP = `npm run bench -- [options]
  --only NAME       only this workload: ${WORKLOADS.map(({ name }) => name).join(', ')}
  --records N       input records (default 1000000)
  --pairs N         runs of each side, alternately (default 3)
  --brokers LIST    host:port[,host:port]: use this Kafka instead of starting one (topics bench-… are made and removed)
  --json FILE       write the figures to FILE
  --help            this text

Every run's output is counted and compared with what it must be.
Exit code 1 when one is wrong or a target is missed.`

const given = options()
if (given?.help) console.log(HELP)
else if (given !== undefined) await run(given)

function options() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string' },
        records: { type: 'string', default: '1000000' },
        pairs: { type: 'string', default: '3' },
        brokers: { type: 'string' },
        json: { type: 'string' },
        help: { type: 'boolean', default: false }
      }
    })
    const records = number('--records', values.records, 1_000)
    const pairs = number('--pairs', values.pairs, 1)
    const workloads = WORKLOADS.filter(({ name }) => values.only === undefined || name === values.only)
    if (workloads.length === 0) throw new Error(`--only ${values.only}: there is no such workload`)
    return { ...values, records, pairs, workloads }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`)
    process.exitCode = 2
    return undefined
  }
}

function number(name: string, text: string, least: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= least) return value
  throw new Error(`${name} ${text}: give a whole number, ${least} or more`)
}

async function run({
  workloads,
  brokers,
  records,
  pairs,
  json
}: NonNullable<ReturnType<typeof options>>): Promise<void> {
  const own = brokers ? undefined : await startKafka({ jvm: 'steady', log: (line) => console.error(line) })
  const broker = own?.how ?? `Kafka at ${brokers}`
  console.log(`${broker}\n${machine()}\n`)
  try {
    const results: Result[] = []
    for (const workload of workloads) {
      console.log(`${workload.name}: ${records.toLocaleString('en')} records, ${workload.about}`)
      const part = await runWorkload(workload, { brokers: own?.brokers ?? brokers!.split(','), records, pairs })
      results.push(...part)
      console.log(`\n${part.map(resultLines).join('\n')}\n`)
    }
    if (json) await writeJson(json, broker, results)
    if (results.some(({ ratio, target }) => target !== undefined && ratio.median < target)) process.exitCode = 1
  } catch (error) {
    console.error(`\nfailed: ${(error as Error).message}`)
    process.exitCode = 1
  } finally {
    await own?.stop()
  }
}
