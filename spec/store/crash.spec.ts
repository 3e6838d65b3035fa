/** kill -9 while a task writes: data, position and saved times are always of the same commit. */
import { once } from 'node:events'
import { join } from 'node:path'
import { expect } from 'chai'
import { lockDirectory } from '../../lib/store/directory.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import { seededRandom } from '../../lib/time.ts'
import { collect, keyValueSpec, openState, temporary } from '../cases/storeKit.ts'
import { startHolder } from './child.ts'

const NODE = Number(process.versions.node.split('.')[0])

for (const binding of ['rocksdb-native', 'rocksdb'] as const) {
  describe(`a task over ${binding} that is killed with SIGKILL`, function () {
    this.timeout(60_000)
    if (binding === 'rocksdb' && NODE >= 22) {
      it(`(skipped: rocksdb 5.2.1 does not work on Node ${process.versions.node})`)
      return
    }

    it('has rows, positions and times of one and the same commit, and no acknowledged commit is lost', () =>
      temporary(async (root) => {
        const directory = join(root, '0_0')
        const random = seededRandom(7)
        let before = 0
        for (let life = 0; life < 4; life++) {
          const child = startHolder('write', directory, binding)
          let acknowledged = 0
          const rounds = 3 + Math.floor(random() * 40)
          child.lines.on('line', (line) => {
            acknowledged = Number(line)
          })
          while (acknowledged < before + rounds) await once(child.lines, 'line')
          await child.kill()
          // The lock of the dead is free, and the database opens.
          const lock = await lockDirectory(directory, { applicationId: 'shop', taskId: '0_0' })
          const state = await openState(directory, databaseDriver(binding), [
            keyValueSpec('totals'),
            keyValueSpec('others')
          ])
          const round = state.position('totals')!.next
          expect(round).to.be.at.least(acknowledged)
          expect(state.position('others')!.next).to.equal(round)
          expect(state.time('input')).to.equal(round)
          for (const store of state.stores) {
            const rows = await collect(store.scan({ from: '', to: undefined }))
            expect(rows.length).to.equal(500)
            expect([...new Set(rows.map((row) => row.value))]).to.eql([round])
          }
          await state.close()
          await lock.release()
          before = round
        }
      }))
  })
}
