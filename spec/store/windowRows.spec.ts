/** Expiry beside a commit: a window that gets into the database while it is looked for there must get its tombstone all the same. */
import { expect } from 'chai'
import { NO_HEADERS } from '../../lib/record.ts'
import { windowId } from '../../lib/store/bytes.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { Database, DatabaseDriver } from '../../lib/store/port.ts'
import type { WindowRowStore } from '../../lib/store/windowRows.ts'
import { altered, openState, temporary, windowSpec } from '../cases/storeKit.ts'

/** A driver whose next scan, once it is told to, has seen the database and gives what it saw when `go` is called. */
function slow(): { driver: DatabaseDriver; stop: () => { seen: Promise<void>; go: () => void } } {
  let gate: { open: Promise<void>; see: () => void } | undefined
  const driver = altered(databaseDriver('memory'), (database) => {
    const range = database.range.bind(database)
    database.range = async function* (options: Parameters<Database['range']>[0]) {
      const chunks = []
      for await (const chunk of range(options)) chunks.push(chunk)
      gate?.see()
      await gate?.open
      yield* chunks
    }
  })
  const stop = () => {
    let go = (): void => {}
    let see = (): void => {}
    const seen = new Promise<void>((resolve) => {
      see = resolve
    })
    const open = new Promise<void>((resolve) => {
      go = resolve
    })
    gate = { open, see }
    return { seen, go }
  }
  return { driver, stop }
}

describe('the rows of windows', () => {
  it('get their tombstones when their commit is through while expiry scans a database that did not have them', () =>
    temporary(async (directory) => {
      const { driver, stop } = slow()
      const state = await openState(directory, driver, [windowSpec('totals', 100)])
      const store = state.store('totals') as WindowRowStore<unknown>
      const log: string[] = []
      const sink = (key: Buffer, value: Buffer | null): void => {
        log.push(`${key.readUInt32BE(4)}/${key.toString('latin1', 8)}=${value}`)
      }
      store.set(store.known(windowId(10, 'k'), null), 1, 50, NO_HEADERS)
      await store.flush(sink) // the first half of a commit
      const { seen, go } = stop()
      const expired = store.expire(130)
      await seen
      await state.commit(new Map()) // its second half
      go()
      await expired
      await store.flush(sink)
      await state.commit(new Map())
      expect(log).to.eql(['10/k=1', '10/k=null'])
      await state.close()
    }))
})
