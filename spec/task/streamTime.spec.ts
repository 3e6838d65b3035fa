import { expect } from 'chai'
import { decodeTimes, encodeTimes, StreamTime } from '../../lib/task/streamTime.ts'

describe('Stream time', () => {
  it('never falls', () => {
    const time = new StreamTime()
    expect(time.now).to.equal(-1)
    expect(time.observe(5)).to.equal(true)
    expect(time.observe(3)).to.equal(false)
    expect(time.now).to.equal(5)
  })
})

describe('Times in offset metadata', () => {
  it('survive the way there and back', () => {
    const saved = new Map([['window/close', 12.5]])
    expect(decodeTimes(encodeTimes(1_700_000_000_000, saved))).to.deep.equal({
      time: 1_700_000_000_000,
      saved: { 'window/close': 12.5 }
    })
    expect(decodeTimes(encodeTimes(-1, new Map()))).to.deep.equal({ time: -1, saved: {} })
  })

  it("say nothing when they are another program's", () => {
    for (const other of [undefined, '', 'AQAAAYvP', '{"t":', '{"t":"x","s":{"a":"b"}}', '{"x":1}']) {
      expect(decodeTimes(other)).to.deep.equal({ time: -1, saved: {} })
    }
  })

  it('stay below what a broker accepts, leaving the saved numbers to the local database', () => {
    const saved = new Map(Array.from({ length: 500 }, (_, i) => [`node-${i}/slot`, i]))
    const metadata = encodeTimes(7, saved)
    expect(Buffer.byteLength(metadata)).to.be.below(4_096)
    expect(decodeTimes(metadata).time).to.equal(7)
  })
})
