/** Two processes that are started in one folder have one state directory. Claim: standbys do not take it from who works there. */
import { expect } from 'chai'
import { type RunningRuntime, string, topic, topology } from '../../actors/index.ts'
import { until } from '../../lib/testing/until.ts'
import { embeddedJobs, publish, stateDirectory } from './jobKit.ts'

describe('Processes with one state directory', function () {
  this.timeout(30_000)
  const jobs = embeddedJobs({ in: 4, out: 4 })

  it('share the work though they are to have standbys, and are told that none can be placed', async () => {
    const state = await stateDirectory()
    jobs.closers.push(() => state.remove())
    const warned: string[] = []
    const warn = (_: object, message: string): void => void warned.push(message)
    const running: RunningRuntime[] = []
    const failed: unknown[] = []
    await publish(
      jobs.transport,
      'in',
      [...Array(200).keys()].map((i) => [`k${i}`, 'x'] as const)
    )
    for (const name of ['a', 'b']) {
      const t = topology()
      t.stream(topic('in', string())).groupByKey().count({ name: 'counts' })
      const logger = { debug() {}, info() {}, warn, error() {} }
      const options = { topology: t, store: 'rocksdb-native' as const, stateDir: state.path, standbys: 1, logger }
      const app = await jobs.runtime(name, options).run({ signals: false })
      app.stopped.catch((error) => failed.push(error))
      jobs.closers.push(() => app.drain().catch(() => {}))
      running.push(app)
    }
    const settled = ({ state, tasks }: RunningRuntime): boolean =>
      state === 'member.steady' && Object.keys(tasks).length === 2
    await until(() => failed.length > 0 || running.every(settled), { timeoutMs: 10_000, what: 'each runs two tasks' })
    expect(failed).to.deep.equal([])
    expect(warned.join('\n')).to.include('No standby can be placed').and.not.to.include('is opened again')
  })
})
