/** Cooperative hand-over: a group of members with arbitrary plans never lets two own a partition, and comes to rest. */
import { expect } from 'chai'
import fc from 'fast-check'
import { credible, minus, withhold } from '../../lib/kafka/cooperative.ts'
import type { Assignment, Member } from '../../lib/kafka/port.ts'
import { type Tp, tpKey } from '../../lib/record.ts'

const tp = (partition: number): Tp => ({ topic: 't', partition })
const member = (memberId: string, owned: number[], generation = 1): Member => ({
  memberId,
  topics: ['t'],
  owned: owned.map(tp),
  generation,
  userData: Buffer.alloc(0)
})
const plan = (memberId: string, ...partitions: number[]): Assignment => ({
  memberId,
  partitions: partitions.map(tp),
  userData: Buffer.from(memberId)
})
const numbers = (tps: readonly Tp[]): number[] => tps.map((t) => t.partition)

describe('cooperative', () => {
  it('withholds a partition until its owner has let go of it', () => {
    const members = [member('a', [0, 1]), member('b', [])]
    const first = withhold(members, [plan('a', 0), plan('b', 1)])
    expect(first.map((a) => numbers(a.partitions))).to.deep.equal([[0], []])
    const second = withhold([member('a', [0]), member('b', [])], [plan('a', 0), plan('b', 1)])
    expect(second.map((a) => numbers(a.partitions))).to.deep.equal([[0], [1]])
    expect(first[1]!.userData.toString(), 'user data pass unchanged').to.equal('b')
  })

  it('gives at once what belonged to a member that is gone', () => {
    expect(withhold([member('b', [])], [plan('b', 0, 1)])[0]!.partitions).to.have.lengthOf(2)
  })

  it('believes the higher generation when two claim a partition', () => {
    const members = [member('old', [0], 3), member('new', [0], 4)]
    expect(credible(members).map((m) => numbers(m.owned))).to.deep.equal([[], [0]])
    expect(numbers(withhold(members, [plan('new', 0)])[0]!.partitions)).to.deep.equal([0])
    expect(numbers(withhold(members, [plan('old', 0)])[0]!.partitions)).to.deep.equal([])
  })

  it('believes nobody among equals, and lets both let go first', () => {
    const members = [member('a', [0, 1], 3), member('b', [0], 3)]
    expect(credible(members).map((m) => numbers(m.owned))).to.deep.equal([[1], []])
    expect(numbers(withhold(members, [plan('a', 0)])[0]!.partitions)).to.deep.equal([])
  })

  it('takes a claim made twice by one member for one', () => {
    expect(numbers(credible([member('a', [0, 0])])[0]!.owned)).to.deep.equal([0, 0])
  })

  it('never has two owners, and ends with the plan, whatever plans follow each other', () => {
    const plans = fc.array(fc.array(fc.nat(3), { minLength: 6, maxLength: 6 }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(plans, (rounds) => {
        const owned = new Map<string, Tp[]>(['m0', 'm1', 'm2', 'm3'].map((id) => [id, []]))
        let generation = 0
        const rebalance = (target: number[]): boolean => {
          const members = [...owned].map(([id, tps]) => member(id, numbers(tps), generation))
          const wish = [...owned.keys()].map((id, m) =>
            plan(id, ...target.flatMap((to, partition) => (to === m ? [partition] : [])))
          )
          generation++
          let revoked = false
          for (const { memberId, partitions } of withhold(members, wish)) {
            revoked ||= minus(owned.get(memberId)!, partitions).length > 0
            owned.set(memberId, [...partitions])
            // A partition given here is at no other member, not even at one that has not heard of its loss yet.
            for (const m of members) {
              if (m.memberId === memberId) continue
              expect(partitions.filter((p) => numbers(m.owned).includes(p.partition))).to.deep.equal([])
            }
          }
          const all = [...owned.values()].flat().map((t) => tpKey(t.topic, t.partition))
          expect(new Set(all).size).to.equal(all.length)
          return revoked
        }
        for (const target of rounds) {
          let joins = 0
          while (rebalance(target)) expect(++joins, 'rejoins').to.be.at.most(2)
          expect([...owned.values()].flat()).to.have.lengthOf(6)
        }
      })
    )
  })
})
