/** Runs the benches one after another against one Kafka and prints a table for each. */
import { parseArgs } from 'node:util'
import { startKafka } from '../lib/testing/kafka.ts'
import { pass } from './pass/pass.ts'

export interface BenchOptions {
  brokers: string[]
  records: number
  /** Runs of each side; a pair is one of ours and one of theirs. */
  pairs: number
}

const BENCHES: Record<string, (options: BenchOptions) => Promise<boolean>> = { pass }

const HELP = `npm run bench -- [options]
  --only NAME       only this bench: ${Object.keys(BENCHES).join(', ')}
  --records N       records a run (default 1000000)
  --pairs N         runs of each side, alternately (default 3)
  --brokers LIST    host:port[,host:port]: use this Kafka instead of starting one
  --help            this text

Exit code 1 when a bench misses its target or counts wrongly.`

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    records: { type: 'string', default: '1000000' },
    pairs: { type: 'string', default: '3' },
    brokers: { type: 'string' },
    help: { type: 'boolean', default: false }
  }
})

if (values.help) {
  console.log(HELP)
} else {
  const names = values.only === undefined ? Object.keys(BENCHES) : [values.only]
  const [records, pairs] = [Number(values.records), Number(values.pairs)]
  if (names.some((name) => !(name in BENCHES)) || !(records >= 1_000) || !(pairs >= 1)) {
    console.error(`Unknown bench or a number out of range.\n\n${HELP}`)
    process.exitCode = 2
  } else await run(names, values.brokers, records, pairs)
}

async function run(names: string[], brokers: string | undefined, records: number, pairs: number): Promise<void> {
  const own = brokers ? undefined : await startKafka({ jvm: 'steady', log: (line) => console.error(line) })
  console.log(own?.how ?? `Kafka at ${brokers}`)
  console.log(`Node ${process.version}, ${process.platform} ${process.arch}\n`)
  try {
    for (const name of names) {
      const good = await BENCHES[name]!({ brokers: own?.brokers ?? brokers!.split(','), records, pairs })
      if (!good) process.exitCode = 1
    }
  } finally {
    await own?.stop()
  }
}
