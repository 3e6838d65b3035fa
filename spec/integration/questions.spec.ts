/** Questions to behaviours of a job on a real Kafka: answered by the process that has the key, asks after the commit that holds them. */
import { expect } from 'chai'
import {
  createRuntime,
  defineBehaviour,
  json,
  kafkaTransport,
  NotOwnerError,
  string,
  topic
} from '../../actors/index.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'
import { broker, uniqueName } from './support.ts'

const KEYS = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gil', 'hal']
const PARTITIONS = 4

describe('questions to a job on Kafka', function () {
  this.timeout(60_000)
  const closers: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })

  for (const guarantee of ['at-least-once', 'exactly-once'] as const) {
    it(`are answered where the key is; a reply is heard when what was emitted is committed, ${guarantee}`, async () => {
      const { brokers } = await broker()
      const [id, words, totals] = [uniqueName('asked'), uniqueName('words'), uniqueName('totals')]
      const counter = defineBehaviour('counter', {
        input: { words: topic(words, { value: string() }) },
        output: { totals: topic(totals, json<number>()) },
        state: json<number>(),
        initial: () => 0,
        receive: { words: (count) => count + 1 },
        query: { count: (count) => count },
        ask: {
          add(count, more: number, { emit, reply }) {
            emit.totals(count + more)
            reply(count + more)
            return count + more
          }
        }
      })
      const transport = kafkaTransport({ brokers })
      closers.push(() => transport.close())
      await createTopics(transport, { [words]: PARTITIONS, [totals]: 1 })
      await publish(
        transport,
        words,
        KEYS.map((key) => [key, 'x'])
      )
      const state = await stateDirectory()
      closers.push(() => state.remove())
      const start = async (name: string) => {
        const runtime = createRuntime({
          id,
          topology: counter,
          kafka: { brokers },
          guarantee,
          stateDir: `${state.path}/${name}`,
          advertise: name,
          commitInterval: 10_000, // an ask does not wait for it
          heartbeatInterval: 200,
          sessionTimeout: 6_000
        })
        const app = await runtime.run({ signals: false })
        closers.push(() => app.drain())
        return { name, runtime, app }
      }
      const members = [await start('a'), await start('b')]
      const running = (app: (typeof members)[0]['app']): number =>
        Object.values(app.tasks).filter((task) => task.state === 'running').length
      await until(() => members.every(({ app }) => running(app) === PARTITIONS / 2), {
        what: 'each has half of the tasks',
        timeoutMs: 30_000
      })

      const watcher = await new Watcher(transport, totals).start()
      closers.push(() => watcher.close())
      const owners = new Set<string>()
      for (const key of KEYS) {
        const one = members[0]!
        const refusal = await one.runtime.query(counter, key, 'count').catch((error: unknown) => error)
        const owner = refusal instanceof NotOwnerError ? members.find(({ name }) => name === refusal.owner)! : one
        await until(async () => (await owner.runtime.query(counter, key, 'count')) === 1, {
          what: `the word of ${key} is counted`
        })
        owners.add(owner.name)
        expect(await owner.runtime.ask(counter, key, 'add', 5)).to.equal(6)
        // Kafka writes the markers of a transaction behind its answer.
        await until(() => watcher.latest()[key] === 6, { what: `the total of ${key} is read` })
        const other = members.find((member) => member !== owner)!
        const refused = await other.runtime.ask(counter, key, 'add', 5).catch((error: unknown) => error)
        expect(refused).to.be.instanceOf(NotOwnerError).with.property('owner', owner.name)
      }
      expect([...owners].sort()).to.deep.equal(['a', 'b'])
    })
  }
})
