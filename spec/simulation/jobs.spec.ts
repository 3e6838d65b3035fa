/**
 * A whole job over two or three runtimes on one embedded broker: keyed count behind a repartition topic, stream-table join, windows. Processes
 * crash, drain, join, are cut off past their session and come back; answers are lost, tasks fenced, steps of tasks crash. Claims: exactly-once, each
 * output is there once, in order, and right; at-least-once, nothing is missing; no process fails, and no work is left undone.
 * Storms are drawn from seeds; calls are timed by the real clock, so a seed replays the storm and not each turn of the event loop.
 * One seed alone: SIMULATION_SEED=17 npx mocha spec/simulation/jobs.spec.ts (SIMULATION_LOG=1 tells its story);
 * fresh ones: SIMULATION_FROM=1000 SIMULATION_SEEDS=30
 */
import { Cluster, type Outcome } from './cluster.ts'

const ONE = process.env.SIMULATION_SEED
const FIRST = Number(process.env.SIMULATION_FROM ?? 1)
const SEEDS = ONE
  ? [Number(ONE)]
  : Array.from({ length: Number(process.env.SIMULATION_SEEDS ?? 16) }, (_, i) => FIRST + i)
/** Storms that rage at the same time: they mostly wait. */
const WIDTH = 5

for (const guarantee of ['exactly-once', 'at-least-once'] as const) {
  describe(`a job in a storm, ${guarantee}`, function () {
    this.timeout(240_000)

    it(`comes out right for ${SEEDS.length} seeds`, async () => {
      const left = [...SEEDS]
      const wrong: string[] = []
      const work = async (): Promise<void> => {
        for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
          const outcome = await new Cluster({ seed, guarantee, steps: 10 })
            .run()
            .catch((error): Outcome => ({ seed, events: [], wrong: [(error as Error).message] }))
          if (process.env.SIMULATION_LOG) console.log(`seed ${seed}\n${outcome.events.join('\n')}`)
          if (outcome.wrong.length === 0) continue
          const story = outcome.events.length > 0 ? `\n    ${outcome.events.join('\n    ')}` : ''
          wrong.push(
            `SIMULATION_SEED=${seed}:\n  ${outcome.wrong.slice(0, 12).join('\n  ')}${outcome.wrong.length > 12 ? `\n  and ${outcome.wrong.length - 12} more` : ''}${story}`
          )
        }
      }
      await Promise.all(Array.from({ length: WIDTH }, work))
      if (wrong.length > 0)
        throw new Error(`${wrong.length} of ${SEEDS.length} seeds came out wrong\n${wrong.join('\n')}`)
    })
  })
}
