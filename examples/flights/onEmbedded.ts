/** The job on the embedded log: broker, publisher, job and check in one process. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime } from '../../actors/index.ts'
import { embeddedTransport } from '../../lib/embedded/index.ts'
import type { Figures } from './expected.ts'
import { publishAirports, publishFlights } from './publish.ts'
import { Results } from './results.ts'
import { progressBar } from './screen.ts'
import { createTopics } from './topics.ts'
import { flightsTopology } from './topology.ts'
import { type Input, pace, whenCounted } from './watch.ts'

export async function onEmbedded({ flights, airports, seconds, signal }: Input): Promise<Figures> {
  console.error(`${flights.length.toLocaleString('en')} flights on the embedded log, exactly-once`)
  const name = (topic: string): string => topic
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-demo-'))
  const transport = embeddedTransport()
  const bar = progressBar(flights.length)
  try {
    await createTopics(transport, name)
    await publishAirports(transport, name, airports)
    const runtime = createRuntime({
      id: 'flights',
      topology: flightsTopology(name),
      transport,
      stateDir,
      guarantee: 'exactly-once'
    })
    await using app = await runtime.run({ signal, signals: false })
    const failed = app.stopped.then(() => {
      throw new Error('The job stopped before everything was counted.')
    })
    failed.catch(() => {})
    const results = new Results(transport, name, (error) => console.error(error))
    await results.start()
    const counted = whenCounted(results, flights.length, (done) => bar.update(done, ''))
    await Promise.race([Promise.all([publishFlights(transport, name, flights, pace(seconds)), counted]), failed])
    await app.drain()
    await results.toEnd()
    await results.close()
    return results.figures
  } finally {
    bar.stop()
    await transport.close()
    await rm(stateDir, { recursive: true, force: true })
  }
}
