/** From the start of a process to the first output that a committed reader sees, with its input waiting. */
import { delay, stopwatch, systemClock } from '../../lib/time.ts'
import { ends, fill } from '../harness/topics.ts'
import { workload } from '../workloads/index.ts'
import { byTurns, endless, withSide } from './runs.ts'
import type { Special } from './types.ts'

const RECORDS = 10_000

export const start: Special = {
  name: 'start',
  about: 'start of a process to its first visible output, through `pass`',
  run: (transport, options) =>
    byTurns(transport, options, { name: 'start', unit: 'ms', workload: 'pass' }, async (side, guarantee, prefix) => {
      const job = await endless(transport, options, { workload: 'pass', guarantee, prefix })
      await fill(transport, workload('pass'), job.inputs, RECORDS)
      return withSide(side, job, async ({ spawned }) => {
        while ((await ends(transport, job.output)).every((end) => end === 0)) await delay(systemClock, 5)
        return { 'to first output': stopwatch() - spawned }
      })
    })
}
