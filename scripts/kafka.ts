/** Starts a Kafka, prints its address and keeps it until Ctrl-C: `node --import tsx scripts/kafka.ts --port 9092`. */
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { startKafka } from '../lib/testing/kafka.ts'

const USAGE = `usage: node --import tsx scripts/kafka.ts [--brokers 1] [--port 9092] [--set log.retention.check.interval.ms=1000]…
  --brokers  how many brokers
  --port     the first one's port, the next ones count up (default: free ports)
  --set      a server.properties line, may be repeated
  --steady   lets the JVM optimise fully: for measuring`

const { values } = parseArgs({
  options: {
    brokers: { type: 'string', default: '1' },
    port: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    steady: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})

if (values.help) {
  console.log(USAGE)
} else {
  const brokers = Number(values.brokers)
  const first = values.port === undefined ? undefined : Number(values.port)
  const stopped = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.abort(new Error(signal)))
  await using kafka = await startKafka({
    brokers,
    own: true,
    jvm: values.steady ? 'steady' : 'quick',
    config: Object.fromEntries(
      values.set.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])
    ),
    ...(first !== undefined && { ports: Array.from({ length: brokers }, (_, i) => first + i) }),
    log: (line) => console.error(line),
    signal: stopped.signal
  })
  console.log(`${kafka.how}\n\n  export KAFKA_BROKERS=${kafka.brokers.join(',')}\n\nCtrl-C ends it.`)
  const open = setInterval(() => {}, 2 ** 30) // nothing else keeps the event loop alive
  if (!stopped.signal.aborted) await once(stopped.signal, 'abort')
  clearInterval(open)
}
