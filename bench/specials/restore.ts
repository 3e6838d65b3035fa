/** State of a million keys from its changelog, on a machine that has none of it: records/s from the start of the process until all tasks are ready. */
import { fill, untilCommitted, verify } from '../harness/topics.ts'
import { byTurns, endless, withSide } from './runs.ts'
import { counted, writeCounts } from './state.ts'
import type { Special } from './types.ts'

const KEYS = 1_000_000
/** Counted on top of what was restored, to see that it was. */
const PROBES = 20_000

export const restore: Special = {
  name: 'restore',
  about: `counts of ${KEYS.toLocaleString('en')} keys (--records when that is less) from their changelog into an empty directory; the start of the process included`,
  run(transport, options) {
    const keys = Math.min(KEYS, options.records)
    const what = { name: 'restore', unit: 'records/s', workload: 'count-large' } as const
    return byTurns(transport, options, what, async (side, guarantee, prefix) => {
      const job = await endless(transport, options, { workload: what.workload, guarantee, prefix })
      await writeCounts(transport, job, keys)
      const work = { ...job, records: PROBES, streamed: PROBES }
      const took = await withSide(side, work, async ({ ready, spawned }) => {
        const ms = (await ready) - spawned
        await fill(transport, counted(keys), job.inputs, PROBES)
        await untilCommitted(transport, work)
        return ms
      })
      await verify(
        transport,
        job.output,
        counted(keys).data(PROBES, () => {})
      )
      return { restored: (keys / took) * 1_000 }
    })
  }
}
