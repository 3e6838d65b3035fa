/** The synchronous driver: one record in, everything it causes out. */
import { topology } from '../../../actors/index.ts'
import { type Driver, drive } from '../../../lib/testing/drive.ts'
import { CaseBuilder, NotBuilt } from '../build.ts'
import { type Actual, actual, type Outcome } from '../compare.ts'
import type { Case } from '../format.ts'
import { bufferedOrder, type Engine, type Result } from './engine.ts'

export interface DriverTweaks {
  /** Overrides what the case says about the cache. */
  readonly cache?: boolean
  /** Commits after so many inputs. Default: after each. */
  readonly commitEvery?: number
  /** Starts anew, from the committed state, after these inputs. */
  readonly restartAfter?: readonly number[]
}

export const driverEngine = (tweaks: DriverTweaks = {}): Engine => ({
  name: 'driver',
  async run(cases) {
    const results: Result[] = []
    for (const c of cases) results.push(await runCase(c, tweaks))
    return results
  },
  async close() {}
})

export async function runCase(c: Case, tweaks: DriverTweaks = {}): Promise<Result> {
  const steps: Actual[][] = []
  let driver: Driver | undefined
  try {
    const t = topology()
    const builder = new CaseBuilder(t).build(c.topology)
    const counts = Object.fromEntries(
      [...builder.topics.values()].map(({ topic, partitions }) => [topic.name, partitions])
    )
    driver = await drive(t, { cache: tweaks.cache ?? c.cache === 'on', partitions: counts })
    const late = await feed(c, driver, builder, steps, tweaks)
    return { outcome: { steps, late } }
  } catch (error) {
    if (error instanceof NotBuilt) return { notBuilt: error.message }
    return { outcome: { steps, error } satisfies Outcome }
  } finally {
    await driver?.close()
  }
}

async function feed(
  c: Case,
  driver: Driver,
  builder: CaseBuilder,
  steps: Actual[][],
  { commitEvery = 1, restartAfter = [] }: DriverTweaks
): Promise<number> {
  const take = (): Actual[] => driver.output(builder.out).map((record) => actual(record, 'out'))
  const move = async (before: number): Promise<void> => {
    for (const { beforeInput, ms } of c.advance ?? []) if (beforeInput === before) await driver.advance(ms)
  }
  const order = c.buffered ? bufferedOrder(c) : c.inputs.keys()
  steps.push(take())
  let done = 0
  for (const i of order) {
    await move(i)
    const { topic, key, value, ts, partition, headers = {} } = c.inputs[i]!
    const source = builder.topics.get(topic)
    if (!source) throw new Error(`The case's topology does not read its input topic "${topic}"`)
    const sent = Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)] as const)
    await driver.send(source.topic, key, value, {
      timestamp: ts,
      headers: sent,
      ...(partition === undefined ? {} : { partition })
    })
    done++
    if (done % commitEvery === 0) await driver.commit()
    if (restartAfter.includes(done)) await driver.restart()
    steps.push(take())
  }
  await move(c.inputs.length)
  await driver.commit()
  steps.at(-1)!.push(...take())
  return driver.dropped.filter((reason) => reason === 'late').length
}
