/** Subscription and assignment bytes: ours round trip, those of other clients and versions are understood. */
import { expect } from 'chai'
import fc from 'fast-check'
import kafkajs from 'kafkajs'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription
} from '../../../lib/kafka/protocol/subscription.ts'
import type { Tp } from '../../../lib/record.ts'

const { AssignerProtocol } = kafkajs
const tps: fc.Arbitrary<Tp[]> = fc
  .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'ü'), fc.nat(99)), { maxLength: 12, selector: (t) => t.join() })
  .map((all) => all.sort((x, y) => (x[0] < y[0] ? -1 : x[0] > y[0] ? 1 : 0)))
  .map((all) => all.map(([topic, partition]) => ({ topic, partition })))
const data = fc.uint8Array({ maxLength: 60 }).map((b) => Buffer.from(b))

describe('protocol/subscription', () => {
  it('reads back what it writes', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 9 })), data, tps, fc.integer({ min: -1, max: 99 }), (...all) => {
        const [topics, userData, owned, generation] = all
        const subscription = { topics, userData, owned, generation }
        expect(decodeSubscription(encodeSubscription(subscription))).to.deep.equal(subscription)
        const assignment = { partitions: owned, userData }
        expect(decodeAssignment(encodeAssignment(assignment))).to.deep.equal(assignment)
      })
    )
  })

  it('reads members of another client, which lack what version 0 has not', () => {
    const bytes = AssignerProtocol.MemberMetadata.encode({ version: 0, topics: ['t'], userData: Buffer.from('u') })
    expect(decodeSubscription(bytes)).to.deep.equal({
      topics: ['t'],
      userData: Buffer.from('u'),
      owned: [],
      generation: -1
    })
  })

  it('reads a member that names a version and leaves its fields out', () => {
    const bytes = AssignerProtocol.MemberMetadata.encode({ version: 1, topics: ['t'], userData: Buffer.alloc(0) })
    expect(decodeSubscription(bytes)).to.deep.include({ topics: ['t'], owned: [] })
  })

  it('reads a newer version: the rack that follows is passed over', () => {
    const v2 = encodeSubscription({ topics: ['t'], userData: Buffer.alloc(0), owned: [], generation: 5 })
    const v3 = Buffer.concat([v2, Buffer.from([0, 1, 114])])
    v3.writeInt16BE(3, 0)
    expect(decodeSubscription(v3)).to.deep.include({ topics: ['t'], generation: 5 })
  })

  it('is read by another client', () => {
    const bytes = encodeSubscription({ topics: ['t'], userData: Buffer.from('u'), owned: [], generation: 1 })
    expect(AssignerProtocol.MemberMetadata.decode(bytes)).to.deep.include({ topics: ['t'] })
    const assigned = encodeAssignment({ partitions: [{ topic: 't', partition: 3 }], userData: Buffer.alloc(0) })
    expect(AssignerProtocol.MemberAssignment.decode(assigned)!.assignment).to.deep.equal({ t: [3] })
  })

  it('takes no bytes for no assignment, and refuses garbage', () => {
    expect(decodeAssignment(Buffer.alloc(0)).partitions).to.deep.equal([])
    expect(() => decodeAssignment(Buffer.from([0, 0, 0x7f, 0xff, 0xff, 0xff]))).to.throw()
  })
})
