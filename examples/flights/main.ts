/** The demo's command line: publishes real flights, runs the job, shows progress, checks every figure against a plain loop. */
import { parseArgs } from 'node:util'
import { loadAirports, loadFlights } from './data.ts'
import { compare, type Figures, recompute } from './expected.ts'
import { table } from './screen.ts'

const HELP = `npm run demo                         on the embedded log: nothing else needed
npm run demo -- --kafka              on a real Kafka that the demo starts itself, exactly-once, two processes
npm run demo -- --kafka --crash      kills one of the two processes in the middle and starts a third
npm run demo -- --brokers host:port  on a Kafka of yours (topics with the prefix millrace-demo- are made and removed)
npm run demo -- --seconds 8          how long the flights take to be published (default 6 with --crash, else as fast as it goes)

The job joins 20,000 real flights of 2001 with their airports and keeps delay statistics per airport and day and totals per state.`

let options: { kafka?: boolean; crash?: boolean; brokers?: string; seconds?: string; help?: boolean }
try {
  options = parseArgs({
    options: {
      kafka: { type: 'boolean' },
      crash: { type: 'boolean' },
      brokers: { type: 'string' },
      seconds: { type: 'string' },
      help: { type: 'boolean', short: 'h' }
    }
  }).values
} catch (error) {
  console.error(`${(error as Error).message}\n\n${HELP}`)
  process.exit(2)
}
if (options.help) {
  console.log(HELP)
  process.exit(0)
}
if (options.crash && !options.kafka && !options.brokers) {
  console.error(
    '--crash kills one of two processes, and only a real Kafka outlives it: add --kafka or --brokers host:port.'
  )
  process.exit(2)
}
const seconds = Number(options.seconds ?? (options.crash ? 6 : 0))
if (!(seconds >= 0)) {
  console.error(`--seconds ${options.seconds} is not a number of seconds.`)
  process.exit(2)
}

const began = performance.now()
const flights = loadFlights()
const airports = loadAirports()
// Ctrl-C: what was started is ended and removed, then the process ends by itself. Asked twice, it ends at once.
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => (stop.signal.aborted ? process.exit(130) : stop.abort()))
}
const input = { flights, airports, seconds, signal: stop.signal }

/** Only what is needed is loaded. */
async function run(): Promise<Figures | undefined> {
  try {
    if (!options.kafka && !options.brokers) return await (await import('./onEmbedded.ts')).onEmbedded(input)
    const { onKafka } = await import('./onKafka.ts')
    return await onKafka(input, { brokers: options.brokers?.split(','), crash: options.crash ?? false })
  } catch (error) {
    if (!stop.signal.aborted) throw error
    return undefined
  }
}

const figures = await run()
if (figures === undefined) {
  console.error('\nstopped: everything that was started is ended, topics and state are removed')
  process.exit(130) // a pending round of publishing must not hold us up
}
const took = ((performance.now() - began) / 1000).toFixed(1)
console.log(`\n${table(figures, new Map(airports.map((airport) => [airport.iata, airport.name])))}\n`)
const { exact, all, wrong } = compare(recompute(flights, airports), figures)
for (const line of wrong.slice(0, 20)) console.log(`  ✗ ${line}`)
if (wrong.length > 20) console.log(`  … and ${wrong.length - 20} more`)
console.log(`exact: ${exact} of ${all} figures (${flights.length.toLocaleString('en')} flights, ${took} s)`)
process.exitCode = wrong.length > 0 ? 1 : 0
