/** What hosts a keyed behaviour, with logic written out by hand: state, timers and their order, what goes out, what a restart keeps. */
import { expect } from 'chai'
import { type Behaviour, keyedBehaviour } from '../../lib/behaviour/keyed.ts'
import type { Asked, KeyContext, KeyedLogic, Next } from '../../lib/behaviour/port.ts'
import { topic } from '../../lib/dsl/index.ts'
import { json, nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

/** What a record asks for, in the order of its words. */
interface Order {
  /** Timers by name: due time, or null to take one back. */
  readonly set?: Readonly<Record<string, number | null>>
  readonly clock?: 'event' | 'wall'
  readonly say?: string
  readonly keep?: number | null
  readonly fail?: true
}

const orders = topic('orders', { key: nullable(string()), value: nullable(json<Order>()) })
const more = topic('more', { key: nullable(string()), value: nullable(json<Order>()) })
const said = topic('said', json<string>())

class Logic implements KeyedLogic<string, number> {
  receive(input: string, state: number | undefined, value: unknown, context: KeyContext<string>): Next<number> {
    const { set = {}, clock = 'event', say, keep, fail } = value as Order
    for (const [name, at] of Object.entries(set)) {
      if (at === null) context.timers.cancel(name)
      else context.timers.set(name, { at, clock })
    }
    if (say !== undefined) context.emit('said', `${input} ${say} ${state ?? '-'}`)
    if (fail) throw new Error('no')
    return keep
  }

  query(name: string, state: number | undefined, input: unknown, key: string): unknown {
    if (input === 'fail') throw new Error('no')
    return `${name} ${key} ${state ?? '-'}`
  }

  ask(name: string, state: number | undefined, input: unknown, context: KeyContext<string>): Asked<number> {
    return { state: this.receive(name, state, input, context), reply: state }
  }

  timer(name: string, state: number | undefined, due: number, context: KeyContext<string>): Next<number> {
    context.emit('said', `${context.key} ${name} ${due} ${state ?? '-'}`)
    return name === 'end' ? null : undefined
  }
}

const behaviour = (): Behaviour =>
  keyedBehaviour<string, number>('b', {
    inputs: { orders: orders as never, more: more as never },
    outputs: { said },
    key: string(),
    state: json<number>(),
    logic: () => new Logic()
  })

describe('A keyed behaviour', () => {
  let d: Driver
  beforeEach(async () => {
    d = await drive(behaviour())
  })
  afterEach(() => d.close())

  const send = (key: string | null, order: Order, timestamp = 0): Promise<void> =>
    d.send(orders, key, order, { timestamp })
  const heard = (): string[] => d.output(said).map(({ value }) => value!)

  it('keeps a state per key, tells the inputs apart, and forgets what is deleted', async () => {
    await send('a', { keep: 1, say: 'x' })
    await d.send(more, 'a', { say: 'y' }, { timestamp: 0 })
    await send('b', { say: 'z' })
    await send('a', { keep: null })
    await send('a', { say: 'gone' })
    expect(heard()).to.deep.equal(['orders x -', 'more y 1', 'orders z -', 'orders gone -'])
  })

  it('sends under its own key, with the time and headers of the record; a timer with its own time', async () => {
    const headers = [['h', Buffer.from('1')]] as [string, Buffer][]
    await d.send(orders, 'a', { say: 'x', set: { t: 50 } }, { timestamp: 5, headers })
    await send('b', {}, 60)
    const out = d.output(said)
    expect(out.map(({ key, timestamp }) => [key, timestamp])).to.deep.equal([
      ['a', 5],
      ['a', 50]
    ])
    expect(out.map((r) => r.headers)).to.deep.equal([headers, []])
  })

  it('fires timers before the record that moves the time over them, in the order of time, key, name', async () => {
    await send('b', { set: { y: 20, x: 20 } })
    await send('a', { set: { x: 20, late: 31, early: 10 } })
    await send('c', { say: 'then' }, 30)
    expect(heard()).to.deep.equal(['a early 10 -', 'a x 20 -', 'b x 20 -', 'b y 20 -', 'orders then -'])
    await send('c', {}, 31)
    expect(heard()).to.deep.equal(['a late 31 -'])
  })

  it('replaces a timer that is set again, earlier and later, and drops one that is taken back', async () => {
    await send('a', { set: { later: 10, sooner: 40, never: 20 } })
    await send('a', { set: { later: 50, sooner: 30, never: null } })
    await send('b', {}, 45)
    expect(heard()).to.deep.equal(['a sooner 30 -'])
    await send('b', {}, 100)
    expect(heard()).to.deep.equal(['a later 50 -'])
  })

  it('drops the timers of a key that is deleted, also by a timer; a new one of that key starts anew', async () => {
    await send('a', { keep: 1, set: { x: 10, y: 20 } })
    await send('a', { keep: null })
    await send('b', { keep: 2, set: { end: 15, x: 25 } })
    await send('a', { keep: 3, set: { x: 22 } })
    await send('c', {}, 100)
    expect(heard()).to.deep.equal(['b end 15 2', 'a x 22 3'])
  })

  it('keeps state and timers over restarts', async () => {
    await send('a', { keep: 7, set: { x: 10, y: 20 } })
    await d.restart()
    await send('b', {}, 15)
    await d.restart()
    await send('b', {}, 25)
    expect(heard()).to.deep.equal(['a x 10 7', 'a y 20 7'])
  })

  it('fires wall-clock timers when the clock gets there, though no record comes', async () => {
    await send('a', { keep: 1, clock: 'wall', set: { x: 5_000 } })
    await d.advance(4_900)
    expect(heard()).to.deep.equal([])
    await d.restart()
    await d.advance(200)
    expect(heard()).to.deep.equal(['a x 5000 1'])
  })

  it('fires wall-clock timers that are set after the last has gone, and those that others set', async () => {
    await d.advance(1_000) // nothing waits: nobody looks any more
    await send('a', { clock: 'wall', set: { x: 5_000, z: 9_000 } })
    await d.advance(6_000)
    await send('b', { clock: 'wall', set: { y: 8_000 } })
    await d.advance(4_000)
    expect(heard()).to.deep.equal(['a x 5000 -', 'b y 8000 -', 'a z 9000 -'])
  })

  it('fires a timer of the past with the next record', async () => {
    await send('a', { set: { x: 10 } }, 100)
    await send('b', { say: 'then' }, 50)
    expect(heard()).to.deep.equal(['a x 10 -', 'orders then -'])
  })

  it('does nothing of what a record asked for that failed', async () => {
    await send('a', { keep: 1 })
    const error = await send('a', { keep: 9, say: 'lost', set: { x: 10 }, fail: true }).catch((e: unknown) => e)
    expect(error).to.have.property('code', 'ERR_PROCESSING')
    await send('a', { say: 'still' }, 50)
    expect(heard()).to.deep.equal(['orders still 1'])
  })

  it('answers queries from the state as it is', async () => {
    await send('a', { keep: 7 })
    expect(await d.query(behaviour(), 'a', 'what')).to.equal('what a 7')
    expect(await d.query(behaviour(), 'b', 'what')).to.equal('what b -')
    expect(await d.query(behaviour(), 'a', 'what', 'fail').catch((e: Error) => e.message)).to.equal('no')
  })

  it('works asks as records that come now: they change state, set timers and emit', async () => {
    await d.advance(1_000)
    await send('a', { keep: 1 }, 0)
    const set = { t: 1_500 }
    expect(await d.ask(behaviour(), 'a', 'void', { keep: 2, say: 'x', set })).to.equal(1)
    await send('b', {}, 2_000)
    expect(d.output(said).map(({ key, value, timestamp }) => [key, value, timestamp])).to.deep.equal([
      ['a', 'void x 1', 1_000],
      ['a', 'a t 1500 2', 1_500]
    ])
  })

  it('fires timers that are due before an ask, and changes nothing for one that throws', async () => {
    await send('a', { keep: 1, set: { end: 50 } })
    expect(
      await d.ask(behaviour(), 'a', 'void', { keep: 9, say: 'x', fail: true }).catch((e: Error) => e.message)
    ).to.equal('no')
    await d.send(more, 'b', {}, { timestamp: 60 })
    expect(await d.ask(behaviour(), 'a', 'void', {})).to.equal(undefined)
    expect(heard()).to.deep.equal(['a end 50 1'])
  })

  it('leaves out records without key or value, and counts them', async () => {
    await send(null, { say: 'x' })
    await d.send(orders, 'a', null)
    expect(d.dropped).to.deep.equal(['null-key', 'null-value'])
  })

  it('keeps thousands of timers in order, more than are held in memory', async () => {
    const due = (i: number): number => 1_000 + ((i * 7_919) % 20_000)
    for (let i = 0; i < 20_000; i++) await send(`k${i}`, { set: { t: due(i) } })
    await d.restart()
    await send('end', {}, 50_000)
    const times = d.output(said).map(({ timestamp }) => timestamp)
    expect(times).to.have.length(20_000)
    expect(times).to.deep.equal([...times].sort((a, b) => a - b))
  }).timeout(30_000)
})
