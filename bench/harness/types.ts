/** What the parts of the bench give each other: options, workloads, jobs, runs, results. */
import type { MillraceOptions } from '../../actors/index.ts'
import type { TopologyBuilder } from '../../lib/dsl/index.ts'
import type { Stream } from '../../lib/dsl/stream.ts'
import type { Topic } from '../../lib/dsl/topic.ts'
import type { Guarantee } from '../../lib/task/port.ts'
import type { Expected } from './expected.ts'

export type PeerName = 'kafka-streams' | 'kafka-streams-tuned' | 'kafkajs' | 'quix' | 'raw'
export type SideName = 'millrace' | PeerName

export interface BenchOptions {
  readonly brokers: string[]
  readonly records: number
  /** Runs of each side, alternately. */
  readonly pairs: number
  readonly guarantees: readonly Guarantee[]
  readonly peers: readonly PeerName[]
  /** A run that does not count before the first pair. */
  readonly warmUp: boolean
}

/** Takes the input's records in the order they are produced. */
export type Put = (input: number, timestamp: number, key: Buffer, value: Buffer) => void

/** Makes a stream of an input that tells the bench how many records were taken, and else does nothing. */
export type Source = <K, V>(t: TopologyBuilder, from: Topic<K, V>) => Stream<K, V>

/** One job, described once for every side: data, what must come out, and the topology as Millrace builds it. */
export interface Workload {
  readonly name: string
  /** One line for people. */
  readonly about: string
  /** Input topics, all with PARTITIONS partitions. */
  readonly inputs: number
  /** Which of the inputs are tables: read as such, not counted by `Source`. */
  readonly tables?: readonly number[]
  /** Produces `records` records or about as many. @returns what the output must be */
  data(records: number, put: Put): Expected
  /** Fills the builder, or gives a topology of its own that calls `taken` once for each record of its streams. */
  build(t: TopologyBuilder, job: Job, source: Source, taken: () => void): MillraceOptions['topology'] | void
}

export const PARTITIONS = 4

/** What a side's program is told. */
export interface Job {
  readonly workload: string
  /** Consumer group, application id. */
  readonly group: string
  readonly guarantee: Guarantee
  readonly brokers: readonly string[]
  readonly inputs: readonly string[]
  readonly output: string
  /** In all inputs together. */
  readonly records: number
  /** In those that are streams. */
  readonly streamed: number
  /** Of its own, empty, and removed afterwards. */
  readonly stateDir: string
  /** Of its input, output and changelogs. Default PARTITIONS. */
  readonly partitions?: number
  /** Tasks that this process is to have before it is `ready`. Default: as many as there are partitions. */
  readonly tasks?: number
  /** Commit interval, ms. Default: the program's own. */
  readonly commitMs?: number
  /** Copies of each task's state in other processes. Default 0. */
  readonly standbys?: number
  /** Session time-out, ms, with heartbeats every third of it. Default: the program's own. */
  readonly sessionMs?: number
}

/** A program that does the workload's job, in a process of its own. */
export interface Side {
  readonly name: SideName
  /** Which jobs it can do; undefined = all. @returns why not */
  refuses?(workload: string, guarantee: Guarantee): string | undefined
  command(job: Job): Promise<{ readonly command: string; readonly args: readonly string[] }>
  /** Commits no offsets: it is done when the output is as long as the input. */
  readonly untracked?: boolean
}

export interface Run {
  /** Records/s: from `began` until the whole input is committed, outputs visible. */
  readonly rate: number
  /** From the start of the process to `began`. */
  readonly startMs: number
  /** User and system time from `began` to the end. */
  readonly cpuSeconds: number
  /** Before `began`: loading, compiling, joining the group. */
  readonly startCpuSeconds: number
  /** Largest resident set of the process, bytes. */
  readonly peakMemory: number
}

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Both {
  readonly millrace: number
  readonly other: number
}

/** One line of the JSON file: Millrace against one peer. */
export interface Result {
  readonly name: string
  readonly guarantee: Guarantee
  readonly peer: PeerName
  readonly records: number
  readonly millrace: Spread
  readonly other: Spread
  /** Of the runs of one pair, which stand beside each other in time. */
  readonly ratio: Spread
  /** Medians per run. */
  readonly cpuSeconds: Both
  /** Bytes, largest of all runs. */
  readonly peakMemory: Both
  /** Every run's output was read back and compared. */
  readonly verified: boolean
}
