/** Behaviours as plain values: what is typed and refused when they are defined, and what their handlers do. */
import { expect } from 'chai'
import { defineBehaviour, type Ending } from '../../lib/behaviour/define.ts'
import { topic, topology } from '../../lib/dsl/index.ts'
import { combine } from '../../lib/options/combine.ts'
import { int, json } from '../../lib/serde/index.ts'
import { drive } from '../../lib/testing/drive.ts'

interface Order {
  readonly line: string
  readonly price: number
}
interface Cart {
  readonly lines: readonly string[]
  readonly total: number
}

const orders = topic('orders', json<Order>())
const payments = topic('payments', json<{ readonly amount: number }>())
const invoices = topic('invoices', json<{ readonly lines: readonly string[]; readonly paid: number }>())
const ends = topic('ends', json<string>())

const parts = {
  input: { orders, payments },
  output: { invoices, ends },
  state: json<Cart>(),
  initial: (): Cart => ({ lines: [], total: 0 })
}

const cart = defineBehaviour('cart', {
  ...parts,
  receive: {
    orders(cart, order, { timers }) {
      timers.set('abandon', { after: '30m' })
      return { lines: [...cart.lines, order.line], total: cart.total + order.price }
    },
    payments(cart, payment, { emit, timers }) {
      timers.cancel('abandon')
      emit.invoices({ lines: cart.lines, paid: payment.amount })
      return null
    }
  },
  timer: { abandon: () => null },
  query: {
    total: (cart) => cart.total,
    has: (cart, line: string) => cart.lines.includes(line)
  },
  ask: {
    void(cart, reason: string, { reply, emit }) {
      emit.ends(reason)
      reply(cart.total)
      return null
    }
  },
  created: (_, { emit, key }) => emit.ends(`${key} created`),
  ended: (cart, why: Ending, { emit, key }) => emit.ends(`${key} ${why} ${cart.total}`)
})

const order = (line: string, price: number): Order => ({ line, price })
const MINUTE = 60_000

