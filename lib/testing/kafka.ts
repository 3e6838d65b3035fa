/** A real Kafka for specs, demo and benches: a running one, else containers, else JVMs; gone when we are gone. */
import { ProvisionError } from '../errors.ts'
import { stopwatch } from '../time.ts'
import { startByDocker } from './kafka/docker.ts'
import { startByJava } from './kafka/java.ts'
import { clusterReady } from './kafka/ready.ts'
import type { KafkaHandle, KafkaOptions, KafkaWay } from './kafka/types.ts'

export type { KafkaHandle, KafkaNode, KafkaOptions, KafkaWay } from './kafka/types.ts'

/** A handle but for the line that tells how it was got. */
type Started = Omit<KafkaHandle, 'how'> & { version: string }

/**
 * Gives a Kafka that serves. Tried in this order: the brokers of the variable `KAFKA_BROKERS` (comma list; only when
 * neither `config`, `ports`, several brokers nor `own` is asked for), Docker through testcontainers, Java 17 with
 * Apache Kafka's own jars. Brokers it starts end with this process, even after kill -9.
 * @throws ProvisionError ERR_NO_KAFKA: says for each way what is missing, and what to do.
 * @example
 * await using kafka = await startKafka({ config: { 'log.retention.check.interval.ms': '1000' } })
 * connect(kafka.brokers)
 */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaHandle> {
  const log = options.log ?? (() => {})
  const reasons: string[] = []
  for (const way of options.ways ?? defaultWays()) {
    const began = stopwatch()
    try {
      options.signal?.throwIfAborted()
      const started = await WAYS[way](options)
      const seconds = ((stopwatch() - began) / 1000).toFixed(1)
      const count = started.brokers.length
      const how = `Apache Kafka ${started.version}, ${count} broker${count > 1 ? 's' : ''}, ${NAMES[way]}, ready in ${seconds} s`
      return Object.assign(started, { how })
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!(error instanceof ProvisionError) || error.details.final) throw error
      if (way !== 'env' || process.env.KAFKA_BROKERS) log(`not ${NAMES[way]}: ${error.message}`)
      reasons.push(`- ${NAMES[way]}: ${error.message}`)
    }
  }
  throw new ProvisionError(
    `No Kafka could be had:\n${reasons.join('\n')}\n` +
      'Set KAFKA_BROKERS=host:port to a running one, or start a Docker engine, or install Java 17 and Maven.'
  )
}

const NAMES: Record<KafkaWay, string> = {
  env: 'named by KAFKA_BROKERS',
  docker: 'in Docker through testcontainers',
  java: 'as a Java process'
}

const WAYS: Record<KafkaWay, (options: KafkaOptions) => Promise<Started>> = {
  env: useRunning,
  docker: startByDocker,
  java: startByJava
}

function defaultWays(): KafkaWay[] {
  const wish = process.env.MILLRACE_KAFKA
  if (!wish) return ['env', 'docker', 'java']
  if (wish === 'docker' || wish === 'java') return ['env', wish]
  throw new ProvisionError(`MILLRACE_KAFKA is "${wish}": write docker or java, or leave it out`)
}

async function useRunning(options: KafkaOptions): Promise<Started> {
  const brokers = (process.env.KAFKA_BROKERS ?? '').split(',').map((broker) => broker.trim())
  if (brokers[0] === '') throw new ProvisionError('the variable is not set')
  const special =
    Object.keys(options.config ?? {}).length > 0 || options.ports || options.own || (options.brokers ?? 1) > 1
  if (special)
    throw new ProvisionError('set, but not used here: this run needs brokers of its own (settings, count or crashes)')
  try {
    await clusterReady(
      brokers.map((address) => ({ address })),
      brokers.length,
      { timeoutMs: options.envTimeoutMs ?? 10_000, signal: options.signal }
    )
  } catch (cause) {
    options.signal?.throwIfAborted()
    throw new ProvisionError(
      `KAFKA_BROKERS names ${brokers.join(', ')}, but no Kafka serves there: start it, mend or unset the variable`,
      {
        cause,
        details: { final: true } // a wish that fails must not be answered with another broker in silence
      }
    )
  }
  const stop = async (): Promise<void> => {}
  return { version: `at ${brokers.join(',')}`, way: 'env', brokers, stop, [Symbol.asyncDispose]: stop }
}
