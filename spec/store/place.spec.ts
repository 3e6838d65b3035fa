/** Whether two processes have one state directory. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { placeOf } from '../../lib/store/place.ts'
import { temporary } from '../cases/storeKit.ts'

describe('the place of a process', () => {
  it('is one for all that have the directory, whoever came first, and another elsewhere', () =>
    temporary(async (directory) => {
      const [here, there] = [join(directory, 'here', 'job'), join(directory, 'there')]
      expect(placeOf(here, 'first', true)).to.equal('first')
      expect(placeOf(here, 'second', true)).to.equal('first')
      expect(placeOf(here, 'third', false)).to.equal('first')
      expect(placeOf(there, 'fourth', true)).to.equal('fourth')
    }))

  it('is the process alone where nothing is named, and makes no directory for it', () =>
    temporary(async (directory) => {
      const nowhere = join(directory, 'nowhere')
      expect(placeOf(nowhere, 'me', false)).to.equal('me')
      expect(existsSync(nowhere)).to.equal(false)
      expect(placeOf('/dev/null/no', 'me', true)).to.equal('me')
    }))
})
