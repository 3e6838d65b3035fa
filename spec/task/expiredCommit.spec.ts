/**
 * At-least-once, one commit of a backlog may cover more time than state is kept for. A process that dies when its changelogs are written and its
 * offsets are not leaves the records of that commit to a successor. Claim: what expired within the commit is there again for them.
 */
import { expect } from 'chai'
import { topology, windowStore } from '../../lib/dsl/index.ts'
import type { Stream } from '../../lib/dsl/stream.ts'
import { hopping, session, sliding, tumbling } from '../../lib/dsl/windows.ts'
import { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { json, string } from '../../lib/serde/index.ts'
import type { Windowed } from '../../lib/serde/windowed.ts'
import { until } from '../../lib/testing/until.ts'
import type { Kind } from '../cases/crashKinds.ts'
import { Job } from '../cases/crashKit.ts'

const FIRST = 40
const SECOND = 35
const THIRD = 25

type Numbers = Stream<string, number>
type Told = { to(topic: ReturnType<Parameters<Kind['topology']>[0]>): void }

const kind = (build: (numbers: Numbers) => Told, store = 'kept'): Kind => ({
  store,
  count: () => 1,
  timers: false,
  topology: (numbers) => {
    const t = topology()
    build(t.stream(numbers('in'))).to(numbers('totals'))
    return t
  }
})

const byWindow = <V>(stream: Stream<Windowed<string>, V>): Stream<string, V> =>
  stream.selectKey(({ key }) => `${key.key}@${key.start}`, { key: string() })

/** Numbers of the first key end within the second commit, which goes on for long after them. */
const ending = (numbers: Numbers): Numbers => numbers.filter(({ value }) => value % 5 !== 0 || value < 50)

const name = 'kept'
const COUNTS: Readonly<Record<string, Kind>> = {
  'tumbling windows': kind((n) => byWindow(n.groupByKey().windowedBy(tumbling(15)).count({ name }).toStream())),
  'tumbling windows without a cache': kind((n) =>
    byWindow(n.groupByKey().windowedBy(tumbling(15)).count({ name, caching: false }).toStream())
  ),
  'tumbling windows, when they close': kind((n) =>
    byWindow(n.groupByKey().windowedBy(tumbling(15), { emit: 'close' }).count({ name }).toStream())
  ),
  'hopping windows': kind((n) =>
    byWindow(
      n
        .groupByKey()
        .windowedBy(hopping(15, { advance: 5 }))
        .count({ name })
        .toStream()
    )
  ),
  'sliding windows': kind((n) => byWindow(n.groupByKey().windowedBy(sliding(5)).count({ name }).toStream())),
  sessions: kind((n) => byWindow(ending(n).groupByKey().windowedBy(session(5)).count({ name }).toStream())),
  'sessions without a cache': kind((n) =>
    byWindow(ending(n).groupByKey().windowedBy(session(5)).count({ name, caching: false }).toStream())
  ),
  'sessions, when they close': kind((n) =>
    byWindow(ending(n).groupByKey().windowedBy(session(5), { emit: 'close' }).count({ name }).toStream())
  )
}
const RECORDS: Readonly<Record<string, Kind>> = {
  deduplicate: kind((n) => n.deduplicate({ within: 4, by: ({ value }) => String(Math.floor((value + 2) / 5)), name })),
  'a join of streams': kind(
    (n) =>
      n.leftJoin(
        n.filter(({ value }) => value % 3 === 0),
        (left: number, right: number | null) => left * 1_000 + (right ?? 999),
        { within: { before: 12, after: 0 }, name }
      ),
    'kept-pending'
  )
}

class Crash extends Error {}

describe('What expires within a commit that is lost, at-least-once', function () {
  this.timeout(30_000)
  let broker: EmbeddedBroker
  let transport: Transport
  let job: Job
  beforeEach(() => {
    broker = embeddedBroker()
    transport = embeddedTransport({ broker })
  })
  afterEach(async () => {
    await transport.close()
    await broker.close()
  })

  async function told(of: Kind, place: 'no crash' | 'the same directory' | 'an empty directory') {
    job = new Job(transport, 'at-least-once', of)
    try {
      await job.open()
      const home = job.directory()
      await job.send(FIRST)
      await job.finish(job.start(home))
      await job.send(SECOND)
      if (place === 'no crash') await job.finish(job.start(home))
      else {
        const killed = job.start(home, (at) => {
          if (at === 'commit:produced') throw new Crash()
        })
        expect(await killed.done.catch((e: unknown) => e)).to.be.instanceOf(Crash)
        await killed.task.close({ clean: false })
      }
      await job.send(THIRD)
      await job.finish(job.start(place === 'an empty directory' ? job.directory() : home))
      return await job.values('totals')
    } finally {
      await job.close()
    }
  }

  for (const place of ['the same directory', 'an empty directory'] as const) {
    for (const [what, of] of Object.entries(COUNTS)) {
      it(`is counted on, not anew: ${what}, on ${place}`, async () => {
        const right = new Map(await told(of, 'no crash'))
        const last = new Map(await told(of, place))
        expect(right).not.to.be.empty
        expect([...last.keys()]).to.have.members([...right.keys()])
        const low = [...right].filter(([key, count]) => !(last.get(key)! >= count))
        expect(low.map(([key, count]) => `${key}: ${last.get(key)} of ${count}`)).to.eql([])
      })
    }

    for (const [what, of] of Object.entries(RECORDS)) {
      it(`is found: ${what}, on ${place}`, async () => {
        const right = new Set((await told(of, 'no crash')).map(([, value]) => value))
        const given = new Set((await told(of, place)).map(([, value]) => value))
        expect([...given].filter((value) => !right.has(value))).to.eql([])
        expect([...right].filter((value) => !given.has(value))).to.eql([])
      })
    }
  }

  it('does not leave by what the operator has not seen: an earlier life took only records that a filter kept from it', async () => {
    const counts = (numbers: Numbers): Told =>
      byWindow(
        numbers
          .filter(({ value }) => value >= FIRST)
          .groupByKey()
          .windowedBy(tumbling(20))
          .count({ name })
          .toStream()
      )
    job = new Job(transport, 'at-least-once', {
      ...kind(counts),
      topology: (numbers) => {
        const t = topology()
        const timestamp = ({ value }: { value: number }): number => (value < FIRST ? value * 1_000 : value)
        counts(t.stream({ ...numbers('in'), timestamp })).to(numbers('totals'))
        return t
      }
    })
    try {
      await job.open()
      const home = job.directory()
      for (const count of [FIRST, SECOND, THIRD]) {
        await job.send(count)
        await job.finish(job.start(home))
      }
      const counted = new Map(await job.values('totals'))
      let sum = 0
      for (const count of counted.values()) sum += count
      expect(sum).to.equal(SECOND + THIRD)
    } finally {
      await job.close()
    }
  })

  it('leaves in the end although no record comes any more', async () => {
    job = new Job(transport, 'at-least-once', COUNTS['tumbling windows']!)
    try {
      await job.open()
      await job.send(FIRST)
      const life = job.start(job.directory())
      const closed = 3 * 5 // windows of each key that are over by the last number
      let buried = 0
      await until(
        async () => {
          buried = (await job.values('kept-changelog')).filter(([, value]) => value === 0).length
          return buried >= closed
        },
        { what: () => `${closed} tombstones are in the changelog, of ${buried}` }
      )
      expect(buried).to.equal(closed)
      await job.finish(life)
    } finally {
      await job.close()
    }
  })

  it('leaves a store of user code after a restart although no record comes any more', async () => {
    let taken = 0
    const stores = [windowStore('kept', { key: string(), value: json<number>(), size: 5, retention: 10 })] as const
    job = new Job(
      transport,
      'at-least-once',
      kind((numbers) =>
        numbers.process(
          ({ key, timestamp }, context) => {
            taken++
            return context.store('kept').put(key, 1, timestamp - (timestamp % 5))
          },
          { stores, key: string(), value: json<number>() }
        )
      )
    )
    try {
      await job.open()
      const home = job.directory()
      await job.send(FIRST)
      let whole = false
      const killed = job.start(home, (at) => {
        if (at === 'commit:flushed') whole = taken === FIRST
        if (at === 'commit:persisted' && whole) throw new Crash()
      })
      expect(await killed.done.catch((e: unknown) => e)).to.be.instanceOf(Crash)
      await killed.task.close({ clean: false })
      const buried = async (): Promise<number> =>
        (await job.values('kept-changelog')).filter(([, value]) => value === 0).length
      const before = await buried()
      const life = job.start(home)
      await until(async () => (await buried()) > before, { what: 'tombstones are in the changelog' })
      expect(taken).to.equal(FIRST)
      life.task.drain()
      await life.done
      await life.task.close({ clean: true })
    } finally {
      await job.close()
    }
  })
})
