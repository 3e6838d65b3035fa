/** The example's command line: a week of a shop through the job, told in a table, each output compared with a plain loop. */
import { commandLine, refuse, stopped } from '../commandLine.ts'
import { failed } from '../failed.ts'
import { expected } from './expected.ts'
import { picture } from './picture.ts'
import { week } from './week.ts'

const HELP = `npm run example -- orders                         on the embedded log: nothing else needed
npm run example -- orders --kafka                 on a real Kafka that the example starts itself
npm run example -- orders --kafka --crash         kills the job (SIGKILL) between the setting of the timers and their time
npm run example -- orders --brokers host:port     on a Kafka of yours (topics with the prefix millrace-orders- are made and removed)
npm run example -- orders --orders 500            how many orders come in within the week (default 2000)

Orders, payments and shipments meet in a state machine (XState) per order. An order that is not paid within 24 hours lapses, after 12 hours
the customer is reminded: durable timers in event time, so that nine days pass in seconds.`

const asked = commandLine({ help: HELP, number: 'orders', crash: 'kills the job' })
const { brokers, crash, signal } = asked
const count = Number(asked.number ?? 2000)
if (!Number.isInteger(count) || count < 1) refuse(`--orders ${asked.number} is not a number of orders.`, HELP)

const began = performance.now()
const happenings = week(count)
const lines = await run().catch((error) => (signal.aborted ? stopped() : failed(error)))
const seconds = ((performance.now() - began) / 1000).toFixed(1)
console.log(`\n${picture(happenings, lines)}\n`)

const wanted = expected(happenings)
const got = [...lines].sort()
const wrong = [
  ...without(wanted, got).map((line) => `missing: ${line}`),
  ...without(got, wanted).map((line) => `too much: ${line}`)
]
for (const line of wrong.slice(0, 20)) console.log(`  ✗ ${line}`)
if (wrong.length > 20) console.log(`  … and ${wrong.length - 20} more`)
console.log(
  `${wrong.length === 0 ? 'exact' : 'wrong'}: ${wanted.length - without(wanted, got).length} of ${wanted.length} records, each once ` +
    `(${count.toLocaleString('en')} orders, nine days in ${seconds} s)`
)
process.exitCode = wrong.length > 0 ? 1 : 0

/** Only what is needed is loaded. */
async function run(): Promise<string[]> {
  if (!asked.onKafka) return (await import('./onEmbedded.ts')).onEmbedded(happenings)
  const { onKafka } = await import('./onKafka.ts')
  return onKafka(happenings, { brokers, crash, signal })
}

/** Lines of `a` that `b` does not have as often. */
function without(a: readonly string[], b: readonly string[]): string[] {
  const left = new Map<string, number>()
  for (const one of b) left.set(one, (left.get(one) ?? 0) + 1)
  return a.filter((one) => {
    const n = left.get(one) ?? 0
    left.set(one, n - 1)
    return n <= 0
  })
}
