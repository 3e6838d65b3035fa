/** OffsetCommit v7 and OffsetFetch v7 (flexible; the first version that can wait for pending transactions). */
import type { RequestCodec } from '../codec.ts'

export const offsetCommit: RequestCodec<'OffsetCommit'> = {
  key: 8,
  version: 7,
  encode(to, { groupId, generation, memberId, instanceId, topics }) {
    to.string(groupId).int32(generation).string(memberId).string(instanceId)
    to.array(topics, (t) =>
      to.string(t.topic).array(t.partitions, (p) => {
        to.int32(p.partition).int64(p.offset).int32(-1).string(p.metadata)
      })
    )
  },
  decode(from) {
    from.int32() // throttle
    const topics = from.array(() => ({
      topic: from.string(),
      partitions: from.array(() => ({ partition: from.int32(), error: from.int16() }))
    }))
    return { topics }
  }
}

export const offsetFetch: RequestCodec<'OffsetFetch'> = {
  key: 9,
  version: 7,
  flexible: true,
  encode(to, { groupId, topics, requireStable }) {
    to.compactString(groupId)
    if (topics === null) to.uvarint(0)
    else {
      to.compactArray(topics, (t) => {
        to.compactString(t.topic)
          .compactArray(t.partitions, (p) => to.int32(p))
          .tags()
      })
    }
    to.bool(requireStable).tags()
  },
  decode(from) {
    from.int32() // throttle
    const topics = from.compactArray(() => {
      const topic = from.compactString()
      const partitions = from.compactArray(() => {
        const partition = from.int32()
        const offset = from.int64()
        from.int32() // leader epoch
        const metadata = from.nullableCompactString()
        const error = from.int16()
        from.tags()
        return { partition, error, offset, metadata }
      })
      from.tags()
      return { topic, partitions }
    })
    const error = from.int16()
    from.tags()
    return { error, topics }
  }
}
