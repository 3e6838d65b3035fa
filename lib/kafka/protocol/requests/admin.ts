/** Topics, configurations and groups: CreateTopics v4 … DeleteGroups v1. */
import { type ByteReader, malformed } from '../bytes.ts'
import type { RequestCodec } from '../codec.ts'

const TOPIC = 2 // resource type

export const createTopics: RequestCodec<'CreateTopics'> = {
  key: 19,
  version: 4,
  encode(to, { topics, timeoutMs }) {
    to.array(topics, (t) => {
      to.string(t.topic).int32(t.partitions).int16(t.replication)
      to.int32(0) // assignments: the broker's choice
      to.array(Object.entries(t.config), ([name, value]) => to.string(name).string(value))
    })
    to.int32(timeoutMs).bool(false)
  },
  decode(from) {
    from.int32() // throttle
    const topics = from.array(() => ({ topic: from.string(), error: from.int16(), message: from.nullableString() }))
    return { topics }
  }
}

export const deleteTopics: RequestCodec<'DeleteTopics'> = {
  key: 20,
  version: 3,
  encode(to, { topics, timeoutMs }) {
    to.array(topics, (t) => to.string(t)).int32(timeoutMs)
  },
  decode(from) {
    from.int32() // throttle
    return { topics: from.array(() => ({ topic: from.string(), error: from.int16() })) }
  }
}

export const createPartitions: RequestCodec<'CreatePartitions'> = {
  key: 37,
  version: 1,
  encode(to, { topic, total, timeoutMs }) {
    to.int32(1).string(topic).int32(total).int32(-1)
    to.int32(timeoutMs).bool(false)
  },
  decode(from) {
    from.int32() // throttle
    return only(from, () => {
      from.string() // topic
      return { error: from.int16(), message: from.nullableString() }
    })
  }
}

export const deleteRecords: RequestCodec<'DeleteRecords'> = {
  key: 21,
  version: 1,
  encode(to, { topics, timeoutMs }) {
    to.array(topics, (t) => to.string(t.topic).array(t.partitions, (p) => to.int32(p.partition).int64(p.offset)))
    to.int32(timeoutMs)
  },
  decode(from) {
    from.int32() // throttle
    const topics = from.array(() => ({
      topic: from.string(),
      partitions: from.array(() => ({ partition: from.int32(), lowWatermark: from.int64(), error: from.int16() }))
    }))
    return { topics }
  }
}

export const describeConfigs: RequestCodec<'DescribeConfigs'> = {
  key: 32,
  version: 2,
  encode(to, { topic }) {
    to.int32(1).int8(TOPIC).string(topic).int32(-1)
    to.bool(false) // synonyms
  },
  decode(from) {
    from.int32() // throttle
    return only(from, () => {
      const error = from.int16()
      const message = from.nullableString()
      from.int8() // resource type
      from.string() // resource name
      const entries = from.array(() => {
        const name = from.string()
        const value = from.nullableString()
        from.bool() // read only
        const isDefault = from.int8() !== 1 // 1 = set on the topic itself
        from.bool() // sensitive
        from.array(() => [from.string(), from.nullableString(), from.int8()]) // synonyms
        return { name, value, isDefault }
      })
      return { error, message, entries }
    })
  }
}

export const incrementalAlterConfigs: RequestCodec<'IncrementalAlterConfigs'> = {
  key: 44,
  version: 0,
  encode(to, { topic, settings }) {
    to.int32(1).int8(TOPIC).string(topic)
    to.array(settings, (s) =>
      to
        .string(s.name)
        .int8(s.value === null ? 1 : 0)
        .string(s.value)
    )
    to.bool(false) // validate only
  },
  decode(from) {
    from.int32() // throttle
    return only(from, () => {
      const answer = { error: from.int16(), message: from.nullableString() }
      from.int8() // resource type
      from.string() // resource name
      return answer
    })
  }
}

export const describeGroup: RequestCodec<'DescribeGroup'> = {
  key: 15,
  version: 4,
  encode(to, { groupId }) {
    to.int32(1).string(groupId).bool(false)
  },
  decode(from) {
    from.int32() // throttle
    return only(from, () => {
      const error = from.int16()
      from.string() // group id
      const state = from.string()
      from.string() // protocol type
      from.string() // protocol
      const members = from.array(() => {
        const memberId = from.string()
        const instanceId = from.nullableString()
        from.string() // client id
        from.string() // host
        return { memberId, instanceId, metadata: from.bytes(), assignment: from.bytes() }
      })
      from.int32() // authorised operations
      return { error, state, members }
    })
  }
}

export const deleteGroup: RequestCodec<'DeleteGroup'> = {
  key: 42,
  version: 1,
  encode(to, { groupId }) {
    to.int32(1).string(groupId)
  },
  decode(from) {
    from.int32() // throttle
    return only(from, () => {
      from.string() // group id
      return { error: from.int16() }
    })
  }
}

// We ask about one thing at a time, so exactly one answer must come back.
function only<T>(from: ByteReader, item: () => T): T {
  const [first, ...more] = from.array(item)
  if (first === undefined || more.length > 0)
    throw malformed(`${more.length + (first ? 1 : 0)} results for one question`)
  return first
}
