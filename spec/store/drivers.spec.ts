/** Every driver passes the same cases; what is special to one is below. */
import { expect } from 'chai'
import { ConfigError } from '../../lib/errors.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { Binding } from '../../lib/store/port.ts'
import { loadClassic } from '../../lib/store/rocksdb/classic.ts'
import { loadFault, openFault } from '../../lib/store/rocksdb/faults.ts'
import { storeCases } from '../cases/store.ts'

const NODE = Number(process.versions.node.split('.')[0])

for (const name of ['memory', 'rocksdb-native', 'rocksdb'] as const) {
  describe(`the store binding ${name}`, function () {
    if (name === 'rocksdb' && NODE >= 22) {
      it(
        `(cases skipped: rocksdb 5.2.1 aborts the process on Node ${process.versions.node}; only its refusal is checked below)`
      )
      return
    }
    this.timeout(20_000)
    storeCases(databaseDriver(name))
  })
}

describe('choosing a store binding', () => {
  it('refuses rocksdb on Node 22 and later before it could abort the process, and names the one to use', async () => {
    for (const node of ['22.0.0', '24.1.0']) {
      const error = await loadClassic(node).then(
        () => undefined,
        (reason: unknown) => reason as ConfigError
      )
      expect(error).to.be.instanceOf(ConfigError)
      expect(error?.code).to.equal('ERR_BINDING')
      expect(error?.message).to.contain('"rocksdb-native"').and.to.contain(node)
    }
  })

  it('suggests the nearest name for an unknown one', () => {
    expect(() => databaseDriver('rocksdb-nativ' as Binding)).to.throw(ConfigError, 'did you mean "rocksdb-native"?')
    expect(() => databaseDriver('constructor' as Binding)).to.throw(
      ConfigError,
      'There is no store binding "constructor"'
    )
  })

  it('says what to install when a system library or the package is missing', () => {
    const library = loadFault(new Error('libatomic.so.1: cannot open shared object file'), 'rocksdb-native', 'rocksdb')
    expect(library.message).to.contain('apt-get install libatomic1')
    const missing = loadFault(new Error("Cannot find package 'rocksdb'"), 'rocksdb', 'rocksdb-native')
    expect(missing.message).to.contain('npm install rocksdb').and.to.contain('"rocksdb-native"')
  })

  it('tells a damaged database from one that is locked', () => {
    expect(openFault(new Error('Corruption: bad magic number'), '/d').code).to.equal('ERR_STORE_CORRUPTED')
    expect(
      openFault(new Error('IO error: While lock file: /d/LOCK: Resource temporarily unavailable'), '/d').code
    ).to.equal('ERR_STATE_LOCKED')
    expect(openFault(new Error('No space left on device'), '/d').code).to.equal('ERR_STATE_DIRECTORY')
  })
})
