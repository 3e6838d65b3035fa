/**
 * Three processes of an exactly-once job on a real Kafka of their own, under load, in a storm: SIGKILL, SIGSTOP for longer than the session and SIGCONT
 * (a zombie wakes up with open transactions, old state and an old generation), SIGTERM, and the broker killed and restarted. Claim: every count
 * of every key comes out once and in order, nothing is missing, no process ends that was not told to.
 * The order of the blows is drawn from a seed, which is printed: CHAOS_SEED=17 repeats the order, not the timing.
 */
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { type KafkaHandle, startKafka } from '../../lib/testing/kafka.ts'
import { delay, seededRandom, systemClock, systemRandom } from '../../lib/time.ts'
import { createTopics, stateDirectory, Watcher } from '../actors/jobKit.ts'
import { balanced, JobProcess } from './jobProcesses.ts'
import { Load } from './load.ts'
import { uniqueName } from './support.ts'

const PARTITIONS = 6
const KEYS = 5
const SESSION_MS = 2_400
const SEED = Number(process.env.CHAOS_SEED ?? Math.floor(systemRandom() * 1e6))

describe('processes in a storm', function () {
  this.timeout(180_000)
  let kafka: KafkaHandle
  let transport: Transport
  let state: Awaited<ReturnType<typeof stateDirectory>>
  const processes = new Map<string, JobProcess>()

  before(async () => {
    kafka = await startKafka({ own: true, config: { 'group.min.session.timeout.ms': '1000' } })
    transport = createTransport(kafkajsWire({ brokers: kafka.brokers }), { clock: systemClock, random: systemRandom })
    state = await stateDirectory()
  })
  after(async () => {
    for (const p of processes.values()) if (p.child.exitCode === null && p.child.signalCode === null) await p.kill()
    await transport?.close()
    await kafka?.stop()
    await state?.remove()
  })

  it(`count exactly through kills, zombies, a drain and a broker that restarts (seed ${SEED})`, async () => {
    const [id, input, output] = [uniqueName('job'), uniqueName('in'), uniqueName('out')]
    await createTopics(transport, { [input]: PARTITIONS, [output]: PARTITIONS })
    const random = seededRandom(SEED)
    let lives = 0
    const start = (name: string): void => {
      // On its old disk, or as a new machine.
      const stateDir = `${state.path}/${random() < 0.7 ? name : `${name}-${++lives}`}`
      processes.set(
        name,
        new JobProcess({ id, brokers: kafka.brokers, stateDir, input, output, sessionMs: SESSION_MS })
      )
    }
    const stop = (name: string): void => void processes.get(name)!.child.kill('SIGSTOP')
    const wake = (name: string): void => void processes.get(name)!.child.kill('SIGCONT')
    const all = (): Promise<unknown> => balanced(PARTITIONS, ...processes.values())
    const one = (): string => ['a', 'b', 'c'][Math.floor(random() * 3)]!

    for (const name of ['a', 'b', 'c']) start(name)
    const totals = await new Watcher(transport, output).start()
    await all()
    const load = await Load.start(transport, input, PARTITIONS, KEYS)

    const blows: Record<string, () => Promise<void>> = {
      kill: async () => {
        const name = one()
        await processes.get(name)!.kill()
        start(name)
      },
      zombie: async () => {
        const name = one()
        stop(name)
        await delay(systemClock, SESSION_MS * 2)
        wake(name)
      },
      'zombie while another is killed': async () => {
        const name = one()
        const other = name === 'a' ? 'b' : 'a'
        stop(name)
        await processes.get(other)!.kill()
        await delay(systemClock, SESSION_MS * 1.5)
        wake(name)
        start(other)
      },
      drain: async () => {
        const name = one()
        const code = await processes.get(name)!.terminate()
        if (code !== 0) throw new Error(`${name} ended with ${code}: ${processes.get(name)!.stderr}`)
        start(name)
      },
      'broker restarts': async () => {
        // A process that starts without a broker ends by itself (ERR_BROKER_UNREACHABLE), as it should.
        await all()
        await kafka.nodes![0]!.kill()
        await kafka.nodes![0]!.restart()
      }
    }
    const order = Object.keys(blows)
      .map((blow) => ({ blow, at: random() }))
      .sort((x, y) => x.at - y.at)
    for (const { blow } of order) {
      const began = systemClock.now()
      if (process.env.JOB_LOG) console.log(`      ${new Date(began).toISOString().slice(14)} ${blow}`)
      await blows[blow]!()
      // Half of the time the next blow falls before the last one is mended.
      if (random() < 0.5) await all()
      console.log(`      ${blow}: ${systemClock.now() - began} ms`)
    }
    await all()
    await load.stop()
    await load.settle(totals)
    await totals.toEnd()
    load.expectExact(totals)
    // Read again in one go: other cuts of the log, the same records.
    const again = await new Watcher(transport, output).start()
    await again.toEnd()
    load.expectExact(again)
    await again.close()
    await totals.close()
    for (const p of processes.values()) {
      const code = await p.terminate()
      if (code !== 0) throw new Error(`a process ended with ${code}: ${p.stderr}`)
    }
  })
})
