import { expect } from 'chai'
import { Frames } from '../../lib/kafka/frames.ts'

const frame = (body: Buffer): Buffer => {
  const size = Buffer.alloc(4)
  size.writeInt32BE(body.length)
  return Buffer.concat([size, body])
}

describe('frames of a connection', () => {
  it('come out whole and in order, however the bytes were cut, though the buffer they came in is used again', () => {
    const bodies = [4, 5, 20_000, 4, 300, 9_000].map((length, i) => Buffer.alloc(length, i + 1))
    const stream = Buffer.concat(bodies.map(frame))
    for (const step of [1, 3, 7, 64, 65_536, stream.length]) {
      const got: Buffer[] = []
      const frames = new Frames((whole) => got.push(whole))
      const shared = Buffer.alloc(step)
      for (let at = 0; at < stream.length; at += step) {
        const length = stream.copy(shared, 0, at, at + step)
        expect(frames.take(shared.subarray(0, length))).to.equal(true)
      }
      expect(
        got.map((b) => b.toString('hex')),
        `in steps of ${step}`
      ).to.deep.equal(bodies.map((b) => b.toString('hex')))
    }
  })

  it('takes no room for what is only announced', () => {
    const before = process.memoryUsage().arrayBuffers
    const frames = new Frames(() => {})
    expect(frames.take(Buffer.from('HTTP/1.1 400 Bad Request'))).to.equal(true)
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(32 << 20)
  })

  it('puts a frame together that is larger than what it takes room for at once', () => {
    const body = Buffer.alloc(40 << 20)
    for (let at = 0; at < body.length; at += 4_096) body.writeUInt32BE(at, at)
    const stream = frame(body)
    let got: Buffer | undefined
    const frames = new Frames((whole) => {
      got = whole
    })
    for (let at = 0; at < stream.length; at += 1_000_003) frames.take(stream.subarray(at, at + 1_000_003))
    expect(got?.equals(body)).to.equal(true)
  })

  it('says when a size cannot be one', () => {
    for (const size of [-1, 0, 3]) {
      const head = Buffer.alloc(8)
      head.writeInt32BE(size)
      expect(new Frames(() => expect.fail('no frame')).take(head), String(size)).to.equal(false)
    }
  })
})
