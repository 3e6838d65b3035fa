/**
 * Tasks move between processes on a real Kafka, exactly-once, under load: two processes, then a third, then one leaves. Claims:
 * - every task is live in one process at each stage, spread within one;
 * - tasks that stay where they are never stop: the longest pause between two of their records is measured;
 * - state follows: counts go on where they were, each value of each key exactly once and in order.
 */
import { expect } from 'chai'
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { createTopics, stateDirectory, Watcher } from '../actors/jobKit.ts'
import { balanced, JobProcess } from './jobProcesses.ts'
import { Load } from './load.ts'
import { broker, uniqueName } from './support.ts'

const PARTITIONS = 6
const KEYS = 5

describe('migration of tasks', function () {
  this.timeout(180_000)
  let brokers: string[]
  let transport: Transport
  let state: Awaited<ReturnType<typeof stateDirectory>>
  const processes: JobProcess[] = []

  before(async () => {
    brokers = (await broker()).brokers
    transport = createTransport(kafkajsWire({ brokers }), { clock: systemClock, random: systemRandom })
    state = await stateDirectory()
  })
  after(async () => {
    for (const p of processes) if (p.child.exitCode === null && p.child.signalCode === null) await p.kill()
    await transport?.close()
    await state?.remove()
  })

  it('moves tasks to a third process and away from one that leaves, stops no task that stays, and counts exactly', async () => {
    const [id, input, output] = [uniqueName('job'), uniqueName('in'), uniqueName('out')]
    await createTopics(transport, { [input]: PARTITIONS, [output]: PARTITIONS })
    const start = (name: string): JobProcess => {
      const p = new JobProcess({ id, brokers, stateDir: `${state.path}/${name}`, input, output })
      processes.push(p)
      return p
    }
    const totals = await new Watcher(transport, output).start()
    const load = await Load.start(transport, input, PARTITIONS, KEYS)

    const a = start('a')
    const b = start('b')
    await balanced(PARTITIONS, a, b)
    const [beforeA, beforeB] = [a.live, b.live]
    a.mark()
    b.mark()
    const marked = systemClock.now()

    const c = start('c')
    await balanced(PARTITIONS, a, b, c)
    const keptA = a.live.filter((task) => beforeA.includes(task))
    const keptB = b.live.filter((task) => beforeB.includes(task))
    expect(keptA.length + keptB.length).to.equal(4, 'no task moved but the two for the newcomer')
    const gapsA = await a.gaps()

    const keptC = c.live
    c.mark()
    const [leaving] = [a.live]
    expect(await a.terminate()).to.equal(0, a.stderr)
    await balanced(PARTITIONS, b, c)
    const gapsB = await b.gaps()
    const gapsC = await c.gaps()
    await load.settle(totals)
    const end = systemClock.now()
    await load.stop()
    await load.settle(totals)
    await totals.toEnd()

    const ofTasks = (tasks: string[], gaps: Record<string, number>): number[] =>
      tasks.map((task) => gaps[task.split('_')[1]!]!)
    const staying = [...ofTasks(keptA, gapsA), ...ofTasks(keptB, gapsB), ...ofTasks(keptC, gapsC)]
    const visible = (tasks: string[]): number =>
      Math.max(...tasks.map((task) => longestPause(totals, Number(task.split('_')[1]), marked, end)))
    console.log(
      `      longest pause of tasks that stay: ${Math.max(...staying).toFixed(0)} ms between records, ${visible(keptB).toFixed(0)} ms between committed outputs; ` +
        `of tasks that move: ${visible(leaving!).toFixed(0)} ms`
    )
    expect(staying).to.have.length(6)
    expect(Math.max(...staying)).to.be.below(1_000)

    load.expectExact(totals)
    await totals.close()
    expect(await b.terminate()).to.equal(0, b.stderr)
    expect(await c.terminate()).to.equal(0, c.stderr)
  })

  it('takes the tasks of a killed process over with their state, and counts exactly', async () => {
    const [id, input, output] = [uniqueName('job'), uniqueName('in'), uniqueName('out')]
    await createTopics(transport, { [input]: PARTITIONS, [output]: PARTITIONS })
    const start = (name: string): JobProcess => {
      const p = new JobProcess({ id, brokers, stateDir: `${state.path}/k-${name}`, input, output })
      processes.push(p)
      return p
    }
    const totals = await new Watcher(transport, output).start()
    const load = await Load.start(transport, input, PARTITIONS, KEYS)
    const a = start('a')
    const b = start('b')
    await balanced(PARTITIONS, a, b)
    await load.settle(totals)
    await a.kill()
    await balanced(PARTITIONS, b)
    await load.stop()
    await load.settle(totals)
    await totals.toEnd()
    load.expectExact(totals)
    await totals.close()
    expect(await b.terminate()).to.equal(0, b.stderr)
  })
})

function longestPause(watcher: Watcher, partition: number, from: number, to: number): number {
  const times = watcher.seen.filter((r) => r.partition === partition && r.at >= from && r.at <= to).map((r) => r.at)
  return Math.max(0, ...times.slice(1).map((at, i) => at - times[i]!))
}
