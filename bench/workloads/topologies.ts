/** The topology of each workload, for the program that runs the engine. */
import type { MillraceOptions } from '../../actors/index.ts'
import type { Job } from '../harness/types.ts'
import { build as pass } from './pass.ts'

const TOPOLOGIES: Record<string, (job: Job) => MillraceOptions['topology']> = { pass }

export const topologyOf = (job: Job): MillraceOptions['topology'] => TOPOLOGIES[job.workload]!(job)
