/** A process for the specs: locks a directory, or writes to a database until it is killed. Arguments: what, directory, binding. */
import { NO_HEADERS } from '../../lib/record.ts'
import { lockDirectory } from '../../lib/store/directory.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { Binding } from '../../lib/store/port.ts'
import { keyValueSpec, openState } from '../cases/storeKit.ts'

const [what, directory, binding] = process.argv.slice(2) as [string, string, Binding]

if (what === 'lock') {
  await lockDirectory(directory, { applicationId: 'shop', taskId: '0_3' })
  process.stdout.write('locked\n')
  setInterval(() => {}, 60_000) // stays until it is killed
} else {
  // Round n sets every key to n and moves the position to n: after a crash all keys and the position must tell the same n.
  const state = await openState(directory, databaseDriver(binding), [keyValueSpec('totals'), keyValueSpec('others')])
  const ids = Array.from({ length: 500 }, (_, i) => `key-${i}`)
  for (let round = (state.position('totals')?.next ?? 0) + 1; ; round++) {
    for (const store of state.stores) {
      await store.prefetch(ids)
      for (const id of ids) store.set(await store.row(id), round, round, NO_HEADERS)
      await store.flush(undefined)
    }
    state.setTime('input', round)
    await state.commit(
      new Map([
        ['totals', round],
        ['others', round]
      ])
    )
    process.stdout.write(`${round}\n`)
  }
}
