/** State of a million keys from its changelog, on a machine that has none of it: records/s from the start of the process until all tasks are ready. */
import { delay, stopwatch, systemClock } from '../../lib/time.ts'
import { createTopic, ends, fill, untilCommitted } from '../harness/topics.ts'
import { workload } from '../workloads/index.ts'
import { byTurns, withSide } from './runs.ts'
import type { Special } from './types.ts'

export const restore: Special = {
  name: 'restore',
  about: 'counts of 1,000,000 keys from their changelog into an empty directory; the start of the process included',
  async run(transport, options) {
    const { brokers, records } = options
    const input = `bench-restore-${Date.now().toString(36)}-input`
    await createTopic(transport, input)
    await fill(transport, workload('count-large'), [input], records)
    try {
      return await byTurns(
        transport,
        options,
        { name: 'restore', unit: 'records/s', workload: 'count-large' },
        async (side, guarantee, prefix) => {
          const output = `${prefix}-out`
          await createTopic(transport, output)
          const job = {
            workload: 'count-large',
            group: prefix,
            guarantee,
            brokers,
            inputs: [input],
            output,
            records,
            streamed: records
          }
          await withSide(side, job, () => untilCommitted(transport, job))
          // Kafka Streams does not leave its group: the broker waits for the session's time-out, which is not what is asked here.
          while ((await transport.admin.members(prefix)).length > 0) await delay(systemClock, 200)
          const changelog = (await transport.admin.topics()).find(
            (t) => t.startsWith(prefix) && t.endsWith('-changelog')
          )!
          const kept = (await ends(transport, changelog)).reduce((a, b) => a + b, 0)
          const spawned = stopwatch()
          return withSide(side, { ...job, records: 0, streamed: 0 }, async ({ ready }) => ({
            restored: (kept / ((await ready) - spawned)) * 1_000
          }))
        }
      )
    } finally {
      await transport.admin.deleteTopics([input])
    }
  }
}
