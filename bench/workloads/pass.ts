/** Question: how fast is a read-and-write job, against the same loop on stock kafkajs, and against our own Reader and Producer without an engine? */
import { topic, topology } from '../../lib/dsl/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { bytes } from '../../lib/serde/index.ts'
import { contents, fillJson, passed } from '../harness/topics.ts'
import type { Job, Workload } from '../harness/types.ts'

const PARTITIONS = 4
const KEYS = 10_000

/** Every record goes from one topic to the other as it is; acknowledged by all replicas. */
export const build = ({ input, output }: Job): ReturnType<typeof topology> => {
  const t = topology()
  const parts = { key: bytes(), value: bytes() }
  t.stream(topic(input, parts)).to(topic(output, parts))
  return t
}

export const pass: Workload = {
  name: 'pass',
  about: `values of 100 bytes, ${PARTITIONS} partitions → ${PARTITIONS} partitions, acks from all replicas`,
  partitions: PARTITIONS,
  sides: [
    { name: 'millrace', program: 'millrace.ts', guarantee: 'at-least-once', against: 'kafkajs', target: 5 },
    // No target: kafkajs has no exactly-once loop to be compared with, this is its at-least-once one.
    { name: 'millrace-exactly-once', program: 'millrace.ts', guarantee: 'exactly-once', against: 'kafkajs' },
    // What is left of the job without an engine around it: the floor that the engine is measured by.
    { name: 'raw', program: 'raw.ts', guarantee: 'at-least-once', against: 'kafkajs' },
    { name: 'kafkajs', program: 'kafkajs.ts', guarantee: 'at-least-once' }
  ],
  fill: (transport, name, records) => fillJson(transport, name, { records, keys: KEYS, partitions: PARTITIONS }),
  done: passed,
  async verify(transport: Transport, { input, output, partitions, records }: Job) {
    const written = await contents(transport, output, partitions)
    if (written.records !== records) throw new Error(`${output} holds ${written.records} records instead of ${records}`)
    const read = await wanted(transport, input, partitions)
    // The input lies on the partitions of the default partitioner, so that every side keeps partitions and order.
    for (let p = 0; p < partitions; p++) {
      if (written.checksums[p] !== read.checksums[p])
        throw new Error(`${output}-${p} does not hold the records of ${input}-${p}`)
    }
  }
}

let input: { name: string; contents: ReturnType<typeof contents> } | undefined // the same for all runs, so read once

function wanted(transport: Transport, name: string, partitions: number): ReturnType<typeof contents> {
  if (input?.name !== name) input = { name, contents: contents(transport, name, partitions) }
  return input.contents
}
