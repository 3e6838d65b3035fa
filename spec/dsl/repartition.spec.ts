/** repartition() in a running job: the topic has the count asked for, records lie where the partitioner says, each is counted once. */
import { expect } from 'chai'
import { createRuntime, string, topic, topology } from '../../actors/index.ts'
import { embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'

describe('repartition() in a job on the embedded log', function () {
  this.timeout(20_000)

  it('spreads one partition over five, by the partitioner given', async () => {
    const broker = embeddedBroker({})
    const transport = embeddedTransport({ broker, client: 'spec' })
    const state = await stateDirectory()
    const t = topology()
    t.stream(topic('in', string()))
      .repartition({ name: 'spread', partitions: 5, partitioner: ({ value }, count) => Number(value) % count })
      .groupByKey()
      .count({ name: 'n' })
      .toStream()
      .mapValues(String)
      .to(topic('out', string()))
    await createTopics(transport, { in: 1, out: 1 })
    const runtime = createRuntime({ id: 'job', topology: t, transport, stateDir: state.path, store: 'memory' })
    const app = await runtime.run()
    const out = await new Watcher(transport, 'out').start()
    try {
      const entries = Array.from({ length: 50 }, (_, i) => [`k${i % 10}`, String(i % 10)] as const)
      await publish(transport, 'in', entries)
      await until(() => Object.values(out.latest()).reduce((sum, n) => sum + n, 0) === 50, { what: 'all are counted' })
      expect(Object.keys(out.latest())).to.have.length(10)

      expect([
        ...(await transport.admin.partitions(['job-spread-repartition', 'job-n-changelog'])).values()
      ]).to.deep.equal([5, 5])
      const spread = await new Watcher(transport, 'job-spread-repartition').start()
      await spread.toEnd()
      expect(spread.seen).to.have.length(50)
      for (const { partition, value } of spread.seen) expect(partition).to.equal(Number(value) % 5)
      await spread.close()
    } finally {
      await out.close()
      await app.kill()
      await transport.close()
      await broker.close()
      await state.remove()
    }
  })
})
