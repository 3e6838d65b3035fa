/** processValues: records keep their keys, whatever the processor does. */
import { expect } from 'chai'
import { keyValueStore, topic, topology, type ValueOutput } from '../../lib/dsl/index.ts'
import type { StreamRecord } from '../../lib/record.ts'
import { json, long, string } from '../../lib/serde/index.ts'
import { drive } from '../../lib/testing/drive.ts'

const clicks = topic('clicks', { key: string(), value: long() })
const out = topic('out', { key: string(), value: long() })
const totals = keyValueStore('totals', { key: string(), value: long() })

describe('processValues', () => {
  it('forwards values under the record key, its time and headers unless given, and repartitions nothing', async () => {
    const t = topology()
    t.stream(clicks)
      .processValues(
        async ({ key, value }, context) => {
          const store = context.store('totals')
          const total = ((await store.get(key)) ?? 0) + value
          await store.put(key, total)
          await context.forward({ value: total })
          await context.forward({ value: -total, timestamp: 99, headers: [['n', Buffer.from('1')]] })
        },
        { stores: [totals], name: 'running' }
      )
      .groupByKey()
      .reduce((_, next) => next, { name: 'latest' })
      .toStream()
      .to(out)
    expect(t.build('app').internalTopics.repartition).to.deep.equal([])
    const d = await drive(t, { cache: false })
    await d.send(clicks, 'a', 2, { timestamp: 5, headers: [['n', Buffer.from('0')]] })
    await d.restart()
    await d.send(clicks, 'a', 3, { timestamp: 120 })
    const seen = d.output(out).map((r) => [r.key, r.value, r.timestamp, ...r.headers.map(([, v]) => String(v))])
    expect(seen).to.deep.equal([
      ['a', 2, 5, '0'],
      ['a', -2, 99, '1'],
      ['a', 5, 120],
      ['a', -5, 120, '1']
    ])
  })

  const forwarding = async (
    give: (record: StreamRecord<string, number>) => ValueOutput<string, number>
  ): Promise<unknown[]> => {
    const t = topology()
    t.stream(clicks)
      .processValues((record, context) => context.forward(give(record)), { name: 'values' })
      .to(out)
    const d = await drive(t)
    await d.send(clicks, 'a', 1, { timestamp: 5 })
    return d.output(out).map((r) => [r.key, r.value, r.timestamp])
  }

  it('takes the record itself, and the same key by another way', async () => {
    expect(await forwarding((record) => record)).to.deep.equal([['a', 1, 5]])
    expect(await forwarding((record) => record.withValue(7))).to.deep.equal([['a', 7, 5]])
    expect(await forwarding((record) => record.withKey(['a'].join('')))).to.deep.equal([['a', 1, 5]])
    expect(await forwarding(() => ({ key: 'a', value: 8 }))).to.deep.equal([['a', 8, 5]])
  })

  for (const [what, give] of [
    ['an output', () => ({ key: 'b', value: 1 })],
    ['a record', (record: StreamRecord<string, number>) => record.withKey('b')]
  ] as const) {
    it(`refuses ${what} with another key, and says where`, async () => {
      await forwarding(give).then(
        () => expect.fail('accepted'),
        (e: Error & { code: string; details: object }) => {
          expect(e.message).to.contain('"values"').and.contain('another key')
          expect(e.code).to.equal('ERR_TOPOLOGY')
          expect(e.details).to.include({ node: 'values', topic: 'clicks', offset: 0 })
        }
      )
    })
  }

  it('compares keys that are objects by what is in them', async () => {
    const cells = topic('cells', { key: json<{ x: number }>(), value: long() })
    const t = topology()
    t.stream(cells)
      .processValues(({ key, value }, context) => context.forward({ key: { x: key.x + value }, value }))
      .to('out')
    const d = await drive(t)
    await d.send(cells, { x: 1 }, 0)
    expect(d.output('out')).to.have.length(1)
    await d.send(cells, { x: 1 }, 1).then(
      () => expect.fail('accepted'),
      (e: Error) => expect(e.message).to.contain('another key')
    )
  })

  it('needs a key in a punctuator, where there is no record', async () => {
    const keys: (string | undefined)[] = ['a', undefined]
    const t = topology()
    t.stream(clicks)
      .processValues({
        create: () => ({
          init: (context) =>
            void context.schedule('1s', 'wall', () => {
              const key = keys.shift()
              return context.forward(key === undefined ? { value: 1 } : { key, value: 1 })
            }),
          process() {}
        })
      })
      .to(out)
    const d = await drive(t)
    await d.send(clicks, 'z', 1)
    await d.advance(1_000)
    expect(d.output(out).map((r) => [r.key, r.timestamp])).to.deep.equal([['a', 1_000]])
    await d.advance(1_000).then(
      () => expect.fail('accepted'),
      (e: Error) => expect(e.message).to.contain('without a key')
    )
  })
})
