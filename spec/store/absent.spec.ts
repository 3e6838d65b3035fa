/** A store that was empty when it was opened knows what it cannot hold, and does not ask the database for it. */
import { expect } from 'chai'
import { NO_HEADERS, RecordSet } from '../../lib/record.ts'
import { cacheBudget } from '../../lib/store/cache/budget.ts'
import { IdFilter } from '../../lib/store/cache/idFilter.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { DatabaseDriver } from '../../lib/store/port.ts'
import type { TaskState } from '../../lib/store/taskState.ts'
import { seededRandom } from '../../lib/time.ts'
import { altered, keyValueSpec, openState, temporary, windowSpec } from '../cases/storeKit.ts'

/** A driver that counts the keys it was asked for. */
function counting(): { driver: DatabaseDriver; asked: () => number } {
  let asked = 0
  const driver = altered(databaseDriver('rocksdb-native'), (database) => {
    const getMany = database.getMany.bind(database)
    database.getMany = (keys) => {
      asked += keys.length
      return getMany(keys)
    }
  })
  return { driver, asked: () => asked }
}

const read = async (state: TaskState, id: string): Promise<unknown> => (await state.store('totals').row(id)).value

async function put(state: TaskState, id: string, value: unknown): Promise<void> {
  state.store('totals').set(await state.store('totals').row(id), value, 1, NO_HEADERS)
}

async function commit(state: TaskState): Promise<void> {
  await state.store('totals').flush(undefined)
  await state.commit(new Map())
}

/** A changelog's records: id → value, null = tombstone. */
function logged(rows: readonly (readonly [string, string | null])[]): RecordSet {
  const set = new RecordSet(Buffer.from(rows.map(([id, value]) => id + (value ?? '')).join('')), rows.length)
  let at = 0
  rows.forEach(([id, value], i) => {
    set.keyStart[i] = at
    at += id.length
    set.keyEnd[i] = set.valueStart[i] = at
    at += value?.length ?? 0
    set.valueEnd[i] = value === null ? -1 : at
  })
  set.count = rows.length
  return set
}

describe('a store that was empty when it was opened', () => {
  it('asks the database for no row that was never written, and for every evicted one', () =>
    temporary(async (directory) => {
      const { driver, asked } = counting()
      const state = await openState(directory, driver, undefined, { cacheBytes: 16_384 })
      for (let i = 0; i < 500; i++) {
        expect(await read(state, `key-${i}`)).to.equal(null)
        await put(state, `key-${i}`, i)
        if (i % 50 === 0) await commit(state)
      }
      await commit(state)
      expect(asked()).to.be.below(20) // a few false "perhaps"
      const before = asked()
      for (let i = 0; i < 500; i++) expect(await read(state, `key-${i}`)).to.equal(i)
      expect(asked() - before).to.be.above(300)
      await state.close()
    }))

  it('knows the rows that it was restored with, and those of an earlier life', () =>
    temporary(async (directory) => {
      const { driver } = counting()
      const state = await openState(directory, driver)
      await state.restoreBatch([
        {
          store: 'totals',
          sets: [
            logged([
              ['a', '1'],
              ['b', null],
              ['c', '3']
            ])
          ],
          next: 3
        }
      ])
      expect([await read(state, 'a'), await read(state, 'b'), await read(state, 'c')]).to.deep.equal([1, null, 3])
      await state.close()
      const again = await openState(directory, driver)
      expect([await read(again, 'a'), await read(again, 'b'), await read(again, 'c')]).to.deep.equal([1, null, 3])
      await again.wipe()
      expect([await read(again, 'a'), await read(again, 'c')]).to.deep.equal([null, null])
      await again.restoreBatch([{ store: 'totals', sets: [logged([['c', '4']])], next: 1 }])
      again.store('totals').clear()
      expect([await read(again, 'a'), await read(again, 'c')]).to.deep.equal([null, 4])
      await again.close()
    }))

  for (const spec of [keyValueSpec('totals'), windowSpec('totals', 1_000_000)]) {
    it(`answers as a Map does, whatever is put, deleted, evicted, restored, wiped and reopened (${spec.kind})`, async function () {
      this.timeout(30_000)
      for (let seed = 1; seed <= 4; seed++) {
        const random = seededRandom(seed)
        const below = (n: number): number => Math.floor(random() * n)
        await temporary(async (directory) => {
          const { driver } = counting()
          const expected = new Map<string, unknown>()
          // 9 KB: the filter runs out of room soon; 64 KB: it gets a second layer.
          const open = () => openState(directory, driver, [spec], { cacheBytes: seed % 2 ? 9_000 : 65_536 })
          let state = await open()
          for (let step = 0; step < 120; step++) {
            const ids = Array.from({ length: 40 }, () => `window00${below(3_000)}`)
            const action = below(30)
            if (action === 0) {
              await commit(state)
              await state.close()
              state = await open()
            } else if (action === 1) {
              await commit(state)
              const sets = [logged(ids.map((id, i) => [id, i % 5 === 0 ? null : String(step)]))]
              await state.restoreBatch([{ store: 'totals', sets, next: step }])
              for (const [i, id] of ids.entries()) expected.set(id, i % 5 === 0 ? null : step)
              state.store('totals').clear() // a restore does not go through the cache
            } else if (action === 2 && below(3) === 0) {
              await commit(state)
              await state.wipe()
              expected.clear()
            } else {
              await state.store('totals').prefetch(ids)
              // Mostly in the order of the prefetch, as operators ask, with some left out; sometimes in another.
              const asked = ids.filter(() => below(4) > 0)
              if (below(4) === 0) asked.reverse()
              for (const id of asked) {
                expect(await read(state, id), `seed ${seed}, step ${step}`).to.equal(expected.get(id) ?? null)
                const value = below(4) === 0 ? null : below(1_000)
                await put(state, id, value)
                expected.set(id, value)
              }
              if (below(2) === 0) await commit(state)
            }
          }
          await state.close()
        })
      }
    })
  }
})

describe('a filter of ids', () => {
  it('never says no of an id that it took, and rarely perhaps of another', () => {
    const filter = new IdFilter(cacheBudget(64 << 20))
    for (let i = 0; i < 100_000; i++) expect(filter.add(`key-${i}`)).to.equal(true)
    let wrong = 0
    for (let i = 0; i < 100_000; i++) {
      if (!filter.mayHold(`key-${i}`)) expect.fail(`key-${i} is missing`)
      if (filter.mayHold(`other-${i}`)) wrong++
    }
    expect(wrong).to.be.below(3_000)
  })

  it('takes its memory from the budget, gives up when a quarter is taken, and gives all of it back', () => {
    const budget = cacheBudget(100_000)
    const filter = new IdFilter(budget)
    let added = 0
    while (filter.add(`key-${added}`)) added++
    expect(added).to.be.within(1_024 + 4_096, 1_024 + 4_096 + 150) // two layers; the others found themselves in it
    expect(budget.used).to.equal(10_240)
    filter.clear()
    expect(budget.used).to.equal(0)
    expect(filter.mayHold('key-1')).to.equal(false)
  })
})
