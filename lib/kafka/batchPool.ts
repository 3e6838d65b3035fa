/** Batch buffers between uses: a megabyte is not allocated, and its pages not touched anew, for every batch. */
import { RecordBatchWriter } from './protocol/recordBatchWriter.ts'

/** Bytes kept for reuse by all producers of one cluster together. */
const KEEP = 8 * 1_048_576

export class BatchPool {
  #spare = new Map<number, RecordBatchWriter[]>() // by limit
  #kept = 0

  take(limit: number): RecordBatchWriter {
    const spare = this.#spare.get(limit)?.pop()
    if (!spare) return new RecordBatchWriter(limit)
    this.#kept -= spare.capacity
    return spare
  }

  /** Only for a batch whose bytes nobody reads any more. */
  give(limit: number, writer: RecordBatchWriter): void {
    if (this.#kept + writer.capacity > KEEP) return
    writer.reset()
    this.#kept += writer.capacity
    const spare = this.#spare.get(limit)
    if (spare) spare.push(writer)
    else this.#spare.set(limit, [writer])
  }
}

const pools = new WeakMap<object, BatchPool>()

/** The pool that belongs to `owner` (a Cluster). */
export function poolOf(owner: object): BatchPool {
  let pool = pools.get(owner)
  if (!pool) {
    pool = new BatchPool()
    pools.set(owner, pool)
  }
  return pool
}
