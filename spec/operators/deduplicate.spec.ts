/** Deduplicate: the first of equal records within a time, whatever the order, over restarts, against a naive model. */
import { expect } from 'chai'
import { type DeduplicateOptions, topic, topology } from '../../lib/dsl/index.ts'
import { json, nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'
import { seededRandom } from '../../lib/time.ts'

interface Event {
  readonly id: string | null
  readonly n: number
}
const events = topic('events', { key: nullable(string()), value: nullable(json<Event>()) })
const once = (options: DeduplicateOptions<string | null, Event | null>) => {
  const t = topology()
  t.stream(events)
    .deduplicate({ name: 'once', ...options })
    .to(topic('out', { key: events.key, value: events.value }))
  return t
}
const numbers = (d: Driver): unknown[] => d.output('out').map(({ value }) => (value as Event | null)?.n ?? null)

describe('deduplicate', () => {
  it('passes the first record of a key, and the next one when the time is over; drops and counts the others', async () => {
    const d = await drive(once({ within: 10 }))
    for (const [n, timestamp] of [100, 105, 110, 111, 121, 122].entries()) {
      await d.send(events, 'a', { id: null, n }, { timestamp })
      await d.restart()
    }
    // 0 passes and covers up to 110, 3 passes and covers up to 121.
    expect(numbers(d)).to.deep.equal([0, 3, 5])
    expect(d.dropped).to.deep.equal(['duplicate', 'duplicate', 'duplicate'])
  })

  it('equals a model that sees all records, in order or not, by key or by what you say, over restarts', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const next = seededRandom(seed)
      const within = [0, 1, 7, 20][seed % 4]!
      const by = seed % 2 === 0
      const d = await drive(once({ within, grace: 1_000, ...(by ? { by: (r) => r.value!.id } : {}) }))
      const passed: { id: string; time: number }[] = []
      const expected: number[] = []
      let now = 0
      for (let n = 0; n < 150; n++) {
        now += Math.floor(next() * 3)
        const id = `${Math.floor(next() * 4)}`
        const time = Math.max(0, now - Math.floor(next() * 15))
        await d.send(events, by ? 'k' : id, { id, n }, { timestamp: time })
        if (n % 9 === 0) await d.restart()
        if (passed.some((p) => p.id === id && Math.abs(p.time - time) <= within)) continue
        passed.push({ id, time })
        expected.push(n)
      }
      expect(numbers(d), `seed ${seed}`).to.deep.equal(expected)
      await d.close()
    }
  })

  it('passes records without key or id, and drops those that come too late to be checked', async () => {
    const d = await drive(once({ within: 10, grace: 5 }))
    await d.send(events, null, { id: null, n: 0 }, { timestamp: 100 })
    await d.send(events, null, { id: null, n: 1 }, { timestamp: 100 })
    await d.send(events, 'a', { id: null, n: 2 }, { timestamp: 84 })
    await d.send(events, 'a', { id: null, n: 3 }, { timestamp: 85 })
    expect(numbers(d)).to.deep.equal([0, 1, 3])
    expect(d.dropped).to.deep.equal(['late'])
  })

  it('forgets what no record can ask for', async () => {
    const d = await drive(once({ within: 10 }))
    for (let time = 0; time < 3_000; time += 5) await d.send(events, `k${time}`, null, { timestamp: time })
    await d.commit()
    await d.commit()
    let rows = 0
    for await (const _ of d.tasks[0]!.state.store('once').scan({ from: '', to: undefined })) rows++
    expect(rows).to.be.within(5, 20)
  })
})
