/** A task's directory: whose it is, what it remembers, what it refuses. */
import { expect } from 'chai'
import { type MillraceError, StateDirectoryError } from '../../lib/errors.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import { databaseDirectory, destroyTaskState, openTaskState } from '../../lib/store/taskState.ts'
import { VirtualClock } from '../../lib/time.ts'
import { altered, collect, keyValueSpec, openState, temporary, text, windowSpec } from '../cases/storeKit.ts'
import { records } from '../cases/storeLevel.ts'

const driver = databaseDriver('rocksdb-native')

const failure = (promise: Promise<unknown>): Promise<MillraceError> =>
  promise.then(
    () => expect.fail('it was not refused'),
    (error: MillraceError) => error
  )

describe('the state of a task', () => {
  it('refuses a directory of another application or task with ERR_STATE_FOREIGN, and leaves it as it is', () =>
    temporary(async (directory) => {
      const first = await openState(directory, driver)
      await first.commit(new Map([['totals', 5]]))
      await first.close()
      for (const other of [{ applicationId: 'bank' }, { taskId: '0_7' }]) {
        const error = await failure(openState(directory, driver, undefined, other))
        expect(error).to.be.instanceOf(StateDirectoryError)
        expect(error.code).to.equal('ERR_STATE_FOREIGN')
        expect(error.message).to.contain('belongs to task 0_0 of application "shop"')
      }
      const again = await openState(directory, driver)
      expect(again.position('totals')?.next).to.equal(5)
      await again.close()
    }))

  it('refuses a database that another program made, and one of a newer format', () =>
    temporary(async (directory) => {
      const write = async (key: string, value: string): Promise<void> => {
        const database = await driver.open(databaseDirectory(directory))
        await database.write((batch) => batch.put(Buffer.from(key, 'latin1'), Buffer.from(value)))
        await database.close()
      }
      await write('hello', 'world')
      expect((await failure(openState(directory, driver))).message).to.contain('not one of ours')
      await destroyTaskState(directory, driver)
      await (await openState(directory, driver)).close()
      await write('\0\0schema', '99')
      const error = await failure(openState(directory, driver))
      expect(error.code).to.equal('ERR_STATE_FOREIGN')
      expect(error.message).to.contain('newer version (format 99')
    }))

  it('refuses a store that changed its kind, and says which', () =>
    temporary(async (directory) => {
      await (await openState(directory, driver, [keyValueSpec('totals')])).close()
      const error = await failure(openState(directory, driver, [windowSpec('totals', 100)]))
      expect(error.code).to.equal('ERR_STATE_FOREIGN')
      expect(error.message).to.contain('store "totals" as keyValue, and the topology now says window')
    }))

  it('knows its stores by name, whatever their order and number in later versions of the topology', () =>
    temporary(async (directory) => {
      const put = async (names: string[], value: number): Promise<void> => {
        const state = await openState(directory, driver, names.map(keyValueSpec))
        for (const name of names) {
          const store = state.store(name)
          store.set(await store.row('k'), `${name}${value}`, 1, NO_HEADERS)
          await store.flush(undefined)
        }
        await state.commit(new Map(names.map((name) => [name, value])))
        await state.close()
      }
      await put(['a', 'b', 'c'], 1)
      await put(['c', 'd'], 2)
      const state = await openState(directory, driver, ['d', 'b', 'a', 'c'].map(keyValueSpec))
      const values = await Promise.all(state.stores.map(async (store) => (await store.row('k')).value))
      expect(values).to.eql(['d2', 'b1', 'a1', 'c2'])
      expect(state.position('b')?.next).to.equal(1)
      expect(() => state.store('e')).to.throw('This task has no store "e"; it has d, b, a, c.')
      await state.close()
    }))

  it('keeps the rows of a store that came later apart from those of the others, and from its own notes', () =>
    temporary(async (directory) => {
      await (await openState(directory, driver, ['first'].map(keyValueSpec))).close()
      const names = ['first', 'second', 'third', 'chema', 'wner']
      const second = await openState(directory, driver, names.map(keyValueSpec))
      for (const name of names) {
        const store = second.store(name)
        // A key that looks like one of the dictionary's own.
        store.set(await store.row('schema'), name, 1, NO_HEADERS)
        await store.flush(undefined)
      }
      await second.commit(new Map())
      await second.close()
      const third = await openState(directory, driver, names.map(keyValueSpec))
      const values = await Promise.all(third.stores.map(async (store) => (await store.row('schema')).value))
      expect(values).to.eql(names)
      expect(new Set(third.stores.map((store) => store.id)).size).to.equal(names.length)
      await third.close()
    }))

  it('remembers saved times with the commit and not before', () =>
    temporary(async (directory) => {
      const first = await openState(directory, driver)
      first.setTime('orders-0', 1_234.5)
      await first.close()
      const second = await openState(directory, driver)
      expect(second.time('orders-0')).to.equal(undefined)
      second.setTime('orders-0', 1_234.5)
      await second.commit(new Map())
      await second.close()
      const third = await openState(directory, driver)
      expect(third.time('orders-0')).to.equal(1_234.5)
      await third.close()
    }))

  it('makes an index anew from the rows that it restores: their places as of now, and not those of older rows, in one call or in several; a wipe of the rows takes it along', () =>
    temporary(async (directory) => {
      const index = { store: 'places', ids: (key: Buffer, value: Buffer, time: number) => [`${time}${value}${key}`] }
      const specs = [
        { ...keyValueSpec('rows'), index },
        { ...keyValueSpec('places'), logged: false, value: { ...text, decode: () => '' } }
      ]
      const first = await openState(directory, driver, specs)
      const set = records([
        ['a', '"x"', 1],
        ['b', '"y"', 2],
        ['a', '"z"', 3],
        ['c', '"gone"', 4],
        ['c', null, 5]
      ])
      await first.restoreBatch([{ store: 'rows', sets: [set], next: 5 }])
      const later = records([
        ['b', '"new"', 6],
        ['d', '"q"', 7]
      ])
      await first.restoreBatch([{ store: 'rows', sets: [later], next: 7 }])
      await first.close()
      const second = await openState(directory, driver, specs)
      const places = await collect(second.store('places').scan({ from: '', to: undefined }))
      expect(places.map(({ id }) => id)).to.eql(['3"z"a', '6"new"b', '7"q"d'])
      expect(second.position('places')).to.equal(undefined)
      await second.wipe('rows')
      expect(await collect(second.store('places').scan({ from: '', to: undefined }))).to.eql([])
      await second.close()
    }))

  it('restores a large set in several writes: after a crash between them the position is before the set, with its age, and the set comes again', () =>
    temporary(async (directory) => {
      const specs = [keyValueSpec('totals')]
      const first = await openState(directory, driver, specs)
      await first.restoreBatch([{ store: 'totals', sets: [records([['0', '"old"', 1]])], next: 7, at: 500 }])
      await first.close()
      // Keys without an order, each written, deleted and written again, the odd ones deleted at last.
      const last = (n: number): string | null => (n % 2 === 0 ? `"${n}"` : null)
      const keys = Array.from({ length: 3_000 }, (_, i) => (i * 7_919) % 3_000)
      const rounds = [(n: number) => `"first ${n}"`, () => null, (n: number) => `"third ${n}"`, last]
      const set = records(
        rounds.flatMap((value, time) => keys.map((n) => [String(n), value(n), time] as const)),
        7
      )
      const part = { store: 'totals', sets: [set], next: 12_007, at: 900 }
      let writes = 0
      const failing = altered(driver, (database) => {
        const write = database.write.bind(database)
        database.write = (fill) => (++writes === 2 ? Promise.reject(new Error('crash')) : write(fill))
      })
      const second = await openState(directory, failing, specs)
      writes = 0
      expect((await failure(second.restoreBatch([part]))).message).to.equal('crash')
      await second.close()
      const third = await openState(directory, driver, specs)
      expect(third.position('totals')).to.eql({ next: 7, at: 500 })
      expect((await collect(third.store('totals').scan({ from: '', to: undefined }))).length).to.be.within(1, 2_999)
      await third.restoreBatch([part])
      expect(third.position('totals')).to.eql({ next: 12_007, at: 900 })
      const rows = await collect(third.store('totals').scan({ from: '', to: undefined }))
      expect(rows.length).to.equal(1_500)
      for (const { id, value, timestamp } of rows) expect([value, timestamp]).to.eql([id, 3])
      expect(rows.every(({ id }) => Number(id) % 2 === 0)).to.equal(true)
      await third.close()
    }))

  it('says with every commit, and by touch, that all positions are up to date', () =>
    temporary(async (directory) => {
      const clock = new VirtualClock(1_000)
      const state = await openState(directory, driver, ['a', 'b'].map(keyValueSpec), { clock })
      await state.commit(
        new Map([
          ['a', 1],
          ['b', 7]
        ])
      )
      await clock.advance(500)
      await state.commit(new Map([['a', 2]]))
      expect([state.position('a'), state.position('b')]).to.eql([
        { next: 2, at: 1_500 },
        { next: 7, at: 1_500 }
      ])
      await clock.advance(500)
      await state.touch()
      expect(state.position('b')).to.eql({ next: 7, at: 2_000 })
      await state.close()
    }))

  it('gives back its part of the cache budget when it closes', () =>
    temporary(async (directory) => {
      const cache = { limit: 10_000, used: 0 }
      const state = await openTaskState({
        directory,
        applicationId: 'shop',
        taskId: '0_0',
        driver,
        specs: [keyValueSpec('totals') as never],
        cache,
        clock: new VirtualClock()
      })
      const store = state.store('totals')
      for (let i = 0; i < 100; i++) store.set(await store.row(`k${i}`), i, 1, NO_HEADERS)
      expect(cache.used).to.be.above(10_000)
      expect(state.full).to.equal(true)
      await store.flush(undefined)
      await state.commit(new Map())
      expect(state.full).to.equal(false)
      expect(cache.used).to.be.within(1, 10_000)
      await state.close()
      expect(cache.used).to.equal(0)
    }))
})
