/** Where windowed results go on a topic. */
import { partitionFor } from '../kafka/partitioner.ts'
import type { Serde } from '../record.ts'
import { isWindowed } from '../serde/windowed.ts'
import type { SinkNode } from '../topology/node.ts'

/** @internal Windows of one key stay together: the partition follows from the raw key, as in the JVM. */
export function windowPartitioner(serde: Serde<unknown>): Pick<SinkNode, 'partitioner'> {
  if (!isWindowed(serde)) return {}
  return {
    partitioner: (record, partitions) => {
      const bytes = serde.inner.encode(record.key.key)
      return partitionFor(bytes, 0, bytes.length, partitions)
    }
  }
}
