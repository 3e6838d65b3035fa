/** Random orders to random keys, with restarts and commits between them, against a model that keeps all timers in one list. */
import { expect } from 'chai'
import fc from 'fast-check'
import { keyedBehaviour } from '../../lib/behaviour/keyed.ts'
import type { Asked, KeyContext, KeyedLogic, Next } from '../../lib/behaviour/port.ts'
import { topic } from '../../lib/dsl/index.ts'
import { json, string } from '../../lib/serde/index.ts'
import { drive } from '../../lib/testing/drive.ts'

interface Order {
  /** Of timers: ms after the record, or -1 to take it back. */
  readonly timers: readonly (readonly [name: string, after: number])[]
  /** State afterwards; null deletes, undefined leaves it. */
  readonly keep?: number | null
}
type Step =
  | { readonly kind: 'send'; readonly key: string; readonly time: number; readonly order: Order }
  | { readonly kind: 'restart' | 'commit' }

const orders = topic('orders', json<Order>())
const said = topic('said', json<unknown>())

/** Timers called again set themselves anew; one called end deletes its key. */
class Logic implements KeyedLogic<string, number> {
  receive(_: string, __: number | undefined, value: unknown, { timers }: KeyContext<string>): Next<number> {
    const order = value as Order
    for (const [name, after] of order.timers) {
      if (after < 0) timers.cancel(name)
      else timers.set(name, { after })
    }
    return order.keep
  }

  query(): void {}

  ask(): Asked<number> {
    return { state: undefined, reply: undefined }
  }

  timer(name: string, state: number | undefined, due: number, context: KeyContext<string>): Next<number> {
    context.emit('said', [context.key, name, due, state ?? null])
    if (name === 'again') context.timers.set('again', { after: 7 })
    return name === 'end' ? null : name === 'count' ? (state ?? 0) + 1 : undefined
  }
}

function model(steps: readonly Step[]): unknown[] {
  const states = new Map<string, number>()
  let timers: { key: string; name: string; due: number }[] = []
  const out: unknown[] = []
  const drop = (key: string, name?: string): void => {
    timers = timers.filter((t) => t.key !== key || (name !== undefined && t.name !== name))
  }
  const set = (key: string, name: string, due: number): void => {
    drop(key, name)
    timers.push({ key, name, due })
  }
  const order = (a: (typeof timers)[0], b: (typeof timers)[0]): number =>
    a.due - b.due || (a.key < b.key ? -1 : a.key > b.key ? 1 : a.name < b.name ? -1 : 1)
  let now = -1
  for (const step of steps) {
    if (step.kind !== 'send') continue
    now = Math.max(now, step.time)
    for (;;) {
      const next = timers.filter((t) => t.due <= now).sort(order)[0]
      if (!next) break
      const { key, name, due } = next
      drop(key, name)
      const state = states.get(key)
      out.push([key, name, due, state ?? null])
      if (name === 'again') set(key, 'again', due + 7)
      if (name === 'count') states.set(key, (state ?? 0) + 1)
      if (name !== 'end') continue
      states.delete(key)
      drop(key)
    }
    const { key, time, order: asked } = step
    if (asked.keep === null) {
      states.delete(key)
      drop(key)
      continue
    }
    for (const [name, after] of asked.timers) {
      if (after < 0) drop(key, name)
      else set(key, name, time + after)
    }
    if (asked.keep !== undefined) states.set(key, asked.keep)
  }
  return out
}

const timer = fc.tuple(fc.constantFrom('a', 'b', 'again', 'count', 'end'), fc.constantFrom(-1, 0, 1, 5, 20, 60))
const send = fc.record({
  kind: fc.constant('send' as const),
  key: fc.constantFrom('k', 'l', 'm', 'mm'),
  time: fc.nat(200),
  order: fc.record(
    { timers: fc.array(timer, { maxLength: 3 }), keep: fc.option(fc.nat(9)) },
    { requiredKeys: ['timers'] }
  )
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: send },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'restart' as const }, { kind: 'commit' as const }) }
)

describe('The timers of a keyed behaviour', function () {
  this.timeout(60_000)

  it('fire as those of a model do, whatever is set, taken back and deleted, and wherever it restarts', async () => {
    let fired = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const expected = model(steps)
        const d = await drive(
          keyedBehaviour<string, number>('b', {
            inputs: { orders },
            outputs: { said },
            key: string(),
            state: json<number>(),
            logic: () => new Logic()
          })
        )
        for (const one of steps) {
          if (one.kind === 'send') await d.send(orders, one.key, one.order, { timestamp: one.time })
          else await d[one.kind]()
        }
        expect(d.output(said).map(({ value }) => value)).to.deep.equal(expected)
        await d.close()
        fired += expected.length
      }),
      { numRuns: Number(process.env.KEYED_RUNS ?? 300) }
    )
    expect(fired).to.be.above(500)
  })
})
