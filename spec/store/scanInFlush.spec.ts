/** A scan by the operator that is being given a row: all rows of the flush are there, given or not. */
import { expect } from 'chai'
import { NO_HEADERS } from '../../lib/record.ts'
import { string } from '../../lib/serde/index.ts'
import { cacheBudget } from '../../lib/store/cache/budget.ts'
import { CachedRowStore } from '../../lib/store/cache/rowStore.ts'
import { memoryDriver } from '../../lib/store/memory.ts'

describe('a scan during a flush', () => {
  it('sees the rows that were given and those that were not, and no row from elsewhere later', async () => {
    const database = await memoryDriver.open('scan-in-flush')
    const spec = { name: 's', kind: 'keyValue' as const, key: string(), value: string(), caching: true, logged: false }
    const store = new CachedRowStore({ spec, id: 1, database, budget: cacheBudget(Number.POSITIVE_INFINITY) })
    const ids = async (): Promise<string[]> => {
      const found: string[] = []
      for await (const { id } of store.scan({ from: '', to: undefined })) found.push(id)
      return found
    }
    const seen: string[][] = []
    store.onFlush = async () => {
      seen.push(await ids())
    }
    for (const id of ['b', 'a', 'c']) store.set(await store.row(id), id, 1, NO_HEADERS)
    await store.flush(undefined)
    expect(seen).to.deep.equal([
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
      ['a', 'b', 'c']
    ])
    store.set(await store.row('a'), null, 2, NO_HEADERS)
    expect(await ids()).to.deep.equal(['b', 'c'])
    await database.close()
  })

  it('finds a row that was made known without a read, and deletes it', async () => {
    const database = await memoryDriver.open('known-rows')
    const spec = { name: 's', kind: 'keyValue' as const, key: string(), value: string(), caching: true, logged: false }
    const open = () => new CachedRowStore({ spec, id: 1, database, budget: cacheBudget(Number.POSITIVE_INFINITY) })
    const commit = async (store: CachedRowStore<string>): Promise<void> => {
      await store.flush(undefined)
      await database.write((batch) => store.persist(batch))
      store.persisted()
    }
    const first = open()
    first.set(first.known('a', null), 'x', 1, NO_HEADERS)
    expect(first.known('a', null).value).to.equal('x')
    await commit(first)
    const second = open()
    second.set(second.known('a', 'x'), null, 2, NO_HEADERS)
    await commit(second)
    expect((await open().row('a')).value).to.equal(null)
    await database.close()
  })
})
