import { expect } from 'chai'
import { changelogSpec, changelogTopic, repartitionConfig } from '../../lib/changelog/topics.ts'

describe('internal topics', () => {
  it('names changelogs as Kafka Streams does', () => {
    expect(changelogTopic('shop', 'totals')).to.equal('shop-totals-changelog')
  })

  it('never lets a broker delete by event time, however old the records are', () => {
    const { config, partitions, replication } = changelogSpec('shop', { name: 'totals' }, 4)
    expect([partitions, replication]).to.eql([4, -1])
    expect(config['cleanup.policy']).to.equal('compact')
    expect(repartitionConfig()['retention.ms']).to.equal('-1')
    for (const settings of [config, repartitionConfig()]) {
      expect(settings['message.timestamp.type']).to.equal('CreateTime')
      expect(settings['message.timestamp.before.max.ms']).to.equal('9223372036854775807')
      expect(settings['message.timestamp.after.max.ms']).to.equal('9223372036854775807')
      expect(settings['segment.ms'], 'no new file for each week of event time').to.equal('9223372036854775807')
      expect(settings['segment.bytes']).to.equal('52428800')
    }
  })

  it('takes the overrides of the store', () => {
    const { config } = changelogSpec('shop', { name: 't', topicConfig: { 'segment.bytes': '1000000' } }, 1)
    expect(config['segment.bytes']).to.equal('1000000')
    expect(config['cleanup.policy']).to.equal('compact')
  })
})
