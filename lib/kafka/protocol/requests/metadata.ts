/** Metadata v6, FindCoordinator v2: where things are. */
import type { RequestCodec } from '../codec.ts'

export const metadata: RequestCodec<'Metadata'> = {
  key: 3,
  version: 6,
  encode(to, { topics }) {
    if (topics === null) to.int32(-1)
    else to.array(topics, (t) => to.string(t))
    to.bool(false) // never creates topics: a typing error must be an error
  },
  decode(from) {
    from.int32() // throttle
    const brokers = from.array(() => {
      const broker = { nodeId: from.int32(), host: from.string(), port: from.int32() }
      from.nullableString() // rack
      return broker
    })
    from.nullableString() // cluster id
    const controllerId = from.int32()
    const topics = from.array(() => {
      const error = from.int16()
      const topic = from.string()
      from.bool() // internal
      const partitions = from.array(() => {
        const p = {
          error: from.int16(),
          partition: from.int32(),
          leader: from.int32(),
          replicas: from.array(() => from.int32()),
          isr: from.array(() => from.int32())
        }
        from.array(() => from.int32()) // offline replicas
        return p
      })
      return { error, topic, partitions }
    })
    return { brokers, controllerId, topics }
  }
}

export const findCoordinator: RequestCodec<'FindCoordinator'> = {
  key: 10,
  version: 2,
  encode(to, { key, type }) {
    to.string(key).int8(type === 'group' ? 0 : 1)
  },
  decode(from) {
    from.int32() // throttle
    const error = from.int16()
    from.nullableString() // message
    const nodeId = from.int32()
    from.string() // host
    from.int32() // port
    return { error, nodeId }
  }
}
