/** The classic group protocol: JoinGroup v5, SyncGroup v3, Heartbeat v3, LeaveGroup v3. */
import type { RequestCodec } from '../codec.ts'

export const joinGroup: RequestCodec<'JoinGroup'> = {
  key: 11,
  version: 5,
  encode(to, r) {
    to.string(r.groupId).int32(r.sessionTimeoutMs).int32(r.rebalanceTimeoutMs)
    to.string(r.memberId).string(r.instanceId).string(r.protocolType)
    to.array(r.protocols, (p) => to.string(p.name).bytes(p.metadata))
  },
  decode(from) {
    from.int32() // throttle
    return {
      error: from.int16(),
      generation: from.int32(),
      protocolName: from.string(),
      leader: from.string(),
      memberId: from.string(),
      members: from.array(() => ({
        memberId: from.string(),
        instanceId: from.nullableString(),
        metadata: from.bytes()
      }))
    }
  }
}

export const syncGroup: RequestCodec<'SyncGroup'> = {
  key: 14,
  version: 3,
  encode(to, r) {
    to.string(r.groupId).int32(r.generation).string(r.memberId).string(r.instanceId)
    to.array(r.assignments, (a) => to.string(a.memberId).bytes(a.assignment))
  },
  decode(from) {
    from.int32() // throttle
    return { error: from.int16(), assignment: from.bytes() }
  }
}

export const heartbeat: RequestCodec<'Heartbeat'> = {
  key: 12,
  version: 3,
  encode(to, r) {
    to.string(r.groupId).int32(r.generation).string(r.memberId).string(r.instanceId)
  },
  decode(from) {
    from.int32() // throttle
    return { error: from.int16() }
  }
}

export const leaveGroup: RequestCodec<'LeaveGroup'> = {
  key: 13,
  version: 3,
  encode(to, r) {
    to.string(r.groupId).array(r.members, (m) => to.string(m.memberId).string(m.instanceId))
  },
  decode(from) {
    from.int32() // throttle
    const error = from.int16()
    const members = from.array(() => ({
      memberId: from.string(),
      instanceId: from.nullableString(),
      error: from.int16()
    }))
    return { error, members }
  }
}
