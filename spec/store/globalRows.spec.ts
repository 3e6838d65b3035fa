/** The cache of a global table's rows: what readers see while a newer row is written, and its bound. */
import { expect } from 'chai'
import { RecordSet } from '../../lib/record.ts'
import { string } from '../../lib/serde/index.ts'
import { localKey, rowBytes } from '../../lib/store/bytes.ts'
import { cacheBudget } from '../../lib/store/cache/budget.ts'
import { GlobalRows } from '../../lib/store/globalRows.ts'
import type { Database, StoreSpec } from '../../lib/store/port.ts'

const spec = { name: 'g', kind: 'keyValue', key: string(), value: string(), caching: false, logged: false } as const
const row = (value: string): Buffer => rowBytes(1, Buffer.from(value))

/** Answers reads when told to. */
class SlowDatabase {
  readonly asked: { key: string; answer: (value: Buffer | null) => void; fail: (error: Error) => void }[] = []
  get(key: Buffer): Promise<Buffer | null> {
    return new Promise((answer, fail) => this.asked.push({ key: key.toString('latin1', 2), answer, fail }))
  }
}
const rowsOver = (database: unknown, limit = 1 << 20) =>
  new GlobalRows(spec as unknown as StoreSpec<unknown, string>, 1, database as Database, cacheBudget(limit))

const setOf = (key: string): RecordSet => {
  const set = new RecordSet(Buffer.from(key), 1)
  set.keyEnd[0] = key.length
  set.valueEnd[0] = -1
  set.count = 1
  return set
}

describe('Rows of a global table', () => {
  it('are read once for all who ask, and then answered at once', async () => {
    const database = new SlowDatabase()
    const rows = rowsOver(database)
    const [a, b] = [rows.row('k'), rows.row('k')]
    expect(database.asked.map(({ key }) => key)).to.deep.equal(['k'])
    database.asked[0]!.answer(row('one'))
    expect([(await a).value, (await b).value]).to.deep.equal(['one', 'one'])
    expect(rows.row('k')).to.have.property('value', 'one')
  })

  it('are read anew behind a write, though an older read ends after it', async () => {
    const database = new SlowDatabase()
    const rows = rowsOver(database)
    const old = rows.row('k')
    rows.written(setOf('k'))
    const fresh = rows.row('k')
    database.asked[1]!.answer(row('new'))
    expect((await fresh).value).to.equal('new')
    database.asked[0]!.answer(row('old'))
    expect((await old).value).to.equal('old') // what it was when he asked
    expect(rows.row('k')).to.have.property('value', 'new')
  })

  it('are asked for again after a read that failed', async () => {
    const database = new SlowDatabase()
    const rows = rowsOver(database)
    const failing = Promise.resolve(rows.row('k')).catch((error: Error) => error.message)
    database.asked[0]!.fail(new Error('disk'))
    expect(await failing).to.equal('disk')
    const again = rows.row('k')
    database.asked[1]!.answer(null)
    expect((await again).value).to.equal(null)
    expect(rows.row('k'), 'an absent row is known too').to.have.property('value', null)
  })

  it('stay within the budget, which forgets them at the end', () => {
    const database = { get: (key: Buffer) => (key.equals(localKey(1, 'none')) ? null : row('x'.repeat(100))) }
    const budget = cacheBudget(50_000)
    const rows = new GlobalRows(
      spec as unknown as StoreSpec<unknown, string>,
      1,
      database as unknown as Database,
      budget
    )
    for (let i = 0; i < 2_000; i++) expect(rows.row(`k${i}`)).to.have.property('value')
    expect(budget.used).to.be.within(10_000, 51_000)
    expect(rows.bytes).to.equal(budget.used)
    rows.release()
    expect(budget.used).to.equal(0)
  })
})
