/** A processor reads the rows of a table by their keys, whatever its store keeps in a row. */
import { expect } from 'chai'
import { session, sliding, type Table, topic, topology, tumbling } from '../../lib/dsl/index.ts'
import { int, json, string } from '../../lib/serde/index.ts'
import { drive } from '../../lib/testing/drive.ts'
import { resolvePartitions } from '../../lib/topology/partitions.ts'

const numbers = topic('numbers', json<number>())
/** What the processor is asked for: a key of the table, as JSON. */
const asked = topic('asked', json<{ key: unknown; time?: number }>())

type Define = (t: ReturnType<typeof topology>) => Table<never, unknown>

/** The rows of these keys after all numbers, and again over a restart. */
async function rows(
  define: Define,
  sent: readonly (readonly [time: number, value: number])[],
  keys: readonly { key: unknown; time?: number }[],
  cache = true
) {
  const t = topology()
  const table = define(t) as unknown as Table<unknown, unknown>
  t.stream(asked)
    .processValues(
      async ({ value: { key, time } }, context) =>
        context.forward({ value: await context.store('rows').get(key, time) }),
      { stores: [table.rows('rows')], value: json<unknown>(), name: 'reader' }
    )
    .to('out')
  const d = await drive(t, { cache })
  for (const [timestamp, value] of sent) await d.send(numbers, 'k', value, { timestamp })
  const read = async (): Promise<unknown[]> => {
    for (const question of keys) await d.send(asked, 'k', question, { timestamp: 1 })
    return d.output('out').map(({ value }) => value)
  }
  const before = await read()
  await d.restart()
  expect(await read(), 'after a restart').to.deep.equal(before)
  await d.close()
  return before
}
const window = (start: number, end: number) => ({ key: { key: 'k', start, end } })

describe('table.rows() in a processor', () => {
  const grouped = (t: ReturnType<typeof topology>) => t.stream(numbers).groupByKey()

  for (const cache of [true, false]) {
    it(`gives rows of tables, kept and computed, cache ${cache ? 'on' : 'off'}`, async () => {
      const sent = [
        [1, 5],
        [2, 7]
      ] as const
      expect(await rows((t) => t.table(numbers) as never, sent, [{ key: 'k' }, { key: 'other' }], cache)).to.deep.equal(
        [7, null]
      )
      const doubled: Define = (t) =>
        t
          .table(numbers)
          .mapValues((n) => n * 2)
          .filter((n) => n > 10) as never
      expect(await rows(doubled, sent, [{ key: 'k' }], cache)).to.deep.equal([14])
      expect(await rows(doubled, [[1, 5]], [{ key: 'k' }], cache)).to.deep.equal([null])
    })

    it(`gives windows, sliding windows and sessions by their own keys, cache ${cache ? 'on' : 'off'}`, async () => {
      const sent = [
        [1, 1],
        [4, 1],
        [12, 1]
      ] as const
      const counted: Define = (t) =>
        grouped(t)
          .windowedBy(tumbling(10, { grace: 100 }))
          .count({ name: 'c' }) as never
      expect(await rows(counted, sent, [window(0, 10), window(10, 20), window(20, 30)], cache)).to.deep.equal([
        2,
        1,
        null
      ])
      const slid: Define = (t) =>
        grouped(t)
          .windowedBy(sliding(5, { grace: 100 }))
          .count({ name: 'c' }) as never
      expect(await rows(slid, sent, [window(0, 5), window(7, 12), window(1, 6)], cache)).to.deep.equal([2, 1, null])
      const sessions: Define = (t) =>
        grouped(t)
          .windowedBy(session(5, { grace: 100 }))
          .count({ name: 'c' }) as never
      expect(await rows(sessions, sent, [window(1, 4), window(12, 12), window(1, 1)], cache)).to.deep.equal([
        2,
        1,
        null
      ])
    })
  }

  it('gives what a suppress has passed on', async () => {
    const final: Define = (t) =>
      grouped(t).windowedBy(tumbling(10)).count({ name: 'c' }).suppress({ until: 'close', name: 's' }) as never
    const sent = [
      [1, 1],
      [4, 1],
      [12, 1]
    ] as const
    expect(await rows(final, sent, [window(0, 10), window(10, 20)], false)).to.deep.equal([2, null])
  })

  it('gives versions as of a time', async () => {
    const versioned: Define = (t) => t.table(numbers, { versioned: 100, name: 'v' }) as never
    const keys = [{ key: 'k' }, { key: 'k', time: 15 }, { key: 'k', time: 5 }]
    expect(
      await rows(
        versioned,
        [
          [10, 1],
          [20, 2]
        ],
        keys
      )
    ).to.deep.equal([2, 1, null])
  })

  it('asks for topics with equal counts, and a table of the same topology', () => {
    const t = topology()
    t.stream(numbers).foreach(() => {})
    const table = t.table(topic('other', int()), { name: 'kept' })
    const read = (from: ReturnType<typeof topology>) =>
      from.stream(asked).process(() => {}, { stores: [table.rows('rows')], name: 'reader' })
    read(t)
    const counts = new Map([
      ['numbers', 1],
      ['other', 2],
      ['asked', 3]
    ])
    expect(() => resolvePartitions(t.build('job'), counts)).to.throw(
      /"reader" joins topics with different partition counts: asked \(3\), other \(2\)/
    )
    expect(() => read(topology())).to.throw(/table of another topology/)
  })

  it('has the types of the table', () => {
    const t = topology()
    const perDay = t
      .stream(topic('flights', string()))
      .groupByKey()
      .windowedBy(tumbling('1d'))
      .count({ name: 'per-day' })
    t.stream(asked).process(
      async (_, context) => {
        const row: number | null = await context.store('days').get({ key: 'JFK', start: 0, end: 1 })
        // @ts-expect-error the keys are windows
        if (row === -1) await context.store('days').get('JFK')
        // @ts-expect-error rows are read only
        if (row === -1) await context.store('days').put({ key: 'JFK', start: 0, end: 1 }, 1)
      },
      { stores: [perDay.rows('days')], name: 'reader' }
    )
    expect(t.build('job').subtopologies).to.have.length(1)
  })
})
