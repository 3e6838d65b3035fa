/** The synchronous driver: one record in, everything it causes out. */
import { topology } from '../../../actors/index.ts'
import { tpKey } from '../../../lib/record.ts'
import { type Driver, drive } from '../../../lib/testing/drive.ts'
import { type Random, seededRandom } from '../../../lib/time.ts'
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
  /** A seed: repartition topics lag, each partition at a pace of its own, until the inputs are at their end. Default: none does. */
  readonly lag?: number
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
  { commitEvery = 1, restartAfter = [], lag }: DriverTweaks
): Promise<number> {
  const take = (): Actual[] => driver.output(builder.out).map((record) => actual(record, 'out'))
  const move = async (before: number): Promise<void> => {
    for (const { beforeInput, ms } of c.advance ?? []) if (beforeInput === before) await driver.advance(ms)
  }
  const lagged = lag === undefined ? undefined : lagging(seededRandom(lag))
  if (lagged) driver.order = lagged(false)
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
  if (lagged) driver.order = lagged(true)
  await driver.commit()
  steps.at(-1)!.push(...take())
  return driver.dropped.filter((reason) => reason === 'late').length
}

/** Each partition goes on at its own pace, and with `end` until nothing waits. */
function lagging(random: Random): (end: boolean) => Driver['order'] {
  const paces = new Map<string, number>()
  const pace = (tp: string): number => {
    if (!paces.has(tp)) paces.set(tp, [0.05, 0.5, 1][Math.floor(random() * 3)]!)
    return paces.get(tp)!
  }
  return (end) => (waiting) => {
    const first = new Map<string, number>()
    for (const [at, { topic, partition }] of waiting.entries()) {
      const tp = tpKey(topic, partition)
      if (!first.has(tp)) first.set(tp, at)
    }
    const going = [...first].filter(([tp]) => end || random() < pace(tp))
    return going[Math.floor(random() * going.length)]?.[1]
  }
}
