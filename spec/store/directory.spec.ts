/** The lock of a task's directory: one holder, gone with its process. */
import { once } from 'node:events'
import { symlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { StateDirectoryError } from '../../lib/errors.ts'
import { type DirectoryLock, lockDirectory } from '../../lib/store/directory.ts'
import { temporary } from '../cases/storeKit.ts'
import { startHolder } from './child.ts'

const owner = { applicationId: 'shop', taskId: '0_1' }

const refused = async (lock: Promise<DirectoryLock>): Promise<StateDirectoryError> => {
  const error = await lock.then(
    () => undefined,
    (reason: unknown) => reason
  )
  expect(error).to.be.instanceOf(StateDirectoryError)
  return error as StateDirectoryError
}

describe('the lock of a state directory', function () {
  this.timeout(20_000)

  it('refuses a second task of this process, also by another path, until the first released it', () =>
    temporary(async (root) => {
      const directory = join(root, 'shop', '0_1')
      const lock = await lockDirectory(directory, owner)
      await symlink(join(root, 'shop'), join(root, 'alias'))
      for (const path of [directory, join(root, 'alias', '0_1'), join(root, 'shop', '..', 'shop', '0_1')]) {
        const error = await refused(lockDirectory(path, { ...owner, taskId: '0_2' }))
        expect(error.code).to.equal('ERR_STATE_LOCKED')
        expect(error.message).to.contain(`pid ${process.pid}`).and.to.contain('task 0_1')
        expect(error.details).to.include({ pid: process.pid, host: hostname() })
      }
      await lock.release()
      await lock.release()
      const again = await lockDirectory(directory, owner)
      await again.release()
    }))

  it('locks different directories apart', () =>
    temporary(async (root) => {
      const locks = await Promise.all([0, 1, 2].map((i) => lockDirectory(join(root, `0_${i}`), owner)))
      for (const lock of locks) await lock.release()
    }))

  it('gives the lock to exactly one of many who ask at the same time', () =>
    temporary(async (root) => {
      const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockDirectory(join(root, 't'), owner)))
      const won = results.filter((result) => result.status === 'fulfilled')
      expect(won.length).to.equal(1)
      await won[0]!.value.release()
    }))

  it('refuses while another process holds it, naming its pid and host, and takes over when that one was SIGKILLed', () =>
    temporary(async (root) => {
      const directory = join(root, '0_3')
      const child = startHolder('lock', directory)
      try {
        await once(child.lines, 'line')
        const error = await refused(lockDirectory(directory, owner))
        expect(error.code).to.equal('ERR_STATE_LOCKED')
        expect(error.message).to.contain(
          `process ${child.process.pid} on ${hostname()} (task 0_3 of application "shop")`
        )
        // A stopped process still holds its state; it cannot answer, but it is written down.
        child.process.kill('SIGSTOP')
        const stopped = await refused(lockDirectory(directory, owner))
        expect(stopped.details).to.include({ pid: child.process.pid })
      } finally {
        await child.kill()
      }
      const lock = await lockDirectory(directory, owner)
      await lock.release()
    }))

  it('says what is wrong with a directory that cannot be made', () =>
    temporary(async (root) => {
      await writeFile(join(root, 'file'), '')
      for (const directory of [join(root, 'file'), join(root, 'file', 'below')]) {
        const error = await refused(lockDirectory(directory, owner))
        expect(error.code).to.equal('ERR_STATE_DIRECTORY')
        expect(error.message).to.contain(directory).and.to.contain('stateDir')
      }
      if (process.platform === 'linux') {
        const error = await refused(lockDirectory('/sys/millrace/state', owner)) // read-only for root too
        expect(error.code).to.equal('ERR_STATE_DIRECTORY')
      }
    }))
})
