/**
 * At-least-once, the topics that a commit writes are not written at once: a process may die when some have their records and one has not.
 * Claims, of a behaviour with timers: whichever topic that is, no record is lost, and no timer that its row has set.
 */
import { expect } from 'chai'
import { topic } from '../../lib/dsl/topic.ts'
import { type EmbeddedBroker, embeddedBroker } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import type { ApiMap } from '../../lib/kafka/protocol/api.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { int } from '../../lib/serde/index.ts'
import { until } from '../../lib/testing/until.ts'
import { seededRandom, systemClock } from '../../lib/time.ts'
import { bells } from '../cases/crashKinds.ts'
import { Job, KEYS } from '../cases/crashKit.ts'
import { type Call, FaultyWire, loseRequest } from '../kafka/faultyWire.ts'

const FIRST = 40
const SECOND = 35
const THIRD = 25
const ALL = FIRST + SECOND + THIRD

const STORES = bells
  .topology((what) => topic(what, int()))
  .build('any')
  .internalTopics.changelogs.map(({ store }) => store.name)

type Produce = ApiMap['Produce']['request']

describe('A behaviour whose task dies within a commit, at-least-once', function () {
  this.timeout(30_000)
  let broker: EmbeddedBroker
  let wire: FaultyWire
  let transport: Transport
  let job: Job
  beforeEach(async () => {
    broker = embeddedBroker({ random: seededRandom(1) })
    wire = new FaultyWire(broker.wire)
    transport = createTransport(wire, { clock: systemClock, random: seededRandom(2) })
    job = new Job(transport, 'at-least-once', bells)
    await job.open()
  })
  afterEach(async () => {
    await job.close()
    await transport.close()
    await broker.close()
  })

  /** What goes to the topic stays away; what is in the same request gets there. @returns tells whether both have happened */
  function lose(topic: string): () => boolean {
    let lost = false
    const there = new Set<string>()
    wire.always('Produce', async (call: Call<'Produce'>) => {
      const { request } = call as { request: Produce }
      const rest = request.topics.filter((it) => it.topic !== topic)
      lost ||= rest.length < request.topics.length
      if (rest.length === request.topics.length) {
        const answer = await call.forward()
        for (const it of rest) there.add(it.topic)
        return answer
      }
      if (rest.length > 0) {
        Object.assign(request, { topics: rest })
        await call.forward()
        for (const it of rest) there.add(it.topic)
      }
      return loseRequest()
    })
    return () => lost && there.size > 0
  }

  for (const what of ['out', 'totals', ...STORES.map((store) => `${store}-changelog`)]) {
    for (const place of ['the same directory', 'an empty directory'] as const) {
      it(`loses nothing when the topic ${what} lacks what the others have, on ${place}`, async () => {
        const home = job.directory()
        await job.send(FIRST)
        await job.finish(job.start(home))
        await job.send(SECOND)
        const half = lose(job.name(what))
        const killed = new AbortController()
        const life = job.start(home, () => {}, killed.signal)
        await until(half, { what: `some of a commit is there, and nothing in ${what}` })
        killed.abort(new Error('killed'))
        await life.done.catch(() => {})
        await life.task.close({ clean: false })
        wire.heal()
        await job.send(THIRD, true)
        const counts = await job.finish(job.start(place === 'the same directory' ? home : job.directory()))

        const out = new Set((await job.values('out')).map(([, value]) => value))
        expect(out.size).to.equal(ALL)
        const totals = new Map(await job.values('totals'))
        for (const key of KEYS) {
          expect(counts[key]).to.be.at.least(ALL / KEYS.length)
          expect(totals.get(key), `the last timer of ${key}`).to.equal(counts[key])
        }
      })
    }
  }
})
