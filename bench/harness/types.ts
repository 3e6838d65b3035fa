/** What the parts of the bench give each other: options, jobs, workloads, results. */
import type { Transport } from '../../lib/kafka/port.ts'
import type { Guarantee } from '../../lib/task/port.ts'

export interface BenchOptions {
  readonly brokers: string[]
  readonly records: number
  /** Runs of each side, alternately. */
  readonly pairs: number
}

/** What a side's program is told: its one argument, as JSON. */
export interface Job {
  readonly workload: string
  /** Consumer group, application id. */
  readonly group: string
  readonly guarantee: Guarantee
  readonly brokers: string[]
  readonly input: string
  readonly output: string
  readonly records: number
  readonly partitions: number
  /** Of its own, empty, and removed afterwards. */
  readonly stateDir: string
}

/** What a side's program tells when it is stopped. Seconds of user and system time; bytes. */
export interface Usage {
  /** From `began` on. */
  readonly cpuSeconds: number
  /** Before: loading, compiling, joining the group. */
  readonly startCpuSeconds: number
  readonly peakMemory: number
}

/** A program that does the workload's job, in a process of its own. */
export interface Side {
  readonly name: string
  /** File in bench/peers. */
  readonly program: string
  readonly guarantee: Guarantee
  /** Compared with this side; undefined = it is what others are compared with, or a floor shown beside. */
  readonly against?: string
  /** The median of the ratios must reach it. */
  readonly target?: number
}

export interface Workload {
  readonly name: string
  /** One line for people. */
  readonly about: string
  readonly partitions: number
  readonly sides: readonly Side[]
  /** Writes the input topic, which exists. */
  fill(transport: Transport, topic: string, records: number): Promise<void>
  /** Input records whose output a committed reader can see: the run is over when that is all of them. Asked every 10 ms. */
  done(transport: Transport, job: Job): Promise<number>
  /** @throws Error when the output is not what it must be */
  verify(transport: Transport, job: Job): Promise<void>
}

export interface Run extends Usage {
  /** Records/s: from `began` to the last output that a committed reader can see. */
  readonly rate: number
  /** From the start of the process to `began`. */
  readonly startMs: number
}

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** One line of the JSON file. */
export interface Result {
  readonly name: string
  readonly guarantee: Guarantee
  readonly side: string
  readonly peer: string
  readonly millrace: Spread
  readonly other: Spread
  readonly ratio: Spread
  /** Medians per run. */
  readonly cpuSeconds: { readonly millrace: number; readonly other: number }
  /** Bytes, largest of all runs. */
  readonly peakMemory: { readonly millrace: number; readonly other: number }
  /** Every run's output was counted and compared. */
  readonly verified: boolean
  readonly target: number | undefined
}
