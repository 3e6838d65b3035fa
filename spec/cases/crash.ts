/**
 * A task is killed at each step of its open and commit orders, and another takes over, on the same directory or on an empty one.
 * Claims: exactly-once loses nothing and doubles nothing, in the output, in the totals and in the store; at-least-once loses nothing, and
 * doubles only what was under way; the store is never ahead of the log, so the same directory restores only the tail; a zombie that wakes
 * behind its successor writes nothing.
 */
import { expect } from 'chai'
import { FencedError } from '../../lib/errors.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import type { Guarantee, TaskStep } from '../../lib/task/port.ts'
import { until } from '../../lib/testing/until.ts'
import { counting, type Kind, START } from './crashKinds.ts'
import { Job, KEYS, type Life } from './crashKit.ts'

const OPEN: readonly TaskStep[] = [
  'open:locked',
  'open:database',
  'open:producer',
  'open:offsets',
  'restore:end',
  'restore:done'
]
export const COMMIT: readonly TaskStep[] = [
  'commit:flushed',
  'commit:produced',
  'commit:offsets',
  'commit:committed',
  'commit:persisted'
]
const FIRST = 40
const SECOND = 35
const THIRD = 25
const ALL = FIRST + SECOND + THIRD
const PER_KEY = ALL / KEYS.length

class Crash extends Error {}

export function crashCases(
  name: string,
  open: () => Promise<{ transport: Transport; close(): Promise<void> }>,
  kind: Kind = counting,
  steps: readonly TaskStep[] = [...OPEN, ...COMMIT]
): void {
  describe(`a task that crashes: ${name}`, function () {
    this.timeout(60_000)
    let side: Awaited<ReturnType<typeof open>>
    let job: Job
    before(async () => {
      side = await open()
    })
    after(() => side?.close())

    const begin = async (guarantee: Guarantee): Promise<void> => {
      job = new Job(side.transport, guarantee, kind)
      await job.open()
    }
    afterEach(() => job?.close())

    for (const guarantee of ['exactly-once', 'at-least-once'] as const) {
      describe(guarantee, () => {
        for (const step of steps) {
          for (const place of ['the same directory', 'an empty directory'] as const) {
            it(`goes on after a crash behind ${step}, on ${place}`, async () => {
              await begin(guarantee)
              const home = job.directory()
              await job.send(FIRST)
              await job.finish(job.start(home))
              const tail = await job.changelogEnd()

              await job.send(SECOND)
              const killed = job.start(home, (at) => {
                if (at === step) throw new Crash(step)
              })
              const error = await killed.done.catch((e: unknown) => e)
              expect(error).to.be.instanceOf(Crash)
              await killed.task.close({ clean: false })

              await job.send(THIRD, true)
              const next = job.start(place === 'the same directory' ? home : job.directory())
              const counts = await job.finish(next)
              await judge(counts, step)
              judgeRestore(next, place === 'the same directory', tail)
              expect(next.partitionTimes[0], 'partition time travels with the offsets').to.be.at.least(
                START + FIRST - 1
              )
            })
          }
        }

        /** No loss at all; exactly-once, and at-least-once once the offsets are committed, no duplicate either. */
        async function judge(counts: Record<string, number>, step: TaskStep): Promise<void> {
          const out = (await job.values('out')).map(([, value]) => value)
          const told = await job.values('totals')
          const totals = new Map(told)
          const numbers = Array.from({ length: ALL }, (_, i) => i)
          const again = guarantee === 'at-least-once' && (step === 'commit:flushed' || step === 'commit:produced')
          if (!again) {
            expect(out).to.deep.equal(numbers)
            for (const key of KEYS) {
              expect(counts[key], `count of ${key}`).to.equal(PER_KEY)
              expect(totals.get(key), `total of ${key}`).to.equal(PER_KEY)
            }
            if (kind.timers) expect(told.length, 'each timer fires once').to.equal(ALL / 2)
            return
          }
          expect([...new Set(out)].sort((a, b) => a - b)).to.deep.equal(numbers)
          expect(out.length).to.be.at.most(ALL + SECOND)
          for (const key of KEYS) {
            expect(counts[key], `count of ${key}`).to.be.within(PER_KEY, PER_KEY + SECOND / KEYS.length)
            expect(totals.get(key)).to.equal(counts[key])
          }
        }
      })
    }

    /** `tail`: the changelog's end when the first life ended; that life wrote its position with its data. */
    function judgeRestore(life: Life, kept: boolean, tail: number): void {
      const { from, end } = life.restored[0]!
      expect(end).to.be.at.least(tail)
      if (!kept) expect(from).to.equal(0)
      // A transaction's marker may lie between the last record and the end.
      else
        expect(from, 'only the tail is restored')
          .to.be.at.least(tail - 1)
          .and.above(0)
    }

    describe('a zombie', () => {
      for (const step of COMMIT) {
        it(`that slept behind ${step} while a successor took over writes nothing more`, async () => {
          await begin('exactly-once')
          await job.send(FIRST)
          let wake = (): void => {}
          let asleep = false
          const sleep = new Promise<void>((resolve) => {
            wake = resolve
          })
          const zombie = job.start(job.directory(), (at) => {
            if (at !== step || asleep) return
            asleep = true
            return sleep
          })
          await until(() => asleep, { what: `the first task sleeps behind ${step}` })
          await job.send(SECOND)
          const next = job.start(job.directory())
          await until(() => next.committed() >= FIRST + SECOND, { timeoutMs: 20_000, what: 'the successor is through' })

          wake()
          // With something to write it notices; the task behind commit:persisted has nothing under way and finds out with the next records.
          await job.send(THIRD, true)
          const error = await zombie.done.catch((e: unknown) => e)
          expect(error).to.be.instanceOf(FencedError)
          await zombie.task.close({ clean: false })

          const counts = await job.finish(next)
          expect((await job.values('out')).map(([, value]) => value)).to.deep.equal(
            Array.from({ length: ALL }, (_, i) => i)
          )
          for (const key of KEYS) expect(counts[key]).to.equal(PER_KEY)
        })
      }
    })

    it('does not commit after an abort that came in the middle of a commit', async () => {
      for (const step of ['commit:flushed', 'commit:produced', 'commit:offsets'] as const) {
        await begin('exactly-once')
        await job.send(FIRST)
        const lost = new AbortController()
        const steps: TaskStep[] = []
        const life = job.start(
          job.directory(),
          (at) => {
            steps.push(at)
            if (at === step) lost.abort(new Crash('LOST'))
          },
          lost.signal
        )
        expect(await life.done.catch((e: unknown) => e)).to.be.instanceOf(Crash)
        await life.task.close({ clean: false })
        expect(steps.at(-1)).to.equal(step)
        expect(life.committed()).to.equal(-1)
        expect(await job.values('out')).to.deep.equal([])
        if (step !== 'commit:offsets') await job.close()
      }
    })
  })
}