describe('A defined behaviour', () => {
  it('keeps state by key, emits by name, and sets and takes back timers', async () => {
    const d = await drive(cart)
    await d.send(orders, 'a', order('x', 1), { timestamp: 0 })
    await d.send(orders, 'a', order('y', 2), { timestamp: MINUTE })
    await d.send(orders, 'b', order('z', 4), { timestamp: MINUTE })
    await d.send(payments, 'a', { amount: 3 }, { timestamp: 2 * MINUTE })
    await d.send(orders, 'c', order('w', 8), { timestamp: 60 * MINUTE })
    expect(d.output(invoices).map(({ key, value }) => [key, value])).to.deep.equal([
      ['a', { lines: ['x', 'y'], paid: 3 }]
    ])
    expect(d.output(ends).map(({ value, timestamp }) => [value, timestamp / MINUTE])).to.deep.equal([
      ['a created', 0],
      ['b created', 1],
      ['a deleted 3', 2],
      ['b deleted 4', 31],
      ['c created', 60]
    ])
    await d.close()
  })

  it('answers queries without changing anything, and asks that change; unknown ones with the nearest name', async () => {
    const d = await drive(cart)
    await d.send(orders, 'a', order('x', 1), { timestamp: 0 })
    expect(await d.query(cart, 'a', 'total')).to.equal(1)
    expect(await d.query(cart, 'a', 'has', 'x')).to.equal(true)
    expect(await d.query(cart, 'b', 'total')).to.equal(0)
    expect(await d.ask(cart, 'a', 'void', 'sorry')).to.equal(1)
    expect(await d.query(cart, 'a', 'total')).to.equal(0)
    expect(d.output(ends).map(({ value }) => value)).to.deep.equal(['a created', 'sorry', 'a deleted 1'])
    // @ts-expect-error: no such query
    const unknown = await d.query(cart, 'a', 'totl').catch((e: Error) => e.message)
    expect(unknown).to.equal('Behaviour "cart" has no query "totl". Did you mean "total"?')
    await d.close()
  })

  it('lets a key go that nothing touched for its time to live, whatever order records come in', async () => {
    const short = defineBehaviour('short', {
      ...parts,
      ttl: '10m',
      receive: { orders: (cart, { price }) => ({ ...cart, total: cart.total + price }), payments: () => undefined },
      query: { total: (cart) => cart.total },
      ended: (cart, why, { emit }) => emit.ends(`${why} ${cart.total}`)
    })
    const d = await drive(short)
    const at = (key: string, minute: number) => d.send(orders, key, order('x', 1), { timestamp: minute * MINUTE })
    await at('a', 0)
    await at('a', 8)
    await d.send(payments, 'a', { amount: 1 }, { timestamp: 9 * MINUTE })
    await at('a', 2)
    await d.restart()
    await at('b', 18)
    expect(await d.query(short, 'a', 'total')).to.equal(3)
    await at('b', 20)
    expect(d.output(ends).map(({ value, timestamp }) => [value, timestamp / MINUTE])).to.deep.equal([['expired 3', 19]])
    expect(await d.query(short, 'a', 'total')).to.equal(0)
    await d.close()
  })

  it('brings states of earlier versions up step by step, and refuses those it has no way for', async () => {
    const numbers = topic('numbers', int())
    const counted = (version: number | undefined, migrate?: Record<number, (old: unknown) => unknown>) =>
      defineBehaviour('counted', {
        input: { numbers },
        state: json<unknown>(),
        initial: () => 0,
        receive: { numbers: (_, n) => (version === 3 ? { n } : n) },
        query: { now: (state) => state },
        ...(version ? { version } : {}),
        ...(migrate ? { migrate } : {})
      })
    const stored = async (version: number | undefined): Promise<Buffer> => {
      const built = counted(version).build('app')
      const { value } = built.subtopologies[0]!.stores.find(({ name }) => name === 'counted-state')!
      return value.encode({ state: 5, timers: [], marks: [-1, -1] } as never)
    }
    const read = async (bytes: Buffer, by: ReturnType<typeof counted>): Promise<unknown> => {
      const { value } = by.build('app').subtopologies[0]!.stores.find(({ name }) => name === 'counted-state')!
      return (value.decode(bytes, 0, bytes.length) as { state: unknown }).state
    }
    const steps = { 0: (old: unknown) => `${old}!`, 1: (old: unknown) => `${old}?`, 2: (old: unknown) => ({ n: old }) }
    expect(await read(await stored(undefined), counted(3, steps))).to.deep.equal({ n: '5!?' })
    expect(await read(await stored(2), counted(3, steps))).to.deep.equal({ n: 5 })
    expect(await read(await stored(3), counted(3, steps))).to.equal(5)
    const old = await stored(1)
    await read(old, counted(3)).then(
      () => expect.fail('it has no step'),
      (e) => expect([e.code, e.message]).to.deep.equal(['ERR_BEHAVIOUR_STATE', e.message])
    )
    const newer = await stored(3)
    await read(newer, counted(2)).then(
      () => expect.fail('it is newer'),
      (e) => expect(e.message).to.contain('A newer program has written it')
    )
  })

  it('refuses handlers that return promises, timers without a handler, and states that are changed in place', async () => {
    const message = async (receive: (cart: Cart, timers: { set(name: never, o: object): void }) => unknown) => {
      const b = defineBehaviour('b', {
        ...parts,
        receive: {
          orders: (cart, _, { timers }) => receive(cart, timers) as never,
          payments: () => undefined
        },
        timer: { late: () => undefined }
      })
      const d = await drive(b)
      const error = await d.send(orders, 'a', order('x', 1)).catch((e: Error) => e)
      await d.close()
      return error?.message ?? 'nothing'
    }
    expect(await message(async () => undefined))
      .to.contain('returned a promise')
      .and.contain('mapAsync()')
    expect(await message((_, timers) => timers.set('lat' as never, { after: 1 }))).to.contain('Did you mean "late"?')
    expect(await message((cart) => Object.assign(cart, { total: 9 }))).to.contain('read only')
  })

  it('is refused when a handler is missing, misspelt, or too many', () => {
    const { orders, payments } = { orders: () => undefined, payments: () => undefined }
    const define = (over: object) => () => defineBehaviour('b', { ...parts, receive: { orders, payments }, ...over })
    expect(define({ receive: { orders } })).to.throw('has the input "payments", and no handler for it')
    expect(define({ receive: { orders, payments, ordres: orders } })).to.throw('Did you mean "orders"?')
    expect(define({ timers: {} })).to.throw('Did you mean "timer"?')
    expect(define({ query: { x: 1 } })).to.throw('"query.x" of behaviour "b" is no function')
    expect(define({ input: { orders: parts.input.orders, payments: parts.input.orders } })).to.throw(
      'give it one input'
    )
    expect(define({ migrate: { 1: () => 1 } })).to.throw('no "version"')
    expect(define({ version: 1, migrate: { 1: () => 1 } })).to.throw('earlier versions')
    expect(define({ ttl: '0s' })).to.throw('ttl')
  })

  it('is asked with the types of its handlers', async () => {
    const d = await drive(cart)
    const total: number = await d.query(cart, 'a', 'total')
    const has: boolean = await d.query(cart, 'a', 'has', 'x')
    expect([total, has]).to.deep.equal([0, false])
    const wrong = (): unknown => [
      // @ts-expect-error: keys are texts
      d.query(cart, 1, 'total'),
      // @ts-expect-error: it takes a line
      d.query(cart, 'a', 'has'),
      // @ts-expect-error: a line is a text
      d.query(cart, 'a', 'has', 1),
      // @ts-expect-error: it takes nothing
      d.query(cart, 'a', 'total', 1),
      // @ts-expect-error: that is an ask
      d.query(cart, 'a', 'void', 'x'),
      // @ts-expect-error: that is a query
      d.ask(cart, 'a', 'total')
    ]
    expect(wrong).to.be.a('function')
    await d.close()
  })

  it('is asked with anything where the handler takes anything, and with nothing where it need not be given', async () => {
    const open = defineBehaviour('open', {
      ...parts,
      receive: { orders: () => undefined, payments: () => undefined },
      query: {
        same: (_, input: unknown) => input,
        least: (cart, of?: number) => Math.min(cart.total, of ?? -1)
      }
    })
    const d = await drive(open)
    const least: Promise<number>[] = [d.query(open, 'a', 'least'), d.query(open, 'a', 'least', -2)]
    expect(await Promise.all([d.query(open, 'a', 'same', { x: 1 }), ...least])).to.deep.equal([{ x: 1 }, -1, -2])
    await d.close()
  })

  it('is typed by its topics', () => {
    const define = (): unknown => [
      // @ts-expect-error: no handler for payments
      defineBehaviour('a', { ...parts, receive: { orders: () => undefined } }),
      defineBehaviour('b', {
        ...parts,
        receive: {
          orders(cart, order, { emit, timers, key }) {
            const price: number = order.price
            const name: string = key
            emit.ends(name)
            // @ts-expect-error: a number is no invoice
            emit.invoices(price)
            // @ts-expect-error: no such output
            emit.invoice({ lines: cart.lines, paid: 1 })
            // @ts-expect-error: no such timer
            timers.set('abandn', { after: 1 })
            timers.set('abandon', { after: 1 })
          },
          // @ts-expect-error: not a cart
          payments: () => ({ total: 'x' })
        },
        timer: { abandon: (cart) => ({ ...cart, total: 0 }) }
      })
    ]
    expect(define).to.throw('no handler')
  })
})

