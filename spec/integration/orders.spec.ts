/**
 * The orders example on a real Kafka. Claims: every record is there once; also when the job is killed (SIGKILL) between the setting of its timers and
 * their time, and a process with an empty disk takes over; nothing stays behind on the broker.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import { broker } from './support.ts'

const launcher = fileURLToPath(new URL('../../examples/launch.mjs', import.meta.url))

describe('the orders example on Kafka', function () {
  this.timeout(120_000)
  let brokers: string[]
  before(async () => {
    brokers = (await broker()).brokers
  })

  async function run(...args: string[]): Promise<string> {
    const child = spawn(process.execPath, [
      launcher,
      'orders',
      '--brokers',
      brokers.join(','),
      '--orders',
      '400',
      ...args
    ])
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => (output += bytes.toString()))
    const [status] = (await once(child, 'close')) as [number | null]
    expect(status, output).to.equal(0)
    return output
  }

  afterEach(async () => {
    const transport = kafkaTransport({ brokers })
    const left = (await transport.admin.topics()).filter((topic) => topic.startsWith('millrace-orders-'))
    await transport.close()
    expect(left).to.deep.equal([])
  })

  it('has every record once', async () => {
    expect(await run()).to.match(/exact: (\d+) of \1 records, each once/)
  })

  it('--crash: timers that were set before the kill fire after it, each once', async () => {
    const output = await run('--crash')
    expect(output).to.match(/exact: (\d+) of \1 records, each once/)
    expect(Number(/(\d+) timers were set before the kill and fired after it/.exec(output)?.[1])).to.be.above(10)
  })
})
