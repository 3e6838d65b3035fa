/** The command line of the two demos: on the embedded log or a Kafka, with a process killed on the way, ended and cleaned up by Ctrl-C. */
import { parseArgs } from 'node:util'

export interface Demo {
  readonly help: string
  /** An option of its own that takes a number. */
  readonly number: string
  /** What --crash does: "kills …". */
  readonly crash: string
}

export interface Wanted {
  readonly onKafka: boolean
  /** undefined with `onKafka`: one that the demo starts itself. */
  readonly brokers: string[] | undefined
  readonly crash: boolean
  readonly number: string | undefined
  /** Aborted by Ctrl-C; asked twice, the process ends at once. */
  readonly signal: AbortSignal
}

/** Prints the help or what is wrong, and ends the process then. */
export function commandLine({ help, number, crash }: Demo): Wanted {
  const values = parsed(help, number)
  if (values.help) {
    console.log(help)
    process.exit(0)
  }
  const brokers = (values.brokers as string | undefined)?.split(',')
  const onKafka = values.kafka === true || brokers !== undefined
  if (values.crash && !onKafka) {
    refuse(`--crash ${crash}, and only a real Kafka outlives it: add --kafka or --brokers host:port.`, help)
  }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => (stop.signal.aborted ? process.exit(130) : stop.abort()))
  }
  const own = values[number] as string | undefined
  return { onKafka, brokers, crash: values.crash === true, number: own, signal: stop.signal }
}

function parsed(help: string, number: string): Record<string, string | boolean | undefined> {
  try {
    return parseArgs({
      options: {
        kafka: { type: 'boolean' },
        crash: { type: 'boolean' },
        brokers: { type: 'string' },
        [number]: { type: 'string' },
        help: { type: 'boolean', short: 'h' }
      }
    }).values as Record<string, string | boolean | undefined>
  } catch (error) {
    return refuse((error as Error).message, help)
  }
}

export function refuse(message: string, help: string): never {
  console.error(`${message}\n\n${help}`)
  process.exit(2)
}

/** The end after Ctrl-C: nothing that is still pending must hold the process up. */
export function stopped(): never {
  console.error('\nstopped: everything that was started is ended, topics and state are removed')
  process.exit(130)
}
