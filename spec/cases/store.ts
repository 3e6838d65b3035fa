/** What every database driver must do, and the stores over it. Run by spec/store/drivers.spec.ts for each binding. */
import { expect } from 'chai'
import { StateDirectoryError, StateError } from '../../lib/errors.ts'
import type { Database, DatabaseDriver } from '../../lib/store/port.ts'
import { scan, temporary } from './storeKit.ts'
import { storeLevelCases } from './storeLevel.ts'

const b = (...bytes: number[]): Buffer => Buffer.from(bytes)
const t = (value: string): Buffer => Buffer.from(value)
const ALL = { from: b(0), to: b(0xff, 0xff, 0xff, 0xff) }

export function storeCases(driver: DatabaseDriver): void {
  const withDatabase = (use: (database: Database, directory: string) => Promise<void>) => () =>
    temporary(async (root) => {
      const directory = `${root}/db`
      const database = await driver.open(directory)
      try {
        await use(database, directory)
      } finally {
        await database.close()
      }
    })

  describe('a database', () => {
    it(
      'gives what was written, null for what is absent, and an empty value as an empty value',
      withDatabase(async (database) => {
        await database.write((batch) => {
          batch.put(t('a'), t('1'))
          batch.put(t('empty'), Buffer.alloc(0))
        })
        expect((await database.get(t('a')))?.toString()).to.equal('1')
        expect((await database.get(t('empty')))?.length).to.equal(0)
        expect(await database.get(t('b'))).to.equal(null)
      })
    )

    it(
      'answers a multi-get in the order of its keys, doubles and absent ones included',
      withDatabase(async (database) => {
        await database.write((batch) => {
          for (let i = 0; i < 300; i++) batch.put(t(`k${i}`), t(`v${i}`))
        })
        const keys = [250, 3, 999, 3, 0].map((i) => t(`k${i}`))
        const values = await database.getMany(keys)
        expect(values.map((value) => value?.toString() ?? null)).to.eql(['v250', 'v3', null, 'v3', 'v0'])
        expect(await database.getMany([])).to.eql([])
      })
    )

    it(
      'answers several multi-gets that run at the same time, each with its own keys',
      withDatabase(async (database) => {
        await database.write((batch) => {
          for (let i = 0; i < 100; i++) batch.put(t(`k${i}`), t(`v${i}`))
        })
        const runs = Array.from({ length: 20 }, (_, run) =>
          Promise.resolve(database.getMany(Array.from({ length: 1 + run }, (_, i) => t(`k${run + i}`))))
        )
        for (const [run, values] of (await Promise.all(runs)).entries()) {
          expect(values.map(String)).to.eql(Array.from({ length: 1 + run }, (_, i) => `v${run + i}`))
        }
      })
    )

    it(
      'applies a batch in its order: the last word on a key counts',
      withDatabase(async (database) => {
        await database.write((batch) => {
          batch.put(t('a'), t('1'))
          batch.delete(t('a'))
          batch.put(t('a'), t('2'))
          batch.put(t('b'), t('1'))
          batch.delete(t('b'))
        })
        expect(await scan(database, ALL)).to.eql(['61=2'])
      })
    )

    it(
      'writes nothing of a batch whose filling throws',
      withDatabase(async (database) => {
        const error = await database
          .write((batch) => {
            batch.put(t('a'), t('1'))
            throw new Error('no')
          })
          .then(
            () => undefined,
            (reason: Error) => reason
          )
        expect(error?.message).to.equal('no')
        expect(await scan(database, ALL)).to.eql([])
        await database.write((batch) => batch.put(t('b'), t('2'))) // and it still works
        expect(await scan(database, ALL)).to.eql(['62=2'])
      })
    )

    it(
      'sorts keys as unsigned bytes, 0x00 and 0xff included',
      withDatabase(async (database) => {
        const keys = [
          b(0xff),
          b(0xff, 0xff, 0x01),
          b(0x7f),
          b(0x80),
          b(1),
          b(1, 0),
          b(0, 0xff),
          b(0xc3, 0xa9),
          b(0xfe, 0)
        ]
        await database.write((batch) => {
          for (const key of keys) batch.put(key, t('x'))
        })
        const order = [...keys].sort(Buffer.compare).map((key) => `${key.toString('hex')}=x`)
        expect(await scan(database, ALL)).to.eql(order)
        expect(await scan(database, { ...ALL, reverse: true })).to.eql([...order].reverse())
      })
    )

    it(
      'scans [from, to) in both directions, with a limit',
      withDatabase(async (database) => {
        await database.write((batch) => {
          for (let i = 0; i < 10; i++) batch.put(b(1, i), t(String(i)))
        })
        const values = async (options: Parameters<typeof scan>[1]): Promise<string> =>
          (await scan(database, options)).map((entry) => entry.slice(5)).join('')
        const range = { from: b(1, 2), to: b(1, 7) }
        expect(await values(range)).to.equal('23456')
        expect(await values({ ...range, reverse: true })).to.equal('65432')
        expect(await values({ ...range, limit: 2 })).to.equal('23')
        expect(await values({ ...range, limit: 2, reverse: true })).to.equal('65')
        expect(await values({ ...range, limit: 0 })).to.equal('')
        expect(await values({ from: b(1, 7), to: b(1, 2) })).to.equal('')
        expect(await values({ from: b(2), to: b(3) })).to.equal('')
      })
    )

    it(
      'scans more rows than one chunk holds, each once, as they were at its first step',
      withDatabase(async (database) => {
        const key = (i: number): Buffer => b(1, i >> 8, i & 0xff)
        await database.write((batch) => {
          for (let i = 0; i < 3_500; i++) batch.put(key(i), t(String(i)))
        })
        const seen: string[] = []
        for await (const chunk of database.range({ from: b(1), to: b(2) })) {
          if (seen.length === 0) {
            await database.write((batch) => {
              batch.deleteRange(key(3_000), key(3_500))
              batch.put(key(4_000), t('new'))
              batch.put(key(2_999), t('changed'))
            })
          }
          for (const [, value] of chunk) seen.push(value.toString())
        }
        expect(seen).to.eql(Array.from({ length: 3_500 }, (_, i) => String(i)))
        expect((await scan(database, { from: b(1), to: b(2) })).length).to.equal(3_001)
      })
    )

    it(
      'deletes a range, also rows put earlier in the same batch, and keeps those put after it',
      withDatabase(async (database) => {
        await database.write((batch) => {
          for (const name of ['a', 'b', 'c', 'd']) batch.put(t(name), t('1'))
        })
        await database.write((batch) => {
          batch.put(t('bb'), t('2'))
          batch.put(t('x'), t('2'))
          batch.deleteRange(t('b'), t('d'))
          batch.put(t('c'), t('3'))
          batch.deleteRange(t('z'), t('y'))
        })
        expect(await scan(database, ALL)).to.eql(['61=1', '63=3', '64=1', '78=2'])
      })
    )

    it(
      'keeps a value of 3 MB byte for byte',
      withDatabase(async (database) => {
        const big = Buffer.alloc(3 << 20)
        for (let i = 0; i < big.length; i++) big[i] = (i * 31) & 0xff
        await database.write((batch) => batch.put(t('big'), big))
        expect((await database.get(t('big')))?.equals(big)).to.equal(true)
      })
    )

    it(
      'does not keep the buffers of a batch once it is written',
      withDatabase(async (database) => {
        const value = t('before')
        await database.write((batch) => batch.put(t('a'), value))
        value.fill('x')
        expect((await database.get(t('a')))?.toString()).to.equal('before')
      })
    )

    it(
      'refuses a second open of one directory with ERR_STATE_LOCKED, and allows it after the close',
      withDatabase(async (database, directory) => {
        const error = await driver.open(directory).then(
          () => undefined,
          (reason: unknown) => reason
        )
        expect(error).to.be.instanceOf(StateDirectoryError)
        expect((error as StateDirectoryError).code).to.equal('ERR_STATE_LOCKED')
        expect((error as Error).message).to.contain(directory)
        await database.close()
        const again = await driver.open(directory)
        await again.close()
      })
    )

    it(
      'waits at close for calls that run, refuses later ones, and may be closed twice',
      withDatabase(async (database) => {
        await database.write((batch) => {
          for (let i = 0; i < 5_000; i++) batch.put(t(`k${i}`), t(`v${i}`))
        })
        const keys = Array.from({ length: 5_000 }, (_, i) => t(`k${i}`))
        const reading = Promise.resolve(database.getMany(keys))
        const writing = database.write((batch) => batch.put(t('last'), t('1')))
        const closing = database.close()
        expect((await reading).length).to.equal(5_000)
        await writing
        await closing
        await database.close()
        for (const call of [
          async () => database.get(t('a')),
          async () => database.getMany([t('a')]),
          async () => database.write((batch) => batch.put(t('a'), t('b'))),
          () => scan(database, ALL)
        ]) {
          const error = await call().then(
            () => undefined,
            (reason: unknown) => reason
          )
          expect(error).to.be.instanceOf(StateError)
        }
      })
    )

    it(
      'closes although a scan was left in the middle; its next step throws StateError',
      withDatabase(async (database) => {
        await database.write((batch) => {
          for (let i = 0; i < 5_000; i++) batch.put(b(1, i >> 8, i & 0xff), t('x'))
        })
        const steps = database.range({ from: b(1), to: b(2) })[Symbol.asyncIterator]()
        await steps.next()
        await database.close()
        const error = await steps.next().then(
          () => undefined,
          (reason: unknown) => reason
        )
        expect(error).to.be.instanceOf(StateError)
      })
    )

    it(driver.durable ? 'has everything after it was opened again' : 'is empty after it was opened again', () =>
      temporary(async (root) => {
        const directory = `${root}/deep/er/db`
        const first = await driver.open(directory)
        await first.write((batch) => {
          batch.put(t('a'), t('1'))
          batch.put(t('b'), t('2'))
          batch.delete(t('b'))
        })
        await first.close()
        const second = await driver.open(directory)
        expect(await scan(second, ALL)).to.eql(driver.durable ? ['61=1'] : [])
        await second.close()
        await driver.destroy(directory)
        const third = await driver.open(directory)
        expect(await scan(third, ALL)).to.eql([])
        await third.close()
      })
    )
  })

  storeLevelCases(driver)
}
