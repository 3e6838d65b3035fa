/** The backend's machine: what it does when the job fails. */
import { expect } from 'chai'
import { createActor, fromPromise, toPromise } from 'xstate'
import { createRuntime, embeddedTransport } from '../../actors/index.ts'
import { backendMachine } from '../../examples/backend/backend.ts'
import { customers, ordersTopic, totalsTopic } from '../../examples/embedding/job.ts'
import { until } from '../../lib/testing/until.ts'

describe('The example backend', function () {
  this.timeout(30_000)

  it('goes on serving when its job fails, starts it again later, and is done when it has drained', async () => {
    const transport = embeddedTransport()
    const runtime = createRuntime({ id: 'shop', topology: customers, transport, store: 'memory' })
    let serving = 0
    const http = fromPromise<void>(async ({ signal }) => {
      serving++
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      serving--
    })
    const reported: unknown[] = []
    const machine = backendMachine({ job: runtime.logic, http })
    expect(machine.implementations.delays).to.deep.equal({ rebuild: 30_000 })
    const backend = createActor(
      machine.provide({
        actions: { report: (_, { error }) => reported.push(error) },
        delays: { rebuild: 100 }
      })
    ).start()
    try {
      await until(() => backend.getSnapshot().matches({ serving: 'degraded' }))
      expect(reported[0]).to.include({ code: 'ERR_MISSING_TOPIC' })
      expect(serving).to.equal(1)
      const topics = [ordersTopic, totalsTopic].map(({ name }) => ({ topic: name, partitions: 1, replication: 1 }))
      await transport.admin.create(topics.map((topic) => ({ ...topic, config: {} })))
      await until(() => backend.system.get('job')?.getSnapshot().hasTag('healthy'))
      expect(serving).to.equal(1)
      backend.send({ type: 'SIGTERM' })
      await toPromise(backend)
      expect(backend.getSnapshot().value).to.equal('down')
      await until(() => serving === 0)
    } finally {
      backend.stop()
      await transport.close()
    }
  })
})
