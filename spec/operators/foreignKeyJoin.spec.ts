/** Foreign-key joins: several partitions, caches, restarts, many subscribers, late responses, a naive model. */
import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import {
  type Response,
  responseSerde,
  type Subscription,
  subscriptionSerde
} from '../../lib/operators/foreignKeyMessages.ts'
import { type SubscriberRow, Subscribers, subscriberSerde } from '../../lib/operators/subscribers.ts'
import { nullable, string } from '../../lib/serde/index.ts'
import { cacheBudget } from '../../lib/store/cache/budget.ts'
import { memoryDriver } from '../../lib/store/memory.ts'
import type { RowStore } from '../../lib/store/port.ts'
import { openTaskState } from '../../lib/store/taskState.ts'
import { type DriveOptions, type Driver, drive } from '../../lib/testing/drive.ts'
import { seededRandom, VirtualClock } from '../../lib/time.ts'

const people = topic('people', string()) // value: name@city
const cities = topic('cities', string())
const out = topic('out', { key: string(), value: nullable(string()) })
const cityOf = (person: string): string | null => person.split('@')[1] || null
const dash = (l: string, r: string | null): string => `${l}-${r}`

function joined(isLeft: boolean, options: DriveOptions = { cache: false }): Promise<Driver> {
  const t = topology()
  const [l, r] = [t.table(people), t.table(cities)]
  const named = { name: 'homes', value: string() }
  const table = isLeft ? l.leftJoinByForeignKey(r, cityOf, dash, named) : l.joinByForeignKey(r, cityOf, dash, named)
  table.toStream().to(out)
  return drive(t, options)
}
const rows = (d: Driver): unknown[][] => d.output(out).map((r) => [r.key, r.value, r.timestamp])

describe('foreign-key joins', () => {
  it('follow a left row from one right row to another, at the higher time of both', async () => {
    const d = await joined(false)
    await d.send(cities, 'rome', 'Rome', { timestamp: 10 })
    await d.send(people, 'p', 'Ann@rome', { timestamp: 5 })
    await d.send(people, 'p', 'Ann@oslo', { timestamp: 6 })
    await d.send(cities, 'oslo', 'Oslo', { timestamp: 4 })
    await d.send(cities, 'rome', 'Roma', { timestamp: 11 })
    await d.send(people, 'p', null, { timestamp: 12 })
    await d.send(cities, 'oslo', 'OSLO', { timestamp: 13 })
    expect(rows(d)).to.deep.equal([
      ['p', 'Ann@rome-Rome', 10],
      ['p', null, 6],
      ['p', 'Ann@oslo-Oslo', 4],
      ['p', null, 12]
    ])
  })

  it('drop a null foreign key and take back what was there; a left join joins it with null', async () => {
    const d = await joined(false)
    const e = await joined(true)
    for (const each of [d, e]) {
      await each.send(cities, 'rome', 'Rome', { timestamp: 1 })
      await each.send(people, 'p', 'Ann@rome', { timestamp: 2 })
      await each.send(people, 'p', 'Ann@', { timestamp: 3 })
      await each.send(people, 'p', 'Ann@rome', { timestamp: 4 })
    }
    expect(rows(d)).to.deep.equal([
      ['p', 'Ann@rome-Rome', 2],
      ['p', null, 3],
      ['p', 'Ann@rome-Rome', 4]
    ])
    expect(d.dropped).to.deep.equal(['null-foreign-key'])
    expect(rows(e)).to.deep.equal([
      ['p', 'Ann@rome-Rome', 2],
      ['p', 'Ann@-null', 3],
      ['p', 'Ann@rome-Rome', 4]
    ])
  })

  it('stand in three parts: the right table and the subscribers in one, the topics between as many as each side', async () => {
    const t = topology()
    t.table(people)
      .joinByForeignKey(t.table(cities), cityOf, dash, { name: 'homes', value: string() })
      .toStream()
      .to(out)
    const built = t.build('app')
    expect(built.subtopologies.map((s) => s.stores.map((x) => x.name))).to.deep.equal([
      ['people-table', 'homes'],
      ['cities-table', 'homes-subscribers']
    ])
    expect(built.internalTopics.repartition.map((r) => r.topic)).to.deep.equal([
      'app-homes-subscription-repartition',
      'app-homes-response-repartition'
    ])
    const d = await drive(t, { partitions: { people: 3, cities: 5 } })
    await d.close()
  })

  it('leave out a response that is about a value of the past', async () => {
    const t = topology()
    // Both writes of one record: the second is done before the first one's subscription is answered.
    const twice = t.stream(people).flatMapValues((v) => [`${v}1@rome`, `${v}2@rome`], { value: string() })
    twice
      .toTable()
      .joinByForeignKey(t.table(cities), cityOf, dash, { name: 'homes', value: string() })
      .toStream()
      .to(out)
    const d = await drive(t, { cache: false })
    await d.send(cities, 'rome', 'Rome', { timestamp: 1 })
    await d.send(people, 'p', 'Ann', { timestamp: 2 })
    expect(rows(d)).to.deep.equal([['p', 'Ann2@rome-Rome', 2]])
  })

  it('tell all subscribers of a row, in the order of their keys, however many they are', async () => {
    const d = await joined(false)
    const names = Array.from({ length: 1000 }, (_, i) => `p${i}`)
    for (const name of names) await d.send(people, name, `${name}@rome`, { timestamp: 1 })
    await d.restart()
    await d.send(cities, 'rome', 'Rome', { timestamp: 2 })
    expect(rows(d).map((r) => r[0])).to.deep.equal([...names].sort())
    for (const name of names.slice(1)) await d.send(people, name, null, { timestamp: 3 })
    rows(d)
    await d.send(cities, 'rome', 'Roma', { timestamp: 4 })
    expect(rows(d)).to.deep.equal([['p0', 'p0@rome-Roma', 4]])
  })

  it('equal a model after every record: any kind, partitions, with a cache and without, restarts', async () => {
    const random = seededRandom(5)
    const whole = (n: number): number => Math.floor(random() * n)
    for (let run = 0; run < 24; run++) {
      const isLeft = run % 2 === 0
      const cache = run % 3 === 0
      const d = await joined(isLeft, { cache, partitions: { people: 1 + whole(3), cities: 1 + whole(3) } })
      const lefts = new Map<string, string>()
      const rights = new Map<string, string>()
      const view = new Map<string, unknown>()
      for (let i = 0; i < 80; i++) {
        if (whole(3) > 0) {
          const key = `p${whole(4)}`
          const value = whole(5) === 0 ? null : `n${whole(3)}@${['', 'rome', 'oslo', 'bern'][whole(4)]}`
          if (value === null) lefts.delete(key)
          else lefts.set(key, value)
          await d.send(people, key, value, { timestamp: i })
        } else {
          const key = ['rome', 'oslo', 'bern'][whole(3)]!
          const value = whole(3) === 0 ? null : `${i}`
          if (value === null) rights.delete(key)
          else rights.set(key, value)
          await d.send(cities, key, value, { timestamp: i })
        }
        if (whole(8) === 0) await d.restart()
        if (cache) {
          if (whole(4) > 0) continue
          await d.commit()
        }
        for (const [key, value] of rows(d)) {
          if (value === null) view.delete(key as string)
          else view.set(key as string, value)
        }
        const wanted = [...lefts].flatMap(([key, value]) => {
          const right = rights.get(cityOf(value) ?? '') ?? null
          return right !== null || isLeft ? [[key, dash(value, right)]] : []
        })
        expect([...view].sort(), `run ${run}, record ${i}`).to.deep.equal(wanted.sort())
      }
      await d.close()
    }
  })
})

