/** The command line of the three services. */
import { parseArgs } from 'node:util'

export interface Service {
  /** As in `npm run example -- NAME`. */
  readonly name: string
  readonly what: string
}

export interface Wanted {
  /** 0 = any that is free. */
  readonly port: number
  readonly brokers: readonly string[] | undefined
}

/** Prints the help or what is wrong, and ends the process then. */
export function commandLine({ name, what }: Service): Wanted {
  const command = `npm run example -- ${name}`
  const help = `${command.padEnd(48)} on the embedded log: nothing else needed
${`${command} --brokers host:port`.padEnd(48)} on a Kafka of yours (topics shop-orders and shop-totals are made, and stay)
${`${command} --port 8080`.padEnd(48)} where it listens (default 3000; 0 = any port that is free)

${what}`
  const fail = (message: string): never => {
    console.error(`${message}\n\n${help}`)
    process.exit(2)
  }
  const values = parse(fail)
  if (values.help) {
    console.log(help)
    process.exit(0)
  }
  const port = Number(values.port ?? 3000)
  if (!/^\d+$/.test(values.port ?? '3000') || port > 65_535) fail(`--port ${values.port} is not a port.`)
  return { port, brokers: values.brokers?.split(',') }
}

function parse(fail: (message: string) => never): { port?: string; brokers?: string; help?: boolean } {
  try {
    return parseArgs({
      options: { port: { type: 'string' }, brokers: { type: 'string' }, help: { type: 'boolean', short: 'h' } }
    }).values
  } catch (error) {
    return fail((error as Error).message)
  }
}

/** Where it is, and what to do there. */
export function announce(url: string): void {
  console.log(`listening on ${url}
  curl -X POST ${url}/orders -H 'content-type: application/json' -d '{ "customer": "ada", "amount": 1250 }'
  curl ${url}/customers/ada
  curl ${url}/health`)
}
