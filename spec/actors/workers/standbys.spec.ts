/** Standbys over a fake log: who fails is tried again, and who is told to let go has let go of its directory. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Standbys, type StandbysOptions } from '../../../actors/workers/standbys.ts'
import { StoreCorruptedError } from '../../../lib/errors.ts'
import { cacheBudget } from '../../../lib/store/cache/budget.ts'
import { lockDirectory } from '../../../lib/store/directory.ts'
import { databaseDriver } from '../../../lib/store/drivers.ts'
import type { TaskPlan } from '../../../lib/task/port.ts'
import { until } from '../../../lib/testing/until.ts'
import { VirtualClock } from '../../../lib/time.ts'
import { keyValueSpec, temporary } from '../../cases/storeKit.ts'
import { FakeLog, type Logged } from '../../changelog/fakeLog.ts'

const TP = { topic: 'shop-totals-changelog', partition: 0 }
const PLAN = {
  id: '0_0',
  partition: 0,
  subtopology: { id: 0, stores: [keyValueSpec('totals'), { ...keyValueSpec('scratch'), logged: false }] },
  sources: []
} as unknown as TaskPlan
const entries = (from: number, to: number): Logged[] =>
  Array.from({ length: to - from }, (_, i) => [`k${from + i}`, String(from + i), from + i])
const notRunning = { kept: new Set<string>(), free: () => undefined }

interface Kit {
  readonly standbys: Standbys
  readonly log: FakeLog
  readonly clock: VirtualClock
  readonly directory: string
  readonly warned: unknown[]
  readonly lags: number[]
}

describe('the standbys of a runtime', () => {
  const driver = databaseDriver('rocksdb-native')

  const using = (use: (kit: Kit) => Promise<void>, open = driver.open.bind(driver)) =>
    temporary(async (stateDirectory) => {
      const clock = new VirtualClock(1_000)
      const log = new FakeLog()
      log.log(TP, entries(0, 50))
      const warned: unknown[] = []
      const lags: number[] = []
      const quiet = { debug() {}, info() {}, error() {} }
      const env = {
        applicationId: 'shop',
        transport: log,
        readers: { restore: log },
        driver: { ...driver, open },
        stateDirectory,
        cache: cacheBudget(1 << 20),
        clock,
        random: () => 0,
        logger: { ...quiet, warn: ({ error }: { error?: unknown }) => warned.push(error) }
      } as unknown as StandbysOptions['env']
      const standbys = new Standbys({ env, onLag: (_, lag) => lags.push(lag) })
      try {
        await use({ standbys, log, clock, directory: join(stateDirectory, '0_0'), warned, lags })
      } finally {
        await standbys.close()
      }
    })
  const free = async (directory: string): Promise<void> =>
    (await lockDirectory(directory, { applicationId: 'shop', taskId: '0_0' })).release()

  it('are ready at the end of the changelogs, not before, and let go of the directory when they are not wanted any more', () =>
    using(async ({ standbys, log, directory, lags }) => {
      standbys.follow([PLAN], notRunning)
      expect(standbys.ready).to.eql([])
      await until(() => standbys.ready.length === 1)
      expect(lags.at(-1)).to.equal(0)
      log.append(TP, entries(50, 60))
      await until(() => lags.length > 1)
      standbys.follow([], notRunning)
      expect(await standbys.takeOver(PLAN)).to.equal(undefined)
      expect([standbys.ready, log.reading]).to.eql([[], []])
      await free(directory)
    }))

  it('give what they have open to the task, once, and follow on until then', () =>
    using(async ({ standbys, log, directory }) => {
      standbys.follow([PLAN], notRunning)
      await until(() => standbys.ready.length === 1)
      standbys.follow([], { ...notRunning, kept: new Set([PLAN.id]) })
      expect(standbys.ready).to.eql([PLAN.id])
      const [early, held] = await Promise.all([standbys.takeOver(PLAN), standbys.takeOver(PLAN)])
      expect(early, 'of two that ask, the last has it').to.equal(undefined)
      expect([held!.state.position('totals')?.next, log.reading]).to.eql([50, []])
      await held!.state.close()
      await held!.lock.release()
      expect(await standbys.takeOver(PLAN)).to.equal(undefined)
      await free(directory)
    }))

  it('close what was opened for a plan that has changed since', () =>
    using(async ({ standbys, directory }) => {
      standbys.follow([PLAN], notRunning)
      await until(() => standbys.ready.length === 1)
      expect(await standbys.takeOver({ ...PLAN, subtopology: { ...PLAN.subtopology } })).to.equal(undefined)
      await free(directory)
    }))

  it('come back after a back-off when their state does not fit its log any more, and begin anew', () =>
    using(async ({ standbys, log, clock, warned }) => {
      standbys.follow([PLAN], notRunning)
      await until(() => standbys.ready.length === 1)
      standbys.follow([], notRunning)
      log.log(TP, entries(0, 90))
      log.starts.set('shop-totals-changelog-0', 70)
      standbys.follow([PLAN], notRunning)
      await until(() => warned.length === 1)
      expect(warned[0]).to.be.instanceOf(StoreCorruptedError)
      expect(standbys.ready).to.eql([])
      log.given = 0
      await clock.advance(1_000)
      await until(() => standbys.ready.length === 1)
      expect([log.given, warned.length]).to.eql([20, 1])
    }))

  it('remove a database that cannot be opened, and wait longer each time it fails', () => {
    let opened = 0
    return using(
      async ({ standbys, clock, directory, warned }) => {
        standbys.follow([PLAN], notRunning)
        for (const [i, wait] of [1_000, 2_000, 4_000].entries()) {
          await until(() => warned.length === i + 1)
          await clock.advance(wait - 1)
          expect(opened).to.equal(i + 1)
          await clock.advance(1)
          await until(() => opened === i + 2)
        }
        await until(() => standbys.ready.length === 1)
        expect(existsSync(join(directory, 'db'))).to.equal(true)
      },
      (path) =>
        ++opened <= 3 ? Promise.reject(new StoreCorruptedError('the files are no database')) : driver.open(path)
    )
  })

  it('wait for a task that ran here to let go, and for one of their own that still closes', () =>
    using(async ({ standbys, directory, warned }) => {
      const lock = await lockDirectory(directory, { applicationId: 'shop', taskId: '0_0' })
      let gone!: () => void
      const ended = new Promise<void>((resolve) => {
        gone = resolve
      })
      standbys.follow([PLAN], { ...notRunning, free: () => ended })
      await lock.release()
      gone()
      await until(() => standbys.ready.length === 1)
      standbys.follow([], notRunning)
      standbys.follow([PLAN], notRunning)
      await until(() => standbys.ready.length === 1)
      expect(warned).to.eql([])
    }))
})