describe('subscribers', () => {
  it('are found again after every growth and shrinkage, from rows that stay small', async () => {
    const spec = {
      name: 's',
      kind: 'keyValue' as const,
      key: string(),
      value: subscriberSerde,
      caching: false,
      logged: true
    }
    const state = await openTaskState({
      directory: 'subscribers-spec',
      applicationId: 'app',
      taskId: '0_0',
      driver: memoryDriver,
      specs: [spec] as never,
      cache: cacheBudget(0), // nothing clean stays: rows come back from their bytes
      clock: new VirtualClock()
    })
    const store = state.store('s') as unknown as RowStore<SubscriberRow> & (typeof state.stores)[0]
    const largest = async (): Promise<number> => {
      let most = 0
      for await (const { value } of store.scan({ from: '', to: undefined }))
        most = Math.max(most, (value as SubscriberRow).list.size)
      return most
    }
    const commit = async (): Promise<void> => {
      await store.flush(undefined)
      await state.commit(new Map())
    }
    const subscribers = new Subscribers(store)
    const random = seededRandom(3)
    const model = new Map<string, number>()
    for (let i = 0; i < 9000; i++) {
      const id = `id${Math.floor(random() * 6000)}`
      if (i < 6000 || random() < 0.2) {
        model.set(id, i)
        await subscribers.put('fk', id, { hash: null, partition: i }, i)
      } else {
        model.delete(id)
        await subscribers.remove('fk', id, i)
      }
      if (i % 500 === 0) await commit()
    }
    await commit()
    const found = (await subscribers.all('fk')).map(([id, { partition }]) => [id, partition])
    expect(found).to.deep.equal([...model].sort(([a], [b]) => (a < b ? -1 : 1)))
    expect(await largest()).to.be.below(300)
    expect(await subscribers.all('fk2')).to.deep.equal([])
    for (const id of model.keys()) await subscribers.remove('fk', id, 1)
    await commit()
    expect(await largest()).to.equal(0)
    await state.close()
  })
})

describe('messages of foreign-key joins', () => {
  const hash = Buffer.from('0123456789abcdef')

  it('come back as they were, with and without hash and value', () => {
    const subscriptions: Subscription[] = [
      { instruction: 3, hash, id: 'kÿ\u0000', partition: 7 },
      { instruction: 0, hash: null, id: '', partition: 0 }
    ]
    for (const s of subscriptions) {
      const bytes = subscriptionSerde.encode(s)
      const within = Buffer.concat([Buffer.from('xx'), bytes, Buffer.from('y')])
      expect(subscriptionSerde.decode(within, 2, 2 + bytes.length)).to.deep.equal(s)
    }
    const serde = responseSerde(string())
    const responses: Response<string>[] = [
      { hash, value: 'v', farewell: false, partition: -1 },
      { hash: null, value: '', farewell: false, partition: -1 },
      { hash: null, value: null, farewell: false, partition: -1 },
      { hash, value: null, farewell: true, partition: -1 }
    ]
    for (const r of responses) {
      const bytes = serde.encode(r)
      expect(serde.decode(bytes, 0, bytes.length)).to.deep.equal(r)
    }
  })
})
