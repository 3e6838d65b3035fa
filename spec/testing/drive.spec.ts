import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import { TopologyError } from '../../lib/errors.ts'
import { json, nullable, string } from '../../lib/serde/index.ts'
import { drive } from '../../lib/testing/drive.ts'

describe('The driver with several partitions', () => {
  const words = topic('words', { key: nullable(string()), value: string() })
  const counts = topic('counts', { key: string(), value: json<number>() })

  it('keeps a task a partition, and brings equal keys together behind a repartition topic', async () => {
    const t = topology()
    t.stream(words)
      .groupBy(({ value }) => value, { key: string() })
      .count({ value: json<number>() })
      .toStream()
      .to(counts)
    const d = await drive(t, { cache: false, partitions: { words: 3 } })
    for (const partition of [0, 1, 2]) await d.send(words, null, 'a', { partition })
    expect(d.output(counts).map(({ value }) => value)).to.deep.equal([1, 2, 3])
    await d.close()
  })

  it('counts apart what lies in different partitions', async () => {
    const t = topology()
    t.stream(words).groupByKey().count({ value: json<number>() }).toStream().to(counts)
    const d = await drive(t, { cache: false, partitions: { words: 2 } })
    for (const partition of [0, 1, 0]) await d.send(words, 'k', 'a', { partition })
    expect(d.output(counts).map(({ value }) => value)).to.deep.equal([1, 1, 2])
    await d.close()
  })

  it('refuses a partition that the topic does not have', async () => {
    const t = topology()
    t.stream(words).to('copy')
    const d = await drive(t)
    const error = await d.send(words, 'k', 'a', { partition: 1 }).catch((e: unknown) => e)
    expect(error).to.be.instanceOf(TopologyError).with.property('message').that.includes('there is no partition 1')
    await d.close()
  })
})
