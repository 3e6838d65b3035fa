import { expect } from 'chai'
import { SourceQueue } from '../../lib/task/queue.ts'
import { batch, sourceNode } from './fakes.ts'

const tp = { topic: 'in', partition: 0 }

function queueOf(over: Partial<ConstructorParameters<typeof SourceQueue>[0]> = {}) {
  const calls: string[] = []
  const negative: number[] = []
  const queue = new SourceQueue({
    tp,
    source: sourceNode(),
    start: 0,
    committed: -1,
    end: 0,
    partitionTime: -1,
    highBytes: 100,
    reader: { pause: () => calls.push('pause'), resume: () => calls.push('resume') },
    onNegative: (offset) => negative.push(offset),
    ...over
  })
  return { queue, calls, negative }
}

describe('The queue of a source partition', () => {
  it('pauses its partition above the high mark and resumes it at half of that', () => {
    const { queue, calls } = queueOf()
    queue.push(batch([{ at: 1 }], { bytes: 60 }), 1)
    expect(calls).to.deep.equal([])
    queue.push(batch([{ at: 2 }], { bytes: 60, first: 1 }), 2)
    expect(calls).to.deep.equal(['pause'])
    queue.push(batch([{ at: 3 }], { bytes: 60, first: 2 }), 3)
    expect(calls, 'paused once').to.deep.equal(['pause'])
    queue.advance()
    queue.advance()
    expect(queue.bytes).to.equal(60)
    expect(calls).to.deep.equal(['pause'])
    queue.advance()
    expect(calls).to.deep.equal(['pause', 'resume'])
    expect(queue.bytes).to.equal(0)
  })

  it('commits the offset of its head, and the position of the reader when it is empty', () => {
    const { queue } = queueOf({ start: 5 })
    expect(queue.position).to.equal(5)
    queue.push(batch([{ at: 1 }, { at: 2 }], { first: 7, next: 12 }), 1)
    expect(queue.position).to.equal(7)
    queue.advance()
    expect(queue.position).to.equal(8)
    queue.advance()
    expect(queue.position, 'past transaction markers').to.equal(12)
    queue.push(batch([], { next: 15 }), 2)
    expect(queue.position).to.equal(15)
  })

  it('gives rows across batches in order of arrival', () => {
    const { queue } = queueOf()
    queue.push(batch([{ at: 1, value: 'a' }], { first: 0 }), 1)
    queue.push(
      batch(
        [
          { at: 2, value: 'b' },
          { at: 3, value: 'c' }
        ],
        { first: 1 }
      ),
      2
    )
    queue.push(batch([{ at: 4, value: 'd' }], { first: 3 }), 3)
    const values: unknown[] = []
    while (queue.headTime() >= 0) {
      values.push(queue.head().value)
      queue.advance()
    }
    expect(values).to.deep.equal(['a', 'b', 'c', 'd'])
  })

  it('passes over records with a negative time and reports each', () => {
    const { queue, negative } = queueOf()
    queue.push(batch([{ at: -1 }, { at: -5 }, { at: 9 }, { at: -1 }]), 1)
    expect(queue.headTime()).to.equal(9)
    queue.advance()
    expect(queue.headTime()).to.equal(-1)
    expect(negative).to.deep.equal([0, 1, 3])
    expect(queue.position).to.equal(4)
  })

  it('asks the extractor once per head, with the partition time, and gives the record its time', () => {
    const asked: [unknown, number][] = []
    const { queue } = queueOf({
      partitionTime: 40,
      source: sourceNode({
        timestamp: (record, partitionTime) => {
          asked.push([record.value, partitionTime])
          return Number(record.value)
        }
      })
    })
    queue.push(
      batch([
        { at: 1, value: '77' },
        { at: 1, value: 'none' }
      ]),
      1
    )
    expect(queue.headTime()).to.equal(77)
    expect(queue.headTime()).to.equal(77)
    expect(queue.head().timestamp).to.equal(77)
    expect(asked).to.deep.equal([['77', 40]])
    queue.advance()
    expect(queue.headTime(), 'NaN is no time').to.equal(-1)
  })

  it('says where an extractor failed', () => {
    const { queue } = queueOf({
      source: sourceNode({
        timestamp: () => {
          throw new Error('no date in it')
        }
      })
    })
    queue.push(batch([{ at: 1 }], { first: 17 }), 1)
    expect(() => queue.headTime())
      .to.throw(/no date in it.*topic in, partition 0, offset 17/)
      .with.property('code', 'ERR_PROCESSING')
  })

  it('is caught up only when the reader has passed the end that the broker had', () => {
    const { queue } = queueOf({ start: 2, end: 6 })
    expect(queue.caughtUp).to.equal(false)
    queue.push(batch([], { next: 5, lso: 6 }), 1)
    expect(queue.caughtUp).to.equal(false)
    queue.push(batch([], { next: 6, lso: 6 }), 2)
    expect(queue.caughtUp).to.equal(true)
    queue.push(batch([{ at: 1 }], { first: 6, next: 7, lso: 30 }), 3)
    expect(queue.caughtUp).to.equal(false)
  })
})
