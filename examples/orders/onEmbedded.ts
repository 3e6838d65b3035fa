/** The week on the embedded log: shop, job and check in one process. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime, embeddedTransport } from '../../actors/index.ts'
import { type Name, orders } from './job.ts'
import { caughtUp, createTopics, passTime, publish, readOutputs } from './topics.ts'
import { END, type Happening } from './week.ts'

export async function onEmbedded(happenings: readonly Happening[]): Promise<string[]> {
  const name: Name = (topic) => topic
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-orders-'))
  const transport = embeddedTransport()
  try {
    await createTopics(transport, name)
    await publish(transport, name, happenings)
    await passTime(transport, name, END)
    const runtime = createRuntime({
      id: 'shop',
      topology: orders(name),
      transport,
      stateDir,
      guarantee: 'exactly-once'
    })
    await using app = await runtime.run({ signals: false })
    const failed = app.stopped.then(() => {
      throw new Error('The job stopped before it was through.')
    })
    failed.catch(() => {})
    await Promise.race([caughtUp(transport, name, 'shop'), failed])
    await app.drain()
    return await readOutputs(transport, name)
  } finally {
    await transport.close()
    await rm(stateDir, { recursive: true, force: true })
  }
}
