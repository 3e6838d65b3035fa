/**
 * The task machine over fake steps that the spec settles by hand. Claims: the diagram is the machine; every path of events keeps the
 * invariants (one step at a time, closed exactly once, nothing after closing began, RELEASE always ends); back-off and time limits.
 */
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import fc from 'fast-check'
import type { TaskDecision } from '../../actors/events.ts'
import { taskMachine } from '../../actors/task.ts'
import { descriptors, drawnEdges, machineEdges } from './diagram.ts'
import { failure, taskHarness as harness } from './taskHarness.ts'

const restart = (delayMs: number, wipe = false): TaskDecision => ({ kind: 'restart', delayMs, wipe, attempt: 1 })

describe('the task machine', () => {
  it('is what its diagram says', () => {
    const path = fileURLToPath(new URL('../../actors/task.ts', import.meta.url))
    expect(machineEdges(taskMachine)).to.deep.equal(drawnEdges(path))
  })

  it('has no wildcard transition', () => {
    expect(descriptors(taskMachine).filter((d) => d.includes('*'))).to.deep.equal([])
  })

  it('opens, restores, runs; a release drains, closes clean and ends as released', async () => {
    const h = harness()
    await h.live()
    expect(h.actor.getSnapshot().value).to.deep.equal({ live: 'running' })
    h.send('RELEASE')
    expect(h.calls).to.deep.equal(['resume', 'drain'])
    await h.settle('done') // the pump has drained
    await h.settle('done') // closed
    expect(h.log).to.deep.equal(['open', 'restore', 'pump', 'close(clean)'])
    expect(h.actor.getSnapshot().output).to.deep.equal({ kind: 'released' })
    expect(h.reports).to.deep.equal(['opening', 'restoring', 'running', 'draining', 'closing'])
  })

  it('keeps one pump over pause, resume and drain', async () => {
    const h = harness()
    await h.live()
    h.send('PAUSE', 'RESUME', 'PAUSE', 'RELEASE')
    expect(h.log.filter((step) => step === 'pump')).to.have.length(1)
    expect(h.calls).to.deep.equal(['resume', 'pause', 'resume', 'pause', 'drain'])
    expect(h.pending.at(-1)!.aborted).to.equal(false)
  })

  it('starts suspended when the runtime is paused, and remembers a pause that comes while it opens', async () => {
    const early = harness(true)
    await early.live()
    expect(early.actor.getSnapshot().value).to.deep.equal({ live: 'suspended' })
    const later = harness()
    later.send('START', 'PAUSE')
    await later.settle('done')
    await later.settle('done')
    expect(later.actor.getSnapshot().value).to.deep.equal({ live: 'suspended' })
  })

  it('closes without a commit when it was lost, and aborts what ran', async () => {
    const h = harness()
    await h.live()
    h.send('LOST')
    expect(h.pending[2]!.aborted).to.equal(true)
    await h.settle('done')
    expect(h.log.at(-1)).to.equal('close(dirty)')
    expect(h.actor.getSnapshot().output).to.deep.equal({ kind: 'released' })
  })

  it('restarts within its own machine: close, wait for the back-off, open again', async () => {
    const h = harness()
    await h.live()
    await h.settle(restart(5_000, true))
    await h.settle('done')
    expect(h.log.at(-1)).to.equal('close(dirty, wipe)')
    h.clock.increment(4_999)
    expect(h.actor.getSnapshot().value).to.deep.equal({ restarting: 'waiting' })
    h.clock.increment(1)
    expect(h.actor.getSnapshot().value).to.equal('opening')
    expect(h.actor.getSnapshot().context.attempt).to.equal(1)
    expect(h.reports).to.deep.equal(['opening', 'restoring', 'running', 'restarting!', 'opening'])
  })

  it('lets a release beat the back-off', async () => {
    const h = harness()
    h.send('START')
    await h.settle(restart(60_000))
    await h.settle('done')
    h.send('RELEASE')
    expect(h.actor.getSnapshot().status).to.equal('done')
  })

  const decisions: [decision: TaskDecision, kind: string][] = [
    [{ kind: 'stop' }, 'stopped'],
    [{ kind: 'release', reopenMs: 1_000 }, 'released'],
    [{ kind: 'escalate', exhausted: false }, 'escalated']
  ]
  for (const [decision, kind] of decisions) {
    it(`closes dirty and ends as ${kind} when the decision is ${decision.kind}`, async () => {
      const h = harness()
      await h.live()
      await h.settle(decision)
      await h.settle('done')
      expect(h.log.at(-1)).to.equal('close(dirty)')
      expect(h.actor.getSnapshot().output).to.deep.include({ kind, error: failure(decision).error })
    })
  }

  it('says after how long a fenced task may come back', async () => {
    const h = harness()
    await h.live()
    await h.settle({ kind: 'release', reopenMs: 1_234 })
    await h.settle('done')
    expect(h.actor.getSnapshot().output).to.include({ reopenMs: 1_234 })
  })

  it('forgets a failure once it is live again', async () => {
    const h = harness()
    await h.live()
    await h.settle(restart(0))
    await h.settle('done')
    h.clock.increment(1)
    await h.settle('done')
    await h.settle('done')
    h.send('RELEASE')
    await h.settle('done')
    await h.settle('done')
    expect(h.actor.getSnapshot().output).to.deep.equal({ kind: 'released' })
  })

  it('closes dirty when draining takes too long, and gives up a close that never ends as leaked', async () => {
    const h = harness()
    await h.live()
    h.send('RELEASE')
    h.clock.increment(20_000)
    expect(h.log.at(-1)).to.equal('close(dirty)')
    h.clock.increment(10_000)
    expect(h.actor.getSnapshot().output).to.deep.equal({ kind: 'leaked' })
  })

  it('keeps its context plain', async () => {
    const h = harness()
    await h.live()
    await h.settle(restart(5))
    const { context } = h.actor.getSnapshot()
    expect(structuredClone(context)).to.deep.equal(context)
  })

  it('keeps the invariants on every path of commands, ends of steps, failures and time', async () => {
    const commands = ['START', 'PAUSE', 'RESUME', 'RESTART', 'RELEASE', 'LOST', 'KILL'] as const
    const moves = fc.array(
      fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom(...commands) },
        { weight: 4, arbitrary: fc.constant('done' as const) },
        {
          weight: 1,
          arbitrary: fc.constantFrom(restart(100), { kind: 'stop' as const }, { kind: 'release' as const, reopenMs: 1 })
        },
        { weight: 1, arbitrary: fc.constantFrom(50, 100, 20_000) }
      ),
      { maxLength: 25 }
    )
    await fc.assert(
      fc.asyncProperty(moves, async (path) => {
        const h = harness()
        for (const move of path) {
          const open = h.pending.filter((p) => !p.aborted).at(-1)
          if (typeof move === 'number') h.clock.increment(move)
          else if (typeof move === 'string' && move !== 'done') h.send(move)
          else if (open) await h.settle(open.step === 'close' ? 'done' : move)
          expect(h.actor.getSnapshot().status).to.not.equal('error')
        }
        // 3: a release always ends, whatever came before: first drained and closed, else by the two time limits.
        h.send('START', 'RELEASE')
        h.clock.increment(20_000)
        h.clock.increment(10_000)
        expect(h.actor.getSnapshot().status).to.equal('done')
        // 2: no step is begun after the close that ends it; every open is followed by a close before the next open.
        const shape = h.log.map((s) => (s.startsWith('close') ? 'close' : s)).join(' ')
        expect(shape).to.match(/^((open( restore( pump)?)?)( close)+( |$))*$/)
        // 8: no child is left.
        expect(h.actor.getSnapshot().children).to.deep.equal({})
      }),
      { numRuns: 300 }
    )
  })
})
