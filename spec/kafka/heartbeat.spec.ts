/** Heartbeats under virtual time. */
import { expect } from 'chai'
import { TransportError } from '../../lib/errors.ts'
import type { Cluster } from '../../lib/kafka/cluster.ts'
import { Heartbeats, type News } from '../../lib/kafka/heartbeat.ts'
import type { Lane } from '../../lib/kafka/wire.ts'
import { VirtualClock } from '../../lib/time.ts'

const META = { groupId: 'g', generation: 3, memberId: 'm' }

function setUp(): {
  clock: VirtualClock
  beats: Heartbeats
  news: News[]
  sent: number[]
  reply(to: () => unknown): void
} {
  const clock = new VirtualClock(1_000)
  const news: News[] = []
  const sent: number[] = []
  let to: () => unknown = () => ({ error: 0 })
  const lane = {
    call: async () => {
      sent.push(clock.now())
      return to()
    },
    close: async () => {}
  } as unknown as Lane
  const cluster = { clock, coordinator: async () => 1, forgetCoordinator: () => {} } as unknown as Cluster
  const beats = new Heartbeats(cluster, lane, { sessionMs: 10_000, heartbeatMs: 3_000, report: (n) => news.push(n) })
  return {
    clock,
    beats,
    news,
    sent,
    reply: (next) => {
      to = next
    }
  }
}

describe('heartbeat', () => {
  it('beats at its interval until it is stopped', async () => {
    const { clock, beats, news, sent } = setUp()
    beats.start(META)
    await clock.advance(9_500)
    beats.stop()
    await clock.advance(20_000)
    expect(sent).to.deep.equal([4_000, 7_000, 10_000])
    expect(news).to.deep.equal([])
  })

  for (const [code, kind, forget] of [
    [22, 'lost', false],
    [25, 'lost', true],
    [82, 'fatal', undefined],
    [30, 'fatal', undefined]
  ] as const) {
    it(`reports ${kind} once for code ${code} and stops`, async () => {
      const { clock, beats, news, sent, reply } = setUp()
      reply(() => ({ error: code }))
      beats.start(META)
      await clock.advance(30_000)
      expect(sent).to.have.lengthOf(1)
      expect(news).to.have.lengthOf(1)
      expect(news[0]).to.include({ kind })
      expect((news[0] as { forget?: boolean }).forget).to.equal(forget)
    })
  }

  it('goes on while a rebalance is announced: the session stays alive', async () => {
    const { clock, beats, news, sent, reply } = setUp()
    reply(() => ({ error: 27 }))
    beats.start(META)
    await clock.advance(30_000)
    beats.stop()
    expect(sent).to.have.lengthOf(10)
    expect(new Set(news.map((n) => n.kind))).to.deep.equal(new Set(['rebalance']))
  })

  it('takes the session for lost after its length in silence, also while a request hangs', async () => {
    for (const silence of [
      () => new Promise(() => {}),
      () => Promise.reject(new TransportError('gone', 'unknown-outcome')),
      () => ({ error: 16 })
    ]) {
      const { clock, beats, news, reply } = setUp()
      reply(silence)
      beats.start(META)
      await clock.advance(9_000)
      expect(news).to.deep.equal([])
      await clock.advance(3_000)
      expect(news).to.have.lengthOf(1)
      expect(news[0]).to.include({ kind: 'lost', forget: false })
      beats.stop()
    }
  })

  it('counts the silence from the time a request was sent, not from its late answer', async () => {
    const { clock, beats, reply } = setUp()
    reply(() => new Promise((resolve) => clock.setTimeout(() => resolve({ error: 0 }), 2_000)))
    beats.start(META)
    await clock.advance(5_500)
    expect(beats.contact).to.equal(4_000)
    beats.stop()
  })

  it('does not take an answer to an earlier membership for one to this', async () => {
    const { clock, beats, news, reply } = setUp()
    let answer!: (value: unknown) => void
    reply(
      () =>
        new Promise((resolve) => {
          answer = resolve
        })
    )
    beats.start(META)
    await clock.advance(3_000)
    beats.start({ ...META, generation: 4 })
    answer({ error: 22 })
    await clock.advance(1_000)
    expect(news).to.deep.equal([])
    beats.stop()
  })
})
