/** The demo's command line: publishes real flights, runs the job, shows progress, checks every figure against a plain loop. */
import { commandLine, refuse, stopped } from '../commandLine.ts'
import { failed } from '../failed.ts'
import { loadAirports, loadFlights } from './data.ts'
import { compare, type Figures, recompute } from './expected.ts'
import { table } from './screen.ts'

const HELP = `npm run demo                         on the embedded log: nothing else needed
npm run demo -- --kafka              on a real Kafka that the demo starts itself, exactly-once, two processes
npm run demo -- --kafka --crash      kills one of the two processes in the middle and starts a third
npm run demo -- --brokers host:port  on a Kafka of yours (topics with the prefix millrace-demo- are made and removed)
npm run demo -- --seconds 8          how long the flights take to be published (default 6 with --crash, else as fast as it goes)

The job joins 20,000 real flights of 2001 with their airports and keeps delay statistics per airport and day and totals per state.`

const wanted = commandLine({ help: HELP, number: 'seconds', crash: 'kills one of two processes' })
const { brokers, crash, signal } = wanted
const seconds = Number(wanted.number ?? (crash ? 6 : 0))
if (!(seconds >= 0)) refuse(`--seconds ${wanted.number} is not a number of seconds.`, HELP)

const began = performance.now()
const flights = loadFlights()
const airports = loadAirports()
const input = { flights, airports, seconds, signal }
const figures = await run().catch((error) => (signal.aborted ? stopped() : failed(error)))
const took = ((performance.now() - began) / 1000).toFixed(1)
console.log(`\n${table(figures, new Map(airports.map((airport) => [airport.iata, airport.name])))}\n`)
const { exact, all, wrong } = compare(recompute(flights, airports), figures)
for (const line of wrong.slice(0, 20)) console.log(`  ✗ ${line}`)
if (wrong.length > 20) console.log(`  … and ${wrong.length - 20} more`)
console.log(`exact: ${exact} of ${all} figures (${flights.length.toLocaleString('en')} flights, ${took} s)`)
process.exitCode = wrong.length > 0 ? 1 : 0

/** Only what is needed is loaded. */
async function run(): Promise<Figures> {
  if (!wanted.onKafka) return (await import('./onEmbedded.ts')).onEmbedded(input)
  const { onKafka } = await import('./onKafka.ts')
  return onKafka(input, { brokers, crash })
}
