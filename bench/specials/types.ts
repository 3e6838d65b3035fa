/** Benches that ask for something else than the records/s of a workload. */
import type { Transport } from '../../lib/kafka/port.ts'
import type { Guarantee } from '../../lib/task/port.ts'
import type { BenchOptions, SideName, Spread } from '../harness/types.ts'

/** One figure of one side, over its runs. */
export interface Measure {
  readonly name: string
  /** What is measured: `p99`, `to ready` … */
  readonly figure: string
  readonly unit: 'ms' | 'records/s' | 'CPU s a million' | 'MiB'
  readonly guarantee: Guarantee
  readonly side: SideName
  readonly values: Spread
}

export interface Special {
  readonly name: string
  readonly about: string
  run(transport: Transport, options: BenchOptions): Promise<Measure[]>
}
