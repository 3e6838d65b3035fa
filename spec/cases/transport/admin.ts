/** Cases: offsets by position and time, topics and their settings, groups seen from outside. */
import { expect } from 'chai'
import type { TransportError } from '../../../lib/errors.ts'
import { tpKey } from '../../../lib/record.ts'
import { until } from '../../../lib/testing/until.ts'
import { Follower } from './members.ts'
import { fails, type Side, tps, unique } from './support.ts'

export function adminCases(side: Side): void {
  it('finds start, end and times', async () => {
    const topic = await side.topic(2, { 'retention.ms': '-1' })
    await side.write(topic, [
      { value: 'a', timestamp: 100 },
      { value: 'b', timestamp: 300 },
      { value: 'c', timestamp: 200 }
    ])
    expect(await side.end(topic, 'start')).to.equal(0)
    expect(await side.end(topic, 'lso')).to.equal(3)
    expect(await side.end(topic, 'hw')).to.equal(3)
    expect(await side.end(topic, { timestamp: 0 })).to.equal(0)
    expect(await side.end(topic, { timestamp: 150 })).to.equal(1)
    expect(await side.end(topic, { timestamp: 300 })).to.equal(1)
    expect(await side.end(topic, { timestamp: 301 })).to.equal(-1)
    for (const timestamp of [-1, -2, Number.NaN]) {
      const error = await side.end(topic, { timestamp }).catch((e: unknown) => e)
      expect(error, `the time ${timestamp}`).to.be.instanceOf(RangeError)
    }
    const both = await side.transport.offsets(tps(topic, 0, 1), 'hw')
    expect([...both]).to.have.deep.members([
      [tpKey(topic, 0), 3],
      [tpKey(topic, 1), 0]
    ])
  })

  it('leaves partitions without a commit out, keeps metadata, and refuses too much of it', async () => {
    const [topic, groupId] = [await side.topic(3), unique('group')]
    await side.transport.admin.resetOffsets(groupId, [
      { topic, partition: 0, offset: 7, metadata: 'état' },
      { topic, partition: 2, offset: 0 }
    ])
    const found = await side.transport.committed(groupId, tps(topic, 0, 1, 2))
    expect([...found.keys()].sort()).to.deep.equal([tpKey(topic, 0), tpKey(topic, 2)])
    expect(found.get(tpKey(topic, 0))).to.deep.include({ offset: 7, metadata: 'état' })
    expect(found.get(tpKey(topic, 2))!.offset).to.equal(0)
    const tooMuch = { topic, partition: 0, offset: 8, metadata: 'x'.repeat(5_000) }
    await fails(side.transport.admin.resetOffsets(groupId, [tooMuch]), 'too-large', 12)
    expect(await side.committed(unique('nobody'), topic)).to.equal(undefined)
  })

  it('creates what is missing, leaves what exists, and counts partitions', async () => {
    const { admin } = side.transport
    const [one, two] = [unique('topic'), unique('topic')]
    const spec = (topic: string, partitions: number) => ({ topic, partitions, replication: -1, config: {} })
    await admin.create([spec(one, 2)])
    await admin.create([spec(one, 5), spec(two, 3)])
    expect([...(await admin.partitions([one, two, unique('none')]))]).to.have.deep.members([
      [one, 2],
      [two, 3]
    ])
    expect(await admin.topics()).to.include.members([one, two])
    await admin.addPartitions(one, 4)
    expect((await admin.partitions([one])).get(one)).to.equal(4)
    await fails(admin.addPartitions(one, 3), 'fatal', 37)
    await side.write(one, ['in a new one'], 3)
    expect(await side.values(one, { partition: 3 })).to.deep.equal(['in a new one'])
    await admin.deleteTopics([one, two])
    expect((await admin.partitions([one, two])).size).to.equal(0)
  })

  it('refuses settings that do not exist', async () => {
    const spec = { topic: unique('topic'), partitions: 1, replication: -1, config: { 'no.such.setting': '1' } }
    await fails(side.transport.admin.create([spec]), 'fatal', 40)
  })

  it('changes one setting and leaves the others; null goes back to the default', async () => {
    const { admin } = side.transport
    const topic = await side.topic(1, { 'cleanup.policy': 'compact,delete', 'retention.ms': '1234567' })
    await admin.alter(topic, { 'delete.retention.ms': '4321' })
    expect(await admin.describe(topic)).to.deep.include({
      'cleanup.policy': 'compact,delete',
      'retention.ms': '1234567',
      'delete.retention.ms': '4321'
    })
    await admin.alter(topic, { 'retention.ms': null })
    const settings = await admin.describe(topic)
    const untouched = await admin.describe(await side.topic(1))
    expect(settings['retention.ms']).to.equal(untouched['retention.ms']).and.not.equal('1234567')
    expect(settings['delete.retention.ms']).to.equal('4321')
  })

  it('deletes records below an offset: the start moves, and who reads below it is told so', async () => {
    const topic = await side.topic()
    await side.write(topic, ['a', 'b', 'c'])
    await side.transport.admin.deleteRecords([{ topic, partition: 0, offset: 2 }])
    expect(await side.end(topic, 'start')).to.equal(2)
    expect(await side.values(topic, { from: 2 })).to.deep.equal(['c'])
    const failure = await side.values(topic, { from: 1 }).catch((error: TransportError) => error)
    expect(failure).to.have.property('fault', 'out-of-range')
  })

  it('shows the members of a group, and resets or deletes only a group without any', async () => {
    const { admin } = side.transport
    const [topic, groupId] = [await side.topic(1), unique('group')]
    const a = await Follower.join(side, 'a', groupId, [topic])
    await until(() => a.owned.length === 1, { what: () => a.events.join('; ') })
    const members = await admin.members(groupId)
    expect(members.map((m) => [m.memberId, m.topics, m.userData.toString()])).to.deep.equal([
      [a.meta!.memberId, [topic], 'a']
    ])
    await fails(admin.resetOffsets(groupId, [{ topic, partition: 0, offset: 3 }]), 'stale-member', 25)
    await fails(admin.deleteGroup(groupId), 'fatal', 68)
    await a.group.leave()
    await admin.resetOffsets(groupId, [{ topic, partition: 0, offset: 3 }])
    expect(await side.committed(groupId, topic)).to.equal(3)
    await admin.deleteGroup(groupId)
    expect(await side.committed(groupId, topic)).to.equal(undefined)
    expect(await admin.members(groupId)).to.deep.equal([])
  })
}