describe('Parts of a topology', () => {
  it('share the source of a topic, and pass records on through topics of the user', async () => {
    const bill = defineBehaviour('bill', {
      input: { invoices },
      output: { ends },
      state: json<number>(),
      initial: () => 0,
      receive: {
        invoices: (sum, { paid }, { emit }) => {
          emit.ends(`paid ${sum + paid}`)
          return sum + paid
        }
      }
    })
    const dear = topology()
    dear
      .stream(orders)
      .filter(({ value }) => value.price > 5)
      .to('dear')
    const d = await drive([cart, dear, bill])
    await d.send(orders, 'a', order('x', 7), { timestamp: 0 })
    await d.send(payments, 'a', { amount: 7 }, { timestamp: 0 })
    expect(d.output('dear')).to.have.length(1)
    expect(d.output(ends).map(({ value }) => value)).to.deep.equal(['a created', 'a deleted 7', 'paid 7'])
    const built = combine([dear, cart, bill]).build('app')
    expect(built.subtopologies.map(({ sourceTopics }) => sourceTopics)).to.deep.equal([
      ['orders', 'payments'],
      ['invoices']
    ])
    await d.close()
  })

  it('are refused when names meet, or one topic is read in two ways', () => {
    expect(() => combine([cart, cart])).to.throw('is used twice')
    const other = topology()
    other.stream(topic('orders', int())).to('x')
    expect(() => combine([cart, other])).to.throw('read twice, with different serdes')
    expect(() => combine([other, cart])).to.throw('read twice, with different serdes')
    expect(() => combine([{} as never])).to.throw('no behaviour')
  })
})
