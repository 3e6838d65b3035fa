import { expect } from 'chai'
import { Intake } from '../../lib/task/intake.ts'
import { SourceQueue } from '../../lib/task/queue.ts'
import { batch, sourceNode } from './fakes.ts'

const queueOf = (topic: string, end = 0): SourceQueue =>
  new SourceQueue({
    tp: { topic, partition: 0 },
    source: sourceNode({ topics: [topic] }),
    start: 0,
    committed: -1,
    end,
    partitionTime: -1,
    highBytes: 1e6,
    reader: { pause() {}, resume() {} },
    onNegative() {}
  })

/** Takes everything in the intake's order, as the pump does. */
function drain(intake: Intake, now = 0): string[] {
  const taken: string[] = []
  for (;;) {
    const queue = intake.pick(now)
    if (queue === undefined) return taken
    for (;;) {
      const time = queue.headTime()
      if (time < 0 || time > intake.limit || (time === intake.limit && !intake.limitIncluded)) break
      taken.push(`${queue.tp.topic}${time}`)
      queue.advance()
    }
  }
}

describe('The intake', () => {
  it('takes the lowest event time over all heads, and at equal times the batch that arrived first', () => {
    const [a, b, c] = [queueOf('a'), queueOf('b'), queueOf('c')]
    b.push(batch([{ at: 2 }, { at: 5 }, { at: 5 }]), 1)
    a.push(batch([{ at: 1 }, { at: 5 }, { at: 3 }]), 2)
    c.push(batch([{ at: 5 }]), 3)
    expect(drain(new Intake([a, b, c], 0))).to.deep.equal(['a1', 'b2', 'b5', 'b5', 'a5', 'a3', 'c5'])
  })

  it('waits for an empty partition while the broker is known to hold more of it', () => {
    const [a, b] = [queueOf('a'), queueOf('b', 4)]
    const intake = new Intake([a, b], 0)
    a.push(batch([{ at: 10 }]), 1)
    expect(intake.pick(0)).to.equal(undefined)
    expect(intake.retryAt, 'only an arrival helps').to.equal(undefined)
    b.push(batch([{ at: 3 }], { next: 4 }), 2)
    expect(drain(intake)).to.deep.equal(['b3', 'a10'])
  })

  it('waits on top of that for the idle time, on the clock', () => {
    const [a, b] = [queueOf('a'), queueOf('b')]
    const intake = new Intake([a, b], 100)
    a.push(batch([{ at: 10 }, { at: 11 }]), 1)
    expect(intake.pick(1_000)).to.equal(undefined)
    expect(intake.retryAt).to.equal(1_100)
    expect(intake.pick(1_099)).to.equal(undefined)
    expect(intake.pick(1_100)).to.equal(a)
    b.push(batch([{ at: 10 }]), 2)
    expect(drain(intake, 1_101), 'b had its say, and is waited for anew').to.deep.equal(['a10', 'b10'])
    expect(intake.retryAt).to.equal(1_201)
  })

  it('never waits with an idle time of -1', () => {
    const [a, b] = [queueOf('a'), queueOf('b', 9)]
    a.push(batch([{ at: 10 }]), 1)
    expect(drain(new Intake([a, b], -1))).to.deep.equal(['a10'])
  })
})
