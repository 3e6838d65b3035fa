/** The native module of the database is loaded while a job starts, if the job has something to keep. */
import { expect } from 'chai'
import { string, topic, topology } from '../../actors/index.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { DatabaseDriver } from '../../lib/store/port.ts'
import { embeddedJobs, stateDirectory } from './jobKit.ts'

const words = topic('in', { value: string() })

const through = () => {
  const t = topology()
  t.stream(words).to(topic('out', { value: string() }))
  return t
}
const counted = () => {
  const t = topology()
  t.stream(words).groupByKey().count({ name: 'counts' })
  return t
}
const global = () => {
  const t = topology()
  t.globalTable(words, { name: 'all' })
  t.stream(topic('out', { value: string() })).peek(() => {})
  return t
}

describe('a job that starts', function () {
  this.timeout(20_000)
  const jobs = embeddedJobs({ in: 1, out: 1 })
  const driver = databaseDriver('rocksdb-native') as { load: DatabaseDriver['load'] }
  const { load } = driver
  afterEach(() => {
    driver.load = load
  })

  for (const [what, build, times] of [
    ['a store', counted, 1],
    ['a global table', global, 1],
    ['nothing to keep', through, 0]
  ] as const) {
    it(`loads the native module ${times === 0 ? 'not' : 'early'} when it has ${what}`, async () => {
      let loads = 0
      driver.load = () => {
        loads++
      }
      const state = await stateDirectory()
      jobs.closers.push(() => state.remove())
      const runtime = await jobs
        .runtime('one', { topology: build(), store: 'rocksdb-native', stateDir: state.path })
        .run({ signals: false })
      await runtime.drain()
      expect(loads).to.equal(times)
    })
  }
})
