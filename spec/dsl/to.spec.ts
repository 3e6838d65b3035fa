/** `to`: which partition a record goes to. */
import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import { long, nullable, string } from '../../lib/serde/index.ts'
import { drive } from '../../lib/testing/drive.ts'

const clicks = topic('clicks', { key: nullable(string()), value: long() })
const between = topic('between', { key: nullable(string()), value: long() })

describe('to', () => {
  it('asks its partitioner with the record and the count, for null keys too', async () => {
    const asked: unknown[] = []
    const seen: unknown[] = []
    const t = topology()
    t.stream(clicks).to(between, {
      partitioner: ({ key, value }, partitions) => {
        asked.push([key, value, partitions])
        return value % partitions
      }
    })
    t.stream(between).process(({ value }, { partition }) => void seen.push([value, partition]))
    const d = await drive(t, { partitions: { between: 3 } })
    for (const [i, key] of ['a', 'a', null, 'a'].entries()) await d.send(clicks, key, i)
    expect(seen).to.deep.equal([
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 0]
    ])
    expect(asked.slice(0, 3)).to.deep.equal([
      ['a', 0, 3],
      ['a', 1, 3],
      [null, 2, 3]
    ])
  })
})
