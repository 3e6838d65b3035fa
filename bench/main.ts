/** The bench's command line: runs the workloads one after another on one Kafka, prints what they gave, fails on a wrong result or a missed target. */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { kafkaTransport } from '../lib/kafka/kafkajs.ts'
import type { Guarantee } from '../lib/task/port.ts'
import { startKafka } from '../lib/testing/kafka.ts'
import { writePage } from './harness/page.ts'
import { runWorkload } from './harness/pairs.ts'
import { progress } from './harness/progress.ts'
import { machine, report, resultLines, table, timesTable, writeJson } from './harness/report.ts'
import { SIDES } from './harness/sides.ts'
import type { PeerName, Result } from './harness/types.ts'
import { verdictLines, verdicts } from './harness/verdicts.ts'
import { SPECIALS } from './specials/index.ts'
import type { Measure } from './specials/types.ts'
import { WORKLOADS } from './workloads/index.ts'

const PEERS = Object.keys(SIDES).filter((name) => name !== 'millrace')

const REPORT = fileURLToPath(new URL('report/', import.meta.url))

const HELP = `npm run bench -- [options] [workload …]
  workloads         records/s: ${WORKLOADS.map(({ name }) => name).join(', ')};
                    others: ${SPECIALS.map(({ name }) => name).join(', ')} (default: all; --only NAME says the same);
                    alone: transitions, of machines against an actor of XState per key (has its own --help)
  --peer NAME       ${PEERS.join(', ')}, none; may be repeated (default kafka-streams and kafka-streams-tuned)
  --guarantee NAME  at-least-once or exactly-once (default: both)
  --records N       input records of each workload (default 1000000)
  --pairs N         runs of each side, alternately (default 3)
  --quick           20,000 records, one pair without a warm-up, kafka-streams only (at-least-once), workloads only, no targets:
                    is every result right?
  --brokers LIST    host:port[,host:port]: use this Kafka instead of starting one (topics bench-… are made and removed)
  --json FILE       write the figures to FILE
  --report DIR      write a page with charts there (default bench/report when all workloads were run in full)
  --help            this text

Every run's output is read back and compared with what it must be.
Exit code 1 when one is wrong, or a target is missed: records/s 3 times kafka-streams' and 2 times kafka-streams-tuned's, peak memory
below half of theirs, CPU time of pass and count at most a fifth, latency p99 and start below theirs, restore 2 times theirs.`

const given = options()
if (given?.help) console.log(HELP)
else if (given !== undefined) await run(given)

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        only: { type: 'string', multiple: true, default: [] },
        peer: { type: 'string', multiple: true },
        guarantee: { type: 'string', multiple: true, default: ['at-least-once', 'exactly-once'] },
        records: { type: 'string' },
        pairs: { type: 'string' },
        quick: { type: 'boolean', default: false },
        brokers: { type: 'string' },
        json: { type: 'string' },
        report: { type: 'string' },
        help: { type: 'boolean', default: false }
      }
    })
    const { quick } = values
    const names = [...values.only, ...positionals]
    const peers = values.peer ?? (quick ? ['kafka-streams'] : ['kafka-streams', 'kafka-streams-tuned'])
    return {
      ...values,
      records: number('--records', values.records ?? (quick ? '20000' : '1000000'), 1_000),
      pairs: number('--pairs', values.pairs ?? (quick ? '1' : '3'), 1),
      ...chosen(names),
      all: names.length === 0,
      peers: peers.filter((name) => name !== 'none').map((name) => oneOf('--peer', name, PEERS) as PeerName),
      guarantees: values.guarantee.map(
        (name) => oneOf('--guarantee', name, ['at-least-once', 'exactly-once']) as Guarantee
      )
    }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`)
    process.exitCode = 2
    return undefined
  }
}

function chosen(names: readonly string[]) {
  const known = [...WORKLOADS, ...SPECIALS].map(({ name }) => name)
  for (const name of names) oneOf('workload', name, known)
  const wanted = ({ name }: { name: string }): boolean => names.length === 0 || names.includes(name)
  return { workloads: WORKLOADS.filter(wanted), specials: SPECIALS.filter(wanted) }
}

function number(name: string, text: string, least: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= least) return value
  throw new Error(`${name} ${text}: give a whole number, ${least} or more`)
}

function oneOf(name: string, text: string, known: readonly string[]): string {
  if (known.includes(text)) return text
  throw new Error(`${name} ${text}: give one of ${known.join(', ')}`)
}

async function run(wish: NonNullable<ReturnType<typeof options>>): Promise<void> {
  const { workloads, json, quick } = wish
  const specials = quick && wish.all ? [] : wish.specials
  const own = wish.brokers ? undefined : await startKafka({ jvm: 'steady', log: (line) => console.error(line) })
  const brokers = own?.brokers ?? wish.brokers!.split(',')
  const broker = own?.how ?? `Kafka at ${brokers}`
  const bench = { ...wish, brokers, warmUp: !quick }
  const names = [...workloads, ...specials].map(({ name }) => name)
  const { whole, at } = progress(names, bench)
  console.log(`${broker}\n${machine()}\n${whole}\n`)
  const results: Result[] = []
  const measures: Measure[] = []
  try {
    for (const [n, each] of workloads.entries()) {
      console.log(`${at(n)} ${each.name}: ${wish.records.toLocaleString('en')} records, ${each.about}`)
      const part = await runWorkload(each, bench)
      results.push(...part)
      if (part.length > 0) console.log(`\n${part.map(resultLines).join('\n')}\n`)
      if (json) await writeJson(json, report(broker, results, measures))
    }
    for (const [n, each] of specials.entries()) {
      console.log(`\n${at(workloads.length + n)} ${each.name}: ${each.about}`)
      const transport = kafkaTransport({ brokers })
      try {
        measures.push(...(await each.run(transport, bench)))
      } finally {
        await transport.close()
      }
      if (json) await writeJson(json, report(broker, results, measures))
    }
    if (results.length > 0) console.log(table(results))
    if (measures.length > 0) console.log(`\n${timesTable(measures)}`)
    const folder = wish.report ?? (wish.all && !quick ? REPORT : undefined)
    if (folder !== undefined) await writePage(folder, report(broker, results, measures))
    if (quick) return
    const found = verdicts(results, measures)
    if (found.length > 0) console.log(`\n${verdictLines(found)}`)
    if (found.some(({ met }) => !met)) process.exitCode = 1
  } catch (error) {
    console.error(`\nfailed: ${(error as Error).message}`)
    process.exitCode = 1
  } finally {
    await own?.stop()
  }
}
