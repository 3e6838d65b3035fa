/** The job's output topic as a map in memory: answers for every customer, also of those whose task runs in another process. */
import type { Transport } from '../../actors/index.ts'
import { type Totals, totalsTopic } from './job.ts'

export interface View {
  get(customer: string): Totals | undefined
  close(): Promise<void>
}

export async function openView(transport: Transport): Promise<View> {
  const rows = new Map<string, Totals>()
  const reader = transport.reader({
    isolation: 'committed',
    lane: 'source',
    maxWaitMs: 100,
    onError: (error) => {
      throw error
    }
  })
  const { name } = totalsTopic
  const partitions = (await transport.admin.partitions([name])).get(name)!
  for (let partition = 0; partition < partitions; partition++) {
    reader.add({ topic: name, partition }, 0, ({ records }) => {
      for (let i = 0; i < records.count; i++) {
        const { orders, spent } = JSON.parse(records.value(i)!.toString()) as Totals
        rows.set(records.key(i)!.toString(), { orders, spent })
      }
    })
  }
  return { get: (customer) => rows.get(customer), close: () => reader.close() }
}
