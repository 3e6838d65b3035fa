/**
 * What a user does wrong, as processes on a real Kafka: each ends by itself with a non-zero code and one error that carries a code, what
 * happened and what to do; offsets are not committed past what was not processed.
 */
import { expect } from 'chai'
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { lockDirectory } from '../../lib/store/directory.ts'
import { until } from '../../lib/testing/until.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'
import type { JobArguments } from './jobProcess.ts'
import { balanced, JobProcess } from './jobProcesses.ts'
import { broker, uniqueName } from './support.ts'

describe('bad input', function () {
  this.timeout(60_000)
  let brokers: string[]
  let transport: Transport
  let state: Awaited<ReturnType<typeof stateDirectory>>
  let args: JobArguments
  const processes: JobProcess[] = []

  before(async () => {
    brokers = (await broker()).brokers
    transport = createTransport(kafkajsWire({ brokers }), { clock: systemClock, random: systemRandom })
    state = await stateDirectory()
  })
  beforeEach(() => {
    const id = uniqueName('bad')
    args = { id, brokers, stateDir: `${state.path}/${id}`, input: `${id}-in`, output: `${id}-out` }
  })
  after(async () => {
    for (const p of processes) if (p.child.exitCode === null && p.child.signalCode === null) await p.kill()
    await transport?.close()
    await state?.remove()
  })

  const start = (more: Partial<JobArguments> = {}): JobProcess => {
    const p = new JobProcess({ ...args, ...more })
    processes.push(p)
    return p
  }

  /** Ends by itself, non-zero, with that code named once and each text in its message. */
  const expectFailure = async (p: JobProcess, code: string, ...texts: (string | RegExp)[]): Promise<void> => {
    expect(await p.exited, p.stderr).to.equal(1)
    expect(p.stderr.match(/^\S*Error.*: /gm), p.stderr).to.have.length(1)
    expect(p.stderr.match(new RegExp(`code: '${code}'`, 'g')), p.stderr).to.have.length(1)
    for (const text of texts) expect(p.stderr).to.match(typeof text === 'string' ? new RegExp(text) : text)
  }

  const committed = async (): Promise<number> =>
    (await transport.committed(args.id, [{ topic: args.input, partition: 0 }])).get(`${args.input}-0`)?.offset ?? 0

  it('an unreachable broker: ERR_BROKER_UNREACHABLE within the time given', async () => {
    const began = systemClock.now()
    const p = start({ brokers: ['127.0.0.1:1'], reachTimeoutMs: 1_500 })
    await expectFailure(p, 'ERR_BROKER_UNREACHABLE', '127.0.0.1:1')
    expect(systemClock.now() - began).to.be.below(15_000)
  })

  it('a missing source topic: ERR_MISSING_TOPIC with the nearest name', async () => {
    await createTopics(transport, { [`${args.input}s`]: 1, [args.output]: 1 })
    await expectFailure(
      start(),
      'ERR_MISSING_TOPIC',
      `source topic "${args.input}" .did you mean "${args.input}s"`,
      'Create it'
    )
  })

  it('a join of topics with different counts: ERR_COPARTITION with both counts', async () => {
    const table = `${args.id}-table`
    await createTopics(transport, { [args.input]: 2, [table]: 3, [args.output]: 1 })
    await expectFailure(start({ table }), 'ERR_COPARTITION', `${args.input} .2.`, `${table} .3.`, 'equal counts')
  })

  it('a value that does not decode: ERR_DECODE with topic, partition and offset; the offset is not committed past it', async () => {
    await createTopics(transport, { [args.input]: 1, [args.output]: 1 })
    await publish(transport, args.input, [
      ['a', '{"n":1}'],
      ['b', 'not json'],
      ['c', '{"n":3}']
    ])
    await expectFailure(
      start({ fault: 'decode' }),
      'ERR_DECODE',
      'not json',
      `topic: '${args.input}'`,
      'partition: 0',
      'offset: 1'
    )
    expect(await committed()).to.be.at.most(1)
    // Nothing is lost: with a serde that fits, the job goes on at the record.
    const fixed = start()
    await balanced(1, fixed)
    const totals = await new Watcher(transport, args.output).start()
    const keys = (): string[] => totals.seen.map((r) => r.key)
    await until(() => keys().includes('b') && keys().includes('c'), { what: () => `b and c come out: ${keys()}` })
    expect(await fixed.terminate()).to.equal(0, fixed.stderr)
    await totals.close()
  })

  it('a value that does not encode: ERR_ENCODE; nothing is committed', async () => {
    await createTopics(transport, { [args.input]: 1, [args.output]: 1 })
    await publish(transport, args.input, [['a', 'x']])
    await expectFailure(start({ fault: 'encode' }), 'ERR_ENCODE', 'BigInt')
    expect(await committed()).to.equal(0)
  })

  it('a locked state directory: ERR_STATE_LOCKED with the directory', async () => {
    await createTopics(transport, { [args.input]: 1, [args.output]: 1 })
    const lock = await lockDirectory(`${args.stateDir}/0_0`, {
      applicationId: args.id,
      taskId: '0_0',
      clock: systemClock
    })
    try {
      await expectFailure(start(), 'ERR_STATE_LOCKED', '0_0')
    } finally {
      await lock.release()
    }
  })

  it('a state directory of another job: ERR_STATE_FOREIGN with both names', async () => {
    await createTopics(transport, { [args.input]: 1, [args.output]: 1 })
    const owner = start()
    await balanced(1, owner)
    expect(await owner.terminate()).to.equal(0, owner.stderr)
    const other = uniqueName('other')
    await expectFailure(start({ id: other }), 'ERR_STATE_FOREIGN', other, args.id)
  })

  it('an unknown option: ERR_UNKNOWN_OPTION with the nearest name', async () => {
    await expectFailure(start({ fault: 'option' }), 'ERR_UNKNOWN_OPTION', 'Did you mean "commitInterval"')
  })
})
