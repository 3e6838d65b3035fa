/**
 * The task machine on every path of commands, ends of steps, failures and time up to a bound. Claims (numbers of the design's invariants):
 * no step beside another or after the close that ends it (2), RELEASE ends within its two limits (3), one report per failure (5), nothing clean
 * after LOST or KILL (6), no child left (8), plain context (9); LOST, KILL and RESTART are met in every state.
 */
import { expect } from 'chai'
import type { TaskDecision } from '../../actors/events.ts'
import { allPaths } from './paths.ts'
import { taskHarness } from './taskHarness.ts'

const COMMANDS = ['START', 'PAUSE', 'RESUME', 'RESTART', 'RELEASE', 'LOST', 'KILL'] as const
const DECISIONS: Record<string, TaskDecision> = {
  'fails: restart': { kind: 'restart', delayMs: 100, wipe: true, attempt: 1 },
  'fails: stop': { kind: 'stop' },
  'fails: release': { kind: 'release', reopenMs: 1 },
  'fails: escalate': { kind: 'escalate', exhausted: false }
}
const MOVES = [...COMMANDS, 'done', ...Object.keys(DECISIONS), '100 ms', '10 s', '20 s'] as const
const TIMES: Record<string, number> = { '100 ms': 100, '10 s': 10_000, '20 s': 20_000 }
const BOUND = 5

async function walk(path: readonly string[]): Promise<{ signature: string; state: string; met: string }> {
  const h = taskHarness()
  const value = (): string => JSON.stringify(h.actor.getSnapshot().value)
  let failures = 0
  let gone = -1 // length of the log when LOST or KILL came
  let before = ''
  const signature = (): string => {
    const { value: at, context, status } = h.actor.getSnapshot()
    const running = h.pending.filter((p) => !p.aborted).at(-1)?.step
    return JSON.stringify([at, context, status, running, h.log.length, h.clock.now() % 1_000])
  }
  for (const move of path) {
    before = value()
    const open = h.pending.filter((p) => !p.aborted && !p.settled).at(-1)
    const active = h.actor.getSnapshot().status === 'active'
    if (move in TIMES) h.clock.increment(TIMES[move]!)
    else if (move === 'done') {
      if (open) await h.settle('done')
    } else if (move in DECISIONS) {
      if (open && open.step !== 'close' && active) {
        failures++
        await h.settle(DECISIONS[move]!)
      }
    } else {
      const closing = before.includes('closing') || before.includes('closed')
      if ((move === 'LOST' || move === 'KILL') && gone < 0 && active && !closing) gone = h.log.length
      h.send(move as (typeof COMMANDS)[number])
    }
  }
  const end = { signature: signature(), state: value(), met: before }
  const { status, context } = h.actor.getSnapshot()
  expect(status).to.not.equal('error')
  expect(structuredClone(context)).to.deep.equal(context) // 9
  expect(h.reports.filter((report) => report.endsWith('!'))).to.have.length(failures) // 5
  // 3: whatever came before
  h.send('START', 'RELEASE')
  h.clock.increment(20_000)
  h.clock.increment(10_000)
  expect(h.actor.getSnapshot().status).to.equal('done')
  if (gone >= 0) expect(h.log.slice(gone).filter((step) => step !== 'close(dirty)')).to.deep.equal([]) // 6
  const shape = h.log.map((step) => (step.startsWith('close') ? 'close' : step)).join(' ')
  expect(shape).to.match(/^((open( restore( pump)?)?)( close)+( |$))*$/) // 2
  expect(h.actor.getSnapshot().children).to.deep.equal({}) // 8
  return end
}

describe('the task machine, path by path', function () {
  this.timeout(120_000)

  it(`keeps its invariants on every path of up to ${BOUND} moves, LOST, KILL and RESTART in every state`, async () => {
    const hit = new Set<string>()
    const paths = await allPaths(MOVES, BOUND, async (path) => {
      const walked = await walk(path)
      hit.add(`${path.at(-1)} in ${walked.met}`)
      return walked
    })
    for (const state of paths.met) {
      // What is met by the last move only has not been given a move yet.
      for (const move of ['LOST', 'KILL', 'RESTART']) {
        if (hit.has(`PAUSE in ${state}`)) expect(hit, state).to.include(`${move} in ${state}`)
      }
    }
    expect([...paths.met].sort()).to.deep.equal(
      [
        ...['"created"', '"opening"', '"restoring"', '"closed"'],
        ...['{"live":"running"}', '{"live":"suspended"}', '{"live":"draining"}'],
        ...['{"restarting":"cleaning"}', '{"restarting":"waiting"}', '{"restarting":"ready"}'],
        ...['{"closing":"clean"}', '{"closing":"dirty"}']
      ].sort()
    )
    console.log(`      ${paths.count} paths, the longest of ${paths.longest.length} moves`)
    expect(paths.count).to.be.greaterThan(1_000)
  })
})
