/** The partitioner against a table made by kafka-clients 4.3.1 (Utils.murmur2, toPositive % 12). */
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import fc from 'fast-check'
import { murmur2, partitionFor, stickyPartitioner } from '../../lib/kafka/partitioner.ts'
import { seededRandom } from '../../lib/time.ts'

const vectors = JSON.parse(readFileSync(new URL('murmur2.vectors.json', import.meta.url), 'utf8')) as [
  hex: string,
  hash: number,
  partitionOf12: number
][]

describe('partitioner', () => {
  it('hashes every key of the Java table as Java does', () => {
    expect(vectors.length).to.be.greaterThan(50)
    for (const [hex, hash, partition] of vectors) {
      const key = Buffer.from(hex, 'hex')
      expect(murmur2(key), hex).to.equal(hash)
      expect(partitionFor(key, 0, key.length, 12), hex).to.equal(partition)
    }
  })

  it('hashes a slice as it hashes a copy of it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(9), fc.nat(9), (key, before, after) => {
        const padded = Buffer.concat([Buffer.alloc(before, 7), key, Buffer.alloc(after, 9)])
        expect(murmur2(padded, before, before + key.length)).to.equal(murmur2(key))
      })
    )
  })

  it('gives a partition within the count, whatever the sign of the hash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 1000 }), (key, count) => {
        expect(partitionFor(key, 0, key.length, count)).to.be.within(0, count - 1)
      })
    )
  })

  it('keeps records without a key on one partition until a batch is full, then moves', () => {
    const next = stickyPartitioner(seededRandom(1), 1_000)
    const first = Array.from({ length: 10 }, () => next(4, 100))
    expect(new Set(first).size).to.equal(1)
    expect(next(4, 100)).not.to.equal(first[0])
  })

  it('reaches every partition with records without a key, and survives a shrinking count', () => {
    const next = stickyPartitioner(seededRandom(2), 1)
    expect(new Set(Array.from({ length: 500 }, () => next(5, 1)))).to.have.lengthOf(5)
    for (let i = 0; i < 100; i++) expect(next(2, 1)).to.be.within(0, 1)
    for (let i = 0; i < 10; i++) expect(next(1, 1)).to.equal(0)
  })
})
