/**
 * At-least-once, the topics that a commit writes are not written at once: a process may die when some have their records and one has not.
 * Claims: whichever topic that is, no record is lost, also where the state leaves out what it knows; and no timer that its row has set.
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
import { ALONE, bells, countedOnce, type Kind, once, PAIRS_MS, pairs } from '../cases/crashKinds.ts'
import { Job, KEYS } from '../cases/crashKit.ts'
import { type Call, FaultyWire, loseRequest } from '../kafka/faultyWire.ts'

const FIRST = 40
const SECOND = 35
const THIRD = 25
const ALL = FIRST + SECOND + THIRD

const changelogsOf = (kind: Kind): string[] =>
  kind
    .topology((what) => topic(what, int()))
    .build('any')
    .internalTopics.changelogs.map(({ store }) => `${store.name}-changelog`)

/** What `pairs` is to give. */
function paired(): number[] {
  const results: number[] = []
  for (let left = 1; left < ALL; left++) {
    const end = left + PAIRS_MS
    const partners: number[] = []
    for (let right = left; right <= end && right < ALL; right += KEYS.length) if (right % 3 === 0) partners.push(right)
    if (partners.length === 0 && end < ALL - 1) partners.push(ALONE) // later ones still wait
    for (const right of partners) results.push(left * 1_000 + right)
  }
  return results
}

type Produce = ApiMap['Produce']['request']

/** What goes to the topic stays away; what is in the same request gets there. @returns tells whether both have happened */
function lose(wire: FaultyWire, topic: string): () => boolean {
  let lost = false
  wire.always('Produce', async (call: Call<'Produce'>) => {
    const { request } = call as { request: Produce }
    const rest = request.topics.filter((it) => it.topic !== topic)
    if (rest.length === request.topics.length) return call.forward()
    Object.assign(request, { topics: rest })
    if (rest.length > 0) await call.forward()
    lost = true
    return loseRequest()
  })
  return () => lost
}

describe('A task that dies within a commit, at-least-once', function () {
  this.timeout(30_000)
  let broker: EmbeddedBroker
  let wire: FaultyWire
  let transport: Transport
  let job: Job
  beforeEach(() => {
    broker = embeddedBroker({ random: seededRandom(1) })
    wire = new FaultyWire(broker.wire)
    transport = createTransport(wire, { clock: systemClock, random: seededRandom(2) })
  })
  afterEach(async () => {
    await job.close()
    await transport.close()
    await broker.close()
  })

  /** All numbers, and a death when some of a commit is there, and nothing of it in the topic. @returns counts by key */
  async function live(kind: Kind, what: string, place: string): Promise<Record<string, number>> {
    job = new Job(transport, 'at-least-once', kind)
    await job.open()
    const home = job.directory()
    await job.send(FIRST)
    await job.finish(job.start(home))
    await job.send(SECOND)
    const half = lose(wire, job.name(what))
    const killed = new AbortController()
    const life = job.start(home, () => {}, killed.signal)
    await until(half, { what: `the commit is stuck at ${what}` })
    killed.abort(new Error('killed'))
    await life.done.catch(() => {})
    await life.task.close({ clean: false })
    wire.heal()
    await job.send(THIRD, true)
    return job.finish(job.start(place === 'the same directory' ? home : job.directory()))
  }

  const outputs = async (): Promise<number> => new Set((await job.values('out')).map(([, value]) => value)).size

  for (const place of ['the same directory', 'an empty directory']) {
    for (const what of ['out', 'totals', ...changelogsOf(bells)]) {
      it(`loses no record and no timer when the topic ${what} lacks what the others have, on ${place}`, async () => {
        const counts = await live(bells, what, place)
        expect(await outputs()).to.equal(ALL)
        const totals = new Map(await job.values('totals'))
        for (const key of KEYS) {
          expect(counts[key]).to.be.at.least(ALL / KEYS.length)
          expect(totals.get(key), `the last timer of ${key}`).to.equal(counts[key])
        }
      })
    }

    for (const what of ['out', 'totals', ...changelogsOf(countedOnce)]) {
      it(`counts every record behind what it lets pass once when the topic ${what} lacks what the others have, on ${place}`, async () => {
        const counts = await live(countedOnce, what, place)
        expect(await outputs()).to.equal(ALL)
        for (const key of KEYS) expect(counts[key], key).to.be.at.least(ALL / KEYS.length)
      })
    }

    for (const what of ['out', ...changelogsOf(pairs)]) {
      it(`joins each record with its partners, or with none, when the topic ${what} lacks what the others have, on ${place}`, async () => {
        await live(pairs, what, place)
        const results = new Set((await job.values('out')).map(([, value]) => value))
        expect([...results].filter((value) => value > 0).sort((a, b) => a - b)).to.eql(paired())
      })
    }

    for (const what of ['out', ...changelogsOf(once)]) {
      it(`loses no record that it lets pass once when the topic ${what} lacks what the others have, on ${place}`, async () => {
        await live(once, what, place)
        expect(await outputs()).to.equal(ALL)
      })
    }
  }
})
