/** What callers of the Kafka provisioning give and get. */

/** The ways to a broker, in the order they are tried. */
export type KafkaWay = 'env' | 'docker' | 'java'

export interface KafkaOptions {
  /** How many brokers. Default 1. With two, only the first is a controller: kill the second. With three, any one may go. */
  brokers?: number
  /** server.properties overrides, e.g. `{ 'log.retention.check.interval.ms': '1000' }`. */
  config?: Record<string, string>
  /** True when the caller will kill, pause or fill the broker: one named by KAFKA_BROKERS is then not used. */
  own?: boolean
  /** Fixed client ports, one a broker. Default: free ones. */
  ports?: number[]
  /** `quick` starts sooner; `steady` lets the JVM optimise fully and gives it 1 GiB, for measuring. Default `quick`. */
  jvm?: 'quick' | 'steady'
  /** Only these ways, in this order. Default all, or what the variable MILLRACE_KAFKA names (`docker`, `java`). */
  ways?: KafkaWay[]
  /** Milliseconds to wait for the brokers of KAFKA_BROKERS. Default 10,000. */
  envTimeoutMs?: number
  /** Gets progress and the brokers' warnings, line by line. */
  log?: (line: string) => void
  /** Gives up starting. */
  signal?: AbortSignal
}

/** One broker that may be hurt. Data stay through kill and restart. */
export interface KafkaNode {
  /** From 1. */
  readonly id: number
  /** `host:port` for clients; stays the same after a restart. */
  readonly address: string
  /** Where its log lies on this machine; undefined in a container. */
  readonly dataDir: string | undefined
  /** Ends it at once, as a power cut would. */
  kill(): Promise<void>
  /** Freezes it: connections stay open, nothing answers. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Starts it again (after a kill if it runs) and resolves when it serves with all its living peers. */
  restart(): Promise<void>
}

export interface KafkaHandle extends AsyncDisposable {
  /** `host:port` of each broker. */
  readonly brokers: string[]
  /** One line for people: which broker, got which way, version, how long it took. */
  readonly how: string
  readonly way: KafkaWay
  /** Absent where the brokers are not ours (KAFKA_BROKERS). */
  readonly nodes?: readonly KafkaNode[]
  /** Ends the brokers and removes their data; nothing is done to brokers that are not ours. May be called twice. */
  stop(): Promise<void>
}
