/** All benches that measure something else than the records/s of a workload, in the order they are run. */
import { failover } from './failover.ts'
import { latency } from './latency.ts'
import { long } from './long.ts'
import { restore } from './restore.ts'
import { scale } from './scale.ts'
import { start } from './start.ts'
import type { Special } from './types.ts'

export const SPECIALS: readonly Special[] = [latency, start, restore, failover, scale, long]
