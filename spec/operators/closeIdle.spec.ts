/** closeIdleAfter: while no record comes, time goes on by wall clock; windows close, what comes for them later is late, a restart changes nothing. */
import { expect } from 'chai'
import fc from 'fast-check'
import { session, sliding, type TopologyBuilder, topic, topology, tumbling } from '../../lib/dsl/index.ts'
import { json } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

const DAY_2001 = 1_000_000_000_000 // event times of a replay: the wall clock is far from them
const numbers = topic('numbers', json<number>())
const others = topic('others', json<number>())

const driven = async (define: (t: TopologyBuilder) => void, cache = true): Promise<Driver> => {
  const t = topology()
  define(t)
  return drive(t, { cache })
}
const send = (d: Driver, time: number, value = 1, to = numbers): Promise<void> =>
  d.send(to, 'a', value, { timestamp: DAY_2001 + time })
/** What came out, windows as start-end, relative to the day. */
const out = (d: Driver): unknown[] =>
  d.output('out').map(({ key, value }) => {
    const window = key as unknown as { start?: number; end: number }
    return window.start === undefined ? value : [window.start - DAY_2001, window.end - DAY_2001, value]
  })

describe('closeIdleAfter', () => {
  const windows = {
    tumbling: { of: tumbling(10_000, { grace: 1_000 }), closed: [[0, 10_000, 2]], closesAt: 11_000 },
    sliding: {
      of: sliding(10_000, { grace: 1_000 }),
      closed: [
        [-7_000, 3_000, 1],
        [-2_000, 8_000, 2],
        [3_001, 13_001, 1]
      ],
      closesAt: 14_002
    },
    session: { of: session(5_000, { grace: 1_000 }), closed: [[3_000, 8_000, 2]], closesAt: 14_001 }
  }
  for (const [name, { of, closed, closesAt }] of Object.entries(windows)) {
    it(`closes the ${name} windows of an idle task when records that had gone on would have, over a restart too, and once`, async () => {
      const late: number[] = []
      const options = {
        emit: 'close' as const,
        closeIdleAfter: '2s',
        onLate: ({ timestamp }: { timestamp: number }) => void late.push(timestamp - DAY_2001)
      } as const
      const d = await driven((t) => {
        const grouped = t.stream(numbers).groupByKey()
        const windowed =
          'gap' in of ? grouped.windowedBy(of, options) : grouped.windowedBy(of as ReturnType<typeof tumbling>, options)
        windowed.count({ name: 'counts' }).toStream().to('out')
      })
      await send(d, 3_000)
      await d.advance(1_900)
      await send(d, 8_000)
      const seen = out(d)
      expect(seen, 'idle for less than it takes').to.have.length(name === 'sliding' ? 1 : 0)
      let passed = 8_000
      while (passed + 2_000 < closesAt) {
        await d.advance(2_000)
        passed += 2_000
        seen.push(...out(d))
      }
      const last = closed.at(-1)!
      expect(seen, 'before its time').to.not.deep.include(last)
      await d.restart()
      await d.advance(2_000)
      seen.push(...out(d))
      expect(seen).to.deep.equal(closed)
      await d.restart()
      await send(d, 0)
      await d.advance(60_000)
      expect(out(d), 'the window is not given on again').to.deep.equal([])
      expect(late.length, 'late').to.be.above(0)
      expect(new Set(late)).to.deep.equal(new Set([0]))
      await d.close()
    })
  }

  it('stands when nothing ever came, and without the option', async () => {
    for (const closeIdleAfter of ['1s', undefined] as const) {
      const d = await driven((t) =>
        t
          .stream(numbers)
          .groupByKey()
          .windowedBy(tumbling(1_000), { emit: 'close', closeIdleAfter })
          .count({ name: 'counts' })
          .toStream()
          .to('out')
      )
      if (closeIdleAfter === undefined) await send(d, 0)
      await d.advance(3_600_000)
      expect(out(d)).to.deep.equal([])
      await d.close()
    }
  })

  for (const cache of [true, false]) {
    it(`lets a suppress until close behind the windows give each final result once, cache ${cache ? 'on' : 'off'}`, async () => {
      const d = await driven(
        (t) =>
          t
            .stream(numbers)
            .groupByKey()
            .windowedBy(tumbling(10_000), { closeIdleAfter: '2s' })
            .count({ name: 'counts' })
            .filter((count) => count > 0, {})
            .suppress({ until: 'close', name: 'final' })
            .toStream()
            .to('out'),
        cache
      )
      await send(d, 3_000)
      await send(d, 4_000)
      await d.advance(5_000)
      expect(out(d)).to.deep.equal([])
      await d.advance(2_000)
      await d.commit()
      expect(out(d)).to.deep.equal([[0, 10_000, 2]])
      await send(d, 5_000)
      await d.commit()
      await d.advance(60_000)
      await d.commit()
      expect(out(d), 'nothing twice').to.deep.equal([])
      expect(d.dropped).to.deep.equal(['late'])
      await d.close()
    })
  }

  it('lets a suppress with a time pass on what waits', async () => {
    const d = await driven((t) =>
      t
        .table(numbers, { name: 'rows' })
        .suppress({ until: '10s', closeIdleAfter: '2s', name: 'calm' })
        .toStream()
        .to('out')
    )
    await send(d, 0, 7)
    await d.commit()
    await d.advance(9_000)
    expect(out(d)).to.deep.equal([])
    await d.advance(2_000)
    expect(out(d)).to.deep.equal([7])
    await d.close()
  })

  it('lets left and outer joins give what has found no partner, and not again when a partner comes late', async () => {
    for (const kind of ['leftJoin', 'outerJoin'] as const) {
      const d = await driven((t) => {
        const join = (a: number | null, b: number | null): string => `${a}/${b}`
        const options = { within: '5s', closeIdleAfter: '2s', name: 'pairs' } as const
        t.stream(numbers)
          [kind as 'outerJoin'](t.stream(others), join as never, options)
          .to('out', { value: json() } as never)
      })
      await send(d, 0, 1)
      await send(d, 1_000, 2, others)
      await send(d, 9_000, 3, kind === 'leftJoin' ? numbers : others)
      expect(out(d)).to.deep.equal(['1/2'])
      await d.advance(4_000)
      expect(out(d)).to.deep.equal([])
      await d.advance(2_000)
      expect(out(d)).to.deep.equal([kind === 'leftJoin' ? '3/null' : 'null/3'])
      await d.restart()
      await d.advance(60_000)
      expect(out(d)).to.deep.equal([])
      await d.close()
    }
  })

  it('lets what waits for the grace of a table join', async () => {
    const d = await driven((t) =>
      t
        .stream(numbers)
        .join(t.table(others, { versioned: '1h', name: 'rows' }), (a, b) => `${a}/${b}`, {
          grace: '10s',
          closeIdleAfter: '2s',
          name: 'joined'
        })
        .to('out', { value: json() } as never)
    )
    await send(d, 0, 5, others)
    await send(d, 1_000, 1)
    await d.advance(9_000)
    expect(out(d)).to.deep.equal([])
    await d.advance(2_000)
    expect(out(d)).to.deep.equal(['1/5'])
    await d.close()
  })

  it('gives windows behind windows everything first: what one closes counts in the next', async () => {
    const d = await driven((t) =>
      t
        .stream(numbers)
        .groupByKey()
        .windowedBy(tumbling(10_000), { closeIdleAfter: '2s' })
        .count({ name: 'small' })
        .toStream()
        .mapValues((count) => count ?? 0)
        .groupByKey()
        .windowedBy(tumbling(20_000), { emit: 'close', closeIdleAfter: '2s' })
        .reduce((a, b) => a + b, { name: 'large', value: json<number>() })
        .toStream()
        .to('out')
    )
    await send(d, 3_000)
    await send(d, 4_000)
    // Not flushed before: its time and that of the windows behind it go on in one pass.
    await d.advance(30_000)
    expect(out(d)).to.deep.equal([[0, 20_000, 2]])
    expect(d.dropped).to.deep.equal([])
    await d.close()
  })

  it('gives each window once and loses no record, on close and behind a suppress, whatever comes when: disorder, pauses, commits, restarts', async function () {
    this.timeout(60_000)
    const op = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          key: fc.constantFrom('a', 'b', 'c'),
          back: fc.integer({ min: 0, max: 40 }),
          step: fc.integer({ min: 0, max: 30 })
        })
      },
      { weight: 2, arbitrary: fc.record({ advance: fc.integer({ min: 1, max: 900 }) }) },
      { weight: 1, arbitrary: fc.constantFrom('commit' as const, 'restart' as const) }
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(op, { minLength: 5, maxLength: 40 }),
        fc.boolean(),
        fc.constantFrom(tumbling(20, { grace: 15 }), session(20, { grace: 15 }), sliding(20, { grace: 15 })),
        async (ops, cache, windows) => {
          const results: unknown[] = []
          for (const suppressed of [false, true]) {
            const d = await driven((t) => {
              const grouped = t.stream(numbers).groupByKey()
              const options = { closeIdleAfter: 100, ...(suppressed ? {} : { emit: 'close' as const }) }
              const windowed =
                'gap' in windows ? grouped.windowedBy(windows, options) : grouped.windowedBy(windows, options)
              const counts = windowed.count({ name: 'counts' })
              const final = suppressed ? counts.suppress({ until: 'close', name: 's' }) : counts
              final.toStream().to('out')
            }, cache)
            let time = 1_000
            let sent = 0
            for (const step of ops) {
              if (step === 'commit') await d.commit()
              else if (step === 'restart') await d.restart()
              else if ('advance' in step) {
                // A job with a cache commits by itself; a suppress passes on then.
                await d.commit()
                await d.advance(step.advance)
              } else {
                time += step.step
                sent++
                await d.send(numbers, step.key, 1, { timestamp: time - step.back })
              }
            }
            await d.commit()
            await d.advance(100_000)
            const final = d.output('out').map(({ key, value }) => [JSON.stringify(key), value] as [string, number])
            const late = d.dropped.length
            expect(new Set(final.map(([key]) => key)).size, 'each once').to.equal(final.length)
            // A record is in many sliding windows, and late for some of them.
            if (!('difference' in windows))
              expect(final.reduce((sum, [, n]) => sum + n, 0) + late, 'none lost').to.equal(sent)
            results.push([late, final.sort()])
            await d.close()
          }
          expect(results[0]).to.deep.equal(results[1])
        }
      ),
      { numRuns: 150 }
    )
  })

  it('is refused where it cannot work: next to nothing, windows without an end, a suppress that waits for windows', () => {
    const grouped = () => topology().stream(numbers).groupByKey()
    const code = (define: () => unknown): string => {
      try {
        define()
      } catch (error) {
        return `${(error as { code: string }).code}: ${(error as Error).message}`
      }
      return 'none'
    }
    expect(code(() => grouped().windowedBy(tumbling('1m'), { closeIdleAfter: 99 }))).to.match(
      /^ERR_TOPOLOGY_WINDOW: The closeIdleAfter of windowedBy \(.*\) is 99: .*at least 100/
    )
    expect(
      code(() => grouped().windowedBy(tumbling('1m')).count().suppress({ until: 'close', closeIdleAfter: '1m' }))
    ).to.match(/^ERR_TOPOLOGY_WINDOW: .*windowedBy\(…, \{ closeIdleAfter \}\)/)
  })
})
