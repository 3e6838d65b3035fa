/** Produce v7: one record batch a partition, acknowledged by all replicas. */
import type { RequestCodec } from '../codec.ts'

export const produce: RequestCodec<'Produce'> = {
  key: 0,
  version: 7,
  encode(to, { transactionalId, timeoutMs, topics }) {
    to.string(transactionalId).int16(-1).int32(timeoutMs)
    to.array(topics, (t) => to.string(t.topic).array(t.partitions, (p) => to.int32(p.partition).inPlace(p.records)))
  },
  decode(from) {
    const topics = from.array(() => ({
      topic: from.string(),
      partitions: from.array(() => {
        const partition = from.int32()
        const error = from.int16()
        const baseOffset = from.int64()
        from.int64() // log append time
        return { partition, error, baseOffset, logStartOffset: from.int64() }
      })
    }))
    from.int32() // throttle
    return { topics }
  }
}
