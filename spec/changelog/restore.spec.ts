/** Restore over a fake log: what is read, in what pieces it is written, what is refused. */
import { expect } from 'chai'
import { type RestoreOptions, type RestoreProgress, restoreStores } from '../../lib/changelog/restore.ts'
import { StoreCorruptedError, TransportError } from '../../lib/errors.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { TaskState } from '../../lib/store/taskState.ts'
import { until } from '../../lib/testing/until.ts'
import { VirtualClock } from '../../lib/time.ts'
import { collect, keyValueSpec, openState, temporary } from '../cases/storeKit.ts'
import { FakeLog, type Logged } from './fakeLog.ts'

const driver = databaseDriver('rocksdb-native')
const A = { topic: 'shop-a-changelog', partition: 0 }
const B = { topic: 'shop-b-changelog', partition: 0 }
const DAY = 86_400_000
const entries = (from: number, to: number): Logged[] =>
  Array.from({ length: to - from }, (_, i) => [`k${from + i}`, String(from + i), from + i])

describe('restoring the stores of a task', () => {
  const start =
    (
      use: (of: {
        state: TaskState
        log: FakeLog
        clock: VirtualClock
        restore: (over?: Partial<RestoreOptions>) => Promise<number>
        reopen: () => Promise<void>
        rows: (store: string) => Promise<string[]>
      }) => Promise<void>
    ) =>
    () =>
      temporary(async (directory) => {
        const clock = new VirtualClock(1_000)
        const open = (): Promise<TaskState> => openState(directory, driver, ['a', 'b'].map(keyValueSpec), { clock })
        const log = new FakeLog()
        log.log(A, [])
        log.log(B, [])
        const of = {
          state: await open(),
          log,
          clock,
          restore: (over: Partial<RestoreOptions> = {}) =>
            restoreStores({
              state: of.state,
              changelogs: [
                { store: 'a', tp: A },
                { store: 'b', tp: B }
              ],
              transport: log,
              reader: log,
              clock,
              signal: new AbortController().signal,
              ...over
            }),
          reopen: async () => {
            await of.state.close()
            of.state = await open()
          },
          rows: async (store: string) =>
            (await collect(of.state.store(store).scan({ from: '', to: undefined }))).map(
              (row) => `${row.id}=${row.value}`
            )
        }
        try {
          await use(of)
        } finally {
          await of.state.close()
        }
      })

  const failure = (promise: Promise<unknown>): Promise<Error> =>
    promise.then(
      () => expect.fail('it did not fail'),
      (error: Error) => error
    )

  it(
    'reads an empty store from the beginning, applies tombstones, and skips null keys and gaps',
    start(async ({ log, state, restore, rows }) => {
      log.log(A, [['x', '1', 1], [null, '2', 2], ['y', '3', 3], null, ['x', null, 4], ['z', '5', 5], null])
      log.log(B, entries(0, 25))
      await restore()
      expect(await rows('a')).to.eql(['y=3', 'z=5'])
      expect((await rows('b')).length).to.equal(25)
      expect(state.position('a')?.next).to.equal(7)
      expect(state.position('b')?.next).to.equal(25)
      expect(log.reading).to.eql([])
    })
  )

  it(
    'reads only the tail behind the position, and nothing when there is none',
    start(async ({ log, restore, reopen, rows }) => {
      log.log(A, entries(0, 1_000))
      await restore()
      await reopen()
      log.log(A, [...entries(0, 1_000), ...entries(1_000, 1_007)])
      log.given = 0
      expect(await restore()).to.equal(7)
      expect(log.given).to.equal(7)
      expect((await rows('a')).length).to.equal(1_007)
      log.given = 0
      expect(await restore()).to.equal(0)
      expect(log.given).to.equal(0)
    })
  )

  it(
    'writes by size and not by record, and pauses a partition that brings more than fits',
    start(async ({ log, state, restore }) => {
      log.log(A, entries(0, 300))
      log.log(B, entries(0, 20))
      let writes = 0
      const write = state.restoreBatch.bind(state)
      state.restoreBatch = (parts) => {
        writes++
        return write(parts)
      }
      const progress: RestoreProgress[] = []
      await restore({ batchBytes: 5_000, onProgress: (step) => progress.push(step) }) // 100 bytes a record
      expect(writes).to.be.within(5, 8)
      const a = progress.filter(({ store }) => store === 'a')
      expect(a.at(-1)).to.eql({ store: 'a', restored: 300, total: 300, from: 0, end: 300, records: 300 })
      expect(a.map(({ restored }) => restored)).to.eql(a.map(({ restored }) => restored).sort((x, y) => x - y))
    })
  )

  it(
    'goes on where it was after a crash in the middle: rows are written with the position behind them',
    start(async (of) => {
      of.log.log(A, entries(0, 300))
      const write = of.state.restoreBatch.bind(of.state)
      let writes = 0
      of.state.restoreBatch = async (parts) => {
        if (++writes === 4) throw new Error('crash')
        await write(parts)
      }
      expect((await failure(of.restore({ batchBytes: 5_000 }))).message).to.equal('crash')
      expect(of.log.reading).to.eql([])
      await of.reopen()
      const { next } = of.state.position('a')!
      expect(next).to.be.within(50, 299)
      expect((await of.rows('a')).length).to.equal(next)
      of.log.given = 0
      await of.restore()
      expect(of.log.given).to.equal(300 - next)
      expect((await of.rows('a')).length).to.equal(300)
    })
  )

  it(
    'ends with the reason of its signal, stops reading, and leaves a state that can be restored on',
    start(async ({ log, restore, rows }) => {
      log.log(A, entries(0, 300))
      const controller = new AbortController()
      const reason = new Error('revoked')
      const onProgress = (): void => controller.abort(reason)
      expect(await failure(restore({ signal: controller.signal, onProgress, batchBytes: 5_000 }))).to.equal(reason)
      expect(log.reading).to.eql([])
      expect(await failure(restore({ signal: controller.signal }))).to.equal(reason)
      await restore()
      expect((await rows('a')).length).to.equal(300)
    })
  )

  it(
    'restores whole when it was broken off and taken up again so often that tombstones of what it read first may be gone',
    start(async ({ log, clock, restore, rows }) => {
      log.log(A, entries(0, 300))
      const part = async (): Promise<void> => {
        const controller = new AbortController()
        const onProgress = ({ store }: RestoreProgress): void => {
          if (store === 'a') controller.abort(new Error('revoked'))
        }
        const error = await failure(restore({ signal: controller.signal, onProgress, batchBytes: 500 }))
        expect(error.message).to.equal('revoked')
      }
      await part()
      await clock.advance(0.7 * DAY)
      await part()
      await clock.advance(0.7 * DAY)
      // The cleaner was here: k0 was deleted, and its tombstone is gone too.
      log.log(A, [null, ...entries(1, 300)])
      await restore()
      expect((await rows('a')).length).to.equal(299)
    })
  )

  it(
    'takes as the age that counts what the changelog says of its tombstones',
    start(async ({ log, clock, restore, rows }) => {
      const changelogs = [{ store: 'a', tp: A, tombstonesKeptMs: 60_000 }]
      log.log(A, entries(0, 10))
      await restore({ changelogs })
      log.log(A, [null, ...entries(1, 12)])
      await clock.advance(59_000)
      await restore({ changelogs })
      expect((await rows('a')).length, 'within the time only the tail is read').to.equal(12)
      log.log(A, [null, ...entries(1, 14)])
      await clock.advance(61_000)
      await restore({ changelogs })
      expect((await rows('a')).length).to.equal(13)
    })
  )

  it(
    'says StoreCorruptedError when the log begins behind the position, and wipes nothing by itself',
    start(async ({ log, state, restore, rows }) => {
      log.log(A, entries(0, 10))
      await restore()
      log.log(A, entries(0, 50))
      log.starts.set('shop-a-changelog-0', 20)
      const error = await failure(restore())
      expect(error).to.be.instanceOf(StoreCorruptedError)
      expect(error.message).to.contain('"a" stands at offset 10').and.to.contain('begins at 20')
      expect((await rows('a')).length).to.equal(10)
      await state.wipe()
      await restore()
      expect((await rows('a')).length).to.equal(30)
    })
  )

  it(
    'says StoreCorruptedError when the log stays shorter than the position, and not when it only lags for a moment',
    start(async ({ log, clock, restore }) => {
      log.log(A, entries(0, 10))
      await restore()
      log.log(A, entries(0, 8))
      const lagging = restore()
      while (log.asked < 4) await clock.advance(0)
      log.log(A, entries(0, 10))
      await clock.advance(200)
      await lagging
      log.log(A, entries(0, 3))
      const cut = failure(restore())
      await clock.advance(2_000)
      expect((await cut).message).to.contain('ends at 3: was the topic made anew?')
    })
  )

  it(
    'turns out-of-range into StoreCorruptedError, and gives other faults of the log as they are',
    start(async ({ log, restore }) => {
      for (const fault of ['out-of-range', 'fatal'] as const) {
        log.log(A, entries(0, 10_000))
        const cause = new TransportError('no', fault)
        const error = await failure(
          restore({
            batchBytes: 1_000,
            onProgress: ({ store }) => store === 'a' && log.reading.length > 0 && log.fail(A, cause)
          })
        )
        if (fault === 'fatal') expect(error).to.equal(cause)
        else expect([error instanceof StoreCorruptedError, error.cause]).to.eql([true, cause])
      }
    })
  )

  describe('as a standby', () => {
    it(
      'follows to what comes later, until its signal, and the restore after it finds nothing left',
      start(async ({ log, state, restore, rows }) => {
        log.log(A, entries(0, 300))
        const stop = new AbortController()
        const lags: number[] = []
        const following = failure(
          restore({
            follow: true,
            signal: stop.signal,
            batchBytes: 5_000,
            onProgress: ({ store, from, end, restored }) => store === 'a' && lags.push(end - from - restored)
          })
        )
        await until(() => state.position('a')?.next === 300)
        expect(Math.max(...lags)).to.be.greaterThan(0)
        expect(lags.at(-1)).to.equal(0)
        log.append(A, entries(300, 320))
        log.append(B, entries(0, 3))
        await until(() => state.position('a')?.next === 320 && state.position('b')?.next === 3)
        const reason = new Error('promoted')
        stop.abort(reason)
        expect(await following).to.equal(reason)
        expect(log.reading).to.eql([])
        log.given = 0
        expect(await restore()).to.equal(0)
        expect([log.given, (await rows('a')).length, (await rows('b')).length]).to.eql([0, 320, 3])
      })
    )

    it(
      'is whole as of when it was last at the end, so that a standby of days does not begin anew',
      start(async ({ log, clock, state, restore, rows }) => {
        const follow = async (to: number): Promise<void> => {
          const stop = new AbortController()
          const following = failure(restore({ follow: true, signal: stop.signal }))
          await until(() => state.position('a')?.next === to)
          await clock.advance(2 * DAY)
          log.append(A, entries(to, to + 5))
          await until(() => state.position('a')?.next === to + 5)
          expect(state.position('a')!.at).to.equal(clock.now())
          stop.abort(new Error('stop'))
          await following
        }
        log.log(A, entries(0, 10))
        await follow(10)
        log.given = 0
        await follow(15)
        expect(log.given).to.equal(5)
        expect((await rows('a')).length).to.equal(20)
      })
    )
  })

  it(
    'restores a store whole when its position is older than the log keeps tombstones, and only that store',
    start(async ({ log, clock, state, restore, rows }) => {
      log.log(A, entries(0, 5))
      log.log(B, entries(0, 5))
      await restore()
      await clock.advance(DAY + 1)
      // k0 was deleted meanwhile, and neither its record nor its tombstone is left.
      log.log(A, [null, ...entries(1, 5), null, ...entries(6, 8)])
      log.given = 0
      await restore()
      expect(await rows('a')).to.eql(['k1=1', 'k2=2', 'k3=3', 'k4=4', 'k6=6', 'k7=7'])
      expect(log.given).to.equal(8)
      expect((await rows('b')).length).to.equal(5) // its position is the end: nothing can be missing
      expect(state.position('b')).to.eql({ next: 5, at: clock.now() })
    })
  )
})
