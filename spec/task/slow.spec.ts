/** An operator that holds the event loop is named to the log. */
import { expect } from 'chai'
import { createRuntime, string, topic, topology } from '../../actors/index.ts'
import { embeddedTransport } from '../../lib/embedded/index.ts'
import { SILENT } from '../../lib/options/options.ts'
import { until } from '../../lib/testing/until.ts'
import { stopwatch } from '../../lib/time.ts'
import { Meter } from '../../lib/topology/meter.ts'
import { createTopics, publish, stateDirectory } from '../actors/jobKit.ts'

const busy = (ms: number): void => {
  const began = stopwatch()
  while (stopwatch() - began < ms);
}

describe('A record that takes long', () => {
  it('is told with its source, and when it happens again with the operator that takes the time', async function () {
    this.timeout(20_000)
    const transport = embeddedTransport()
    const state = await stateDirectory()
    const warnings: { node?: string; source?: string; text: string }[] = []
    const warn = (facts: object, text: string): void => void warnings.push({ ...facts, text })
    await createTopics(transport, { words: 1, out: 1 })
    const t = topology()
    t.stream(topic('words', string()))
      .filter(() => true, { name: 'light' })
      .mapValues(
        (word) => {
          busy(30)
          return word
        },
        { name: 'heavy' }
      )
      .peek(() => {}, { name: 'last' })
      .to(topic('out', string()))
    await publish(
      transport,
      'words',
      Array.from({ length: 40 }, (_, i): [string, string] => [`${i}`, 'x'])
    )
    const logger = { ...SILENT, warn }
    const runtime = await createRuntime({ id: 'job', topology: t, transport, stateDir: state.path, logger }).run({
      signals: false
    })
    const slow = () => warnings.filter(({ text }) => text.includes('held the event loop'))
    await until(() => slow().length >= 2, { timeoutMs: 15_000 })
    await runtime.kill()
    expect(slow()[0]).to.deep.include({ source: 'words-source' })
    expect(slow()[0]!.text).to.match(
      /held the event loop for \d+ ms with records of source "words-source"\. .*make the operators behind it lighter/
    )
    expect(slow()[1]).to.deep.include({ source: 'words-source', node: 'heavy' })
    expect(slow()[1]!.text).to.match(/Most of the time goes to "heavy"\. .*make it lighter/)
    await transport.close()
    await state.remove()
  })

  it('is charged to the operator itself, not to those in front of it', () => {
    const meter = new Meter()
    const last = meter.wrap('last', { process: () => busy(5) })
    const first = meter.wrap('first', { process: (record) => last.process(record) })
    const failing = meter.wrap('failing', {
      process() {
        busy(1)
        throw new Error('user bug')
      }
    })
    first.process({} as never)
    expect(() => failing.process({} as never)).to.throw('user bug')
    expect(meter.slowest?.node).to.equal('last')
    expect(meter.slowest?.ms).to.be.within(4, 50)
  })
})
