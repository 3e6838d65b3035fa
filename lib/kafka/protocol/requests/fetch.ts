/** Fetch v11 without sessions, ListOffsets v3. */
import type { RequestCodec } from '../codec.ts'

const NO_ABORTED: { producerId: number; firstOffset: number }[] = []

export const fetch: RequestCodec<'Fetch'> = {
  key: 1,
  version: 11,
  encode(to, { maxWaitMs, minBytes, maxBytes, isolation, topics }) {
    to.int32(-1)
      .int32(maxWaitMs)
      .int32(minBytes)
      .int32(maxBytes)
      .int8(isolation === 'committed' ? 1 : 0)
    to.int32(0).int32(-1) // session id, epoch: none
    to.array(topics, (t) =>
      to.string(t.topic).array(t.partitions, (p) => {
        to.int32(p.partition).int32(-1).int64(p.offset).int64(-1).int32(p.maxBytes)
      })
    )
    to.int32(0).string('') // forgotten topics, rack
  },
  decode(from) {
    from.int32() // throttle
    const error = from.int16()
    from.int32() // session id
    const topics = from.array(() => ({
      topic: from.string(),
      partitions: from.array(() => {
        const partition = from.int32()
        const code = from.int16()
        const highWatermark = from.int64()
        const lastStableOffset = from.int64()
        const logStartOffset = from.int64()
        const aborted = from.array(() => ({ producerId: from.int64(), firstOffset: from.int64() }))
        from.int32() // preferred read replica
        return {
          partition,
          error: code,
          highWatermark,
          lastStableOffset,
          logStartOffset,
          aborted: aborted.length === 0 ? NO_ABORTED : aborted,
          records: from.bytes()
        }
      })
    }))
    return { error, topics }
  }
}

export const listOffsets: RequestCodec<'ListOffsets'> = {
  key: 2,
  version: 3,
  encode(to, { isolation, topics }) {
    to.int32(-1).int8(isolation === 'committed' ? 1 : 0)
    to.array(topics, (t) => to.string(t.topic).array(t.partitions, (p) => to.int32(p.partition).int64(p.timestamp)))
  },
  decode(from) {
    from.int32() // throttle
    const topics = from.array(() => ({
      topic: from.string(),
      partitions: from.array(() => ({
        partition: from.int32(),
        error: from.int16(),
        timestamp: from.int64(),
        offset: from.int64()
      }))
    }))
    return { topics }
  }
}
