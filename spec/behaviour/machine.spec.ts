/** machineBehaviour as a user has it: topics in, topics out, over the driver. */
import { expect } from 'chai'
import { assign, createMachine, emit, setup } from 'xstate'
import { json, machineBehaviour, topic } from '../../actors/index.ts'
import { drive } from '../../lib/testing/drive.ts'

interface Opened {
  readonly type: 'open'
  readonly limit: number
}
type Event = Opened | { readonly type: 'add'; readonly by: number }

const counter = setup({
  types: {
    context: {} as { id: string; n: number; limit: number },
    input: {} as { key: string; limit: number },
    events: {} as Event,
    emitted: {} as { type: 'idle'; n: number },
    output: {} as { total: number }
  }
}).createMachine({
  id: 'counter',
  context: ({ input }) => ({ id: input.key, n: 0, limit: input.limit }),
  initial: 'counting',
  states: {
    counting: {
      after: {
        60000: { target: 'counting', reenter: true, actions: emit(({ context }) => ({ type: 'idle', n: context.n })) }
      },
      on: {
        add: { target: 'counting', reenter: true, actions: assign({ n: ({ context, event }) => context.n + event.by }) }
      },
      always: { guard: ({ context }) => context.n >= context.limit, target: 'full' }
    },
    full: { type: 'final' }
  },
  output: ({ context }) => ({ total: context.n })
})

const opened = topic('opened', json<{ limit: number }>())
const added = topic('added', json<{ by: number }>())
const idle = topic('idle', json<{ type: 'idle'; n: number }>())
const totals = topic('totals', json<{ total: number }>())

const counters = machineBehaviour(counter, {
  input: { opened, added },
  event: { opened: 'open', added: ({ by }) => (by === 0 ? undefined : { type: 'add' as const, by }) },
  startOn: ['open'],
  startWith: ({ key, event }) => ({ key, limit: (event as Opened).limit }),
  output: { idle, done: totals }
})

describe('machineBehaviour', () => {
  it('is asked with the types of its machine and its queries', async () => {
    const asked = machineBehaviour(counter, {
      name: 'asked',
      input: { opened },
      event: { opened: 'open' },
      startWith: ({ key }) => ({ key, limit: 9 }),
      output: { idle },
      query: { over: ({ context }, n: number) => context.n > n }
    })
    const d = await drive(asked)
    const added = await d.ask(asked, 'a', 'send', { type: 'add', by: 5 })
    const over: boolean | undefined = await d.query(asked, 'a', 'over', 4)
    const snapshot = await d.query(asked, 'a', 'snapshot')
    expect([added?.value, over, snapshot?.tags]).to.deep.equal(['counting', true, []])
    const wrong = (): unknown => [
      // @ts-expect-error: no such event
      d.ask(asked, 'a', 'send', { type: 'ad', by: 5 }),
      // @ts-expect-error: it takes a number
      d.query(asked, 'a', 'over', 'x'),
      // @ts-expect-error: no such query
      d.query(asked, 'a', 'snap')
    ]
    expect(wrong).to.be.a('function')
    await d.close()
  })

  it('runs a machine per key: events in by input, emitted events and outputs out, with their times', async () => {
    const d = await drive(counters)
    await d.send(added, 'a', { by: 99 }, { timestamp: 0 }) // starts nothing
    await d.send(opened, 'a', { limit: 10 }, { timestamp: 1_000 })
    await d.send(opened, 'b', { limit: 5 }, { timestamp: 2_000 })
    await d.send(added, 'a', { by: 4 }, { timestamp: 30_000 })
    await d.send(added, 'b', { by: 0 }, { timestamp: 40_000 }) // no event
    await d.send(added, 'b', { by: 5 }, { timestamp: 70_000 })
    await d.send(added, 'a', { by: 6 }, { timestamp: 95_000 })
    expect(d.output(idle).map(({ key, timestamp, value }) => [key, timestamp, value!.n])).to.deep.equal([
      ['b', 62_000, 0],
      ['a', 90_000, 4]
    ])
    expect(d.output(totals).map(({ key, timestamp, value }) => [key, timestamp, value!.total])).to.deep.equal([
      ['b', 70_000, 5],
      ['a', 95_000, 10]
    ])
    await d.close()
  })

  it('keeps machines and their delays over restarts, at any point', async () => {
    const script = async (restarts: boolean): Promise<unknown[]> => {
      const d = await drive(counters)
      const then = async (): Promise<void> => (restarts ? d.restart() : undefined)
      await d.send(opened, 'a', { limit: 10 }, { timestamp: 0 })
      await then()
      for (const [i, by] of [1, 2, 3, 4].entries()) {
        await d.send(added, 'a', { by }, { timestamp: 70_000 * (i + 1) })
        await then()
      }
      const out = d.outputs()
      await d.close()
      return out
    }
    const expected = await script(false)
    expect(expected).to.have.length(5)
    expect(await script(true)).to.deep.equal(expected)
  })

  it('leaves the machine it was given as it is, and stops loops in its own', async () => {
    const looping = createMachine({ initial: 'a', states: { a: { always: 'b' }, b: { always: 'a' } } })
    const d = await drive(machineBehaviour(looping, { name: 'loop', input: { opened }, event: { opened: 'open' } }))
    const error = await d.send(opened, 'a', { limit: 1 }).catch((e: Error) => e)
    expect(error).to.have.property('code', 'ERR_PROCESSING')
    expect(looping.options.maxIterations).to.equal(Number.POSITIVE_INFINITY)
    await d.close()
  })

  it('refuses what cannot work: unknown options, an output "done" without an output, no input, invoke', () => {
    const bad = (run: () => unknown): Chai.Assertion => expect(run).to.throw()
    // @ts-expect-error: no such option
    bad(() => machineBehaviour(counter, { input: { opened }, inputs: {} })).with.property('code', 'ERR_UNKNOWN_OPTION')
    const silent = createMachine({ id: 'silent' })
    bad(() => machineBehaviour(silent, { input: { opened }, output: { done: totals } as never }))
      .with.property('message')
      .that.includes('has no output')
    bad(() => machineBehaviour(counter, { input: {} })).with.property('code', 'ERR_TOPOLOGY_EMPTY')
    const invoking = createMachine({ id: 'm', initial: 'a', states: { a: { invoke: { src: 'charge' } } } } as never)
    bad(() => machineBehaviour(invoking, { input: { opened } })).with.property('code', 'ERR_MACHINE')
  })
})
