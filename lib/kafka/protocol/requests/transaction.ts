/** Producer ids and transactions: InitProducerId v1, AddPartitionsToTxn v1, AddOffsetsToTxn v1, TxnOffsetCommit v3, EndTxn v1. */
import type { ByteWriter } from '../bytes.ts'
import type { RequestCodec } from '../codec.ts'

interface Txn {
  transactionalId: string
  producerId: number
  producerEpoch: number
}
const txn = (to: ByteWriter, r: Txn): ByteWriter =>
  to.string(r.transactionalId).int64(r.producerId).int16(r.producerEpoch)

export const initProducerId: RequestCodec<'InitProducerId'> = {
  key: 22,
  version: 1,
  encode(to, { transactionalId, timeoutMs }) {
    to.string(transactionalId).int32(timeoutMs)
  },
  decode(from) {
    from.int32() // throttle
    return { error: from.int16(), producerId: from.int64(), producerEpoch: from.int16() }
  }
}

export const addPartitionsToTxn: RequestCodec<'AddPartitionsToTxn'> = {
  key: 24,
  version: 1,
  encode(to, r) {
    txn(to, r).array(r.topics, (t) => to.string(t.topic).array(t.partitions, (p) => to.int32(p)))
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

export const addOffsetsToTxn: RequestCodec<'AddOffsetsToTxn'> = {
  key: 25,
  version: 1,
  encode(to, r) {
    txn(to, r).string(r.groupId)
  },
  decode(from) {
    from.int32() // throttle
    return { error: from.int16() }
  }
}

export const endTxn: RequestCodec<'EndTxn'> = {
  key: 26,
  version: 1,
  encode(to, r) {
    txn(to, r).bool(r.commit)
  },
  decode(from) {
    from.int32() // throttle
    return { error: from.int16() }
  }
}

/** v3 is the first that carries the member, so that a revoked task cannot commit. */
export const txnOffsetCommit: RequestCodec<'TxnOffsetCommit'> = {
  key: 28,
  version: 3,
  flexible: true,
  encode(to, r) {
    to.compactString(r.transactionalId).compactString(r.groupId).int64(r.producerId).int16(r.producerEpoch)
    to.int32(r.generation).compactString(r.memberId).compactString(r.instanceId)
    to.compactArray(r.topics, (t) => {
      to.compactString(t.topic)
        .compactArray(t.partitions, (p) => {
          to.int32(p.partition).int64(p.offset).int32(-1).compactString(p.metadata).tags()
        })
        .tags()
    })
    to.tags()
  },
  decode(from) {
    from.int32() // throttle
    const topics = from.compactArray(() => {
      const topic = from.compactString()
      const partitions = from.compactArray(() => {
        const p = { partition: from.int32(), error: from.int16() }
        from.tags()
        return p
      })
      from.tags()
      return { topic, partitions }
    })
    from.tags()
    return { topics }
  }
}
