/** Cooperative hand-over (KIP-429) as pure functions: whose claim counts, and what must wait until its owner has let go. */
import { type Tp, tpKey } from '../record.ts'
import type { Assignment, Member } from './port.ts'

/**
 * The members with only those claims that can be believed: of several members that say they own a partition the one of the highest
 * generation does (it got the partition after the other one lost it); among equals nobody can be believed.
 */
export function credible(members: readonly Member[]): Member[] {
  const claims = claimsOf(members)
  return members.map((member) => ({
    ...member,
    owned: member.owned.filter((tp) => {
      const [best] = claims.get(tpKey(tp.topic, tp.partition))!
      return best!.length === 1 && best![0] === member
    })
  }))
}

/**
 * Takes from the assignments what another live member may still be working on. That member sees the partition missing from its
 * own assignment, revokes it and joins again; then it is free.
 * Equal claims both count here: whichever of the two is right, it lets go first.
 */
export function withhold(members: readonly Member[], assignments: readonly Assignment[]): Assignment[] {
  const claims = claimsOf(members)
  return assignments.map((assignment) => ({
    ...assignment,
    partitions: assignment.partitions.filter(({ topic, partition }) => {
      const [best] = claims.get(tpKey(topic, partition)) ?? [[]]
      return best!.every((owner) => owner.memberId === assignment.memberId)
    })
  }))
}

/** Partitions of `a` that are not in `b`. */
export function minus(a: readonly Tp[], b: readonly Tp[]): Tp[] {
  const keys = new Set(b.map(({ topic, partition }) => tpKey(topic, partition)))
  return a.filter(({ topic, partition }) => !keys.has(tpKey(topic, partition)))
}

/** By partition: the claimants of the highest generation. */
function claimsOf(members: readonly Member[]): Map<string, [claimants: Member[], generation: number]> {
  const claims = new Map<string, [Member[], number]>()
  for (const member of members) {
    for (const { topic, partition } of member.owned) {
      const key = tpKey(topic, partition)
      const known = claims.get(key)
      if (!known || member.generation > known[1]) claims.set(key, [[member], member.generation])
      else if (member.generation === known[1] && !known[0].includes(member)) known[0].push(member)
    }
  }
  return claims
}
