/** `npm run conformance`: case files of any folder, on the driver, on the embedded log, on a real Kafka. */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { driverEngine } from './engines/driver.ts'
import type { Engine } from './engines/engine.ts'
import { readCases } from './format.ts'
import { runFiles } from './run.ts'

const HELP = `npm run conformance                         the given cases, on the synchronous driver
npm run conformance -- DIR…                 the case files (*.json) of these folders, or single files
npm run conformance -- --engine ENGINE      driver (default), embedded (a whole runtime on the log in process),
                                            kafka (a whole runtime on a real Kafka: KAFKA_BROKERS, else Docker, else Java 17)
npm run conformance -- --case WORD          only cases whose name has WORD
npm run conformance -- --generate N [--seed S]
                                            N random cases, here and on Kafka Streams' own test driver (Java 17, Maven);
                                            a difference is shrunk and printed

The format: spec/conformance/README.md. A field that is not known is an error. Ends with "N passed, N failed"; status 1 when one failed.
Late records ("drops") are counted by the driver; a runtime does not count them, so the other engines do not compare them.`

const DEFAULT = fileURLToPath(new URL('../cases/conformance', import.meta.url))

async function engineOf(name: string): Promise<Engine> {
  if (name === 'driver') return driverEngine()
  if (name === 'embedded') return (await import('./engines/embedded.ts')).embeddedEngine()
  if (name === 'kafka') return (await import('./engines/kafka.ts')).kafkaEngine((line) => console.error(line))
  throw new Error(`There is no engine "${name}": driver, embedded, kafka.`)
}

function options() {
  return parseArgs({
    allowPositionals: true,
    options: {
      engine: { type: 'string', default: 'driver' },
      case: { type: 'string' },
      generate: { type: 'string' },
      seed: { type: 'string' },
      help: { type: 'boolean', short: 'h' }
    }
  })
}

function number(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} takes a whole number, not "${text}".`)
  return value
}

async function main(): Promise<number> {
  const { values, positionals } = options()
  if (values.help) {
    console.log(HELP)
    return 0
  }
  if (values.generate !== undefined) {
    const { differential } = await import('./differential.ts')
    const seed = values.seed === undefined ? Date.now() % 1_000_000_007 : number('seed', values.seed)
    return differential(number('generate', values.generate), seed, (line) => console.log(line))
  }
  const word = values.case?.toLowerCase()
  const engine = await engineOf(values.engine)
  try {
    const files = readCases(positionals.length > 0 ? positionals : [DEFAULT])
    const wanted = (name: string): boolean => word === undefined || name.toLowerCase().includes(word)
    const tally = await runFiles(files, engine, wanted, (line) => console.log(line))
    for (const [reason, count] of tally.notBuilt) console.log(`  not built: ${reason} (${count})`)
    const { same, different } = tally.artefacts
    if (same + different > 0) console.log(`${same + different} artefacts, not targets (${same} the same)`)
    const none = tally.passed + tally.failed === 0
    if (none) console.log(word === undefined ? 'There were no cases.' : `No case has "${values.case}" in its name.`)
    console.log(`${tally.passed} passed, ${tally.failed} failed`)
    return tally.failed > 0 || none ? 1 : 0
  } finally {
    await engine.close()
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
