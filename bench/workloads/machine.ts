/** A state machine per key: XState here, the same logic by hand on the JVM. */
import { assign, emit, setup } from 'xstate'
import { machineBehaviour } from '../../actors/index.ts'
import { topic } from '../../lib/dsl/index.ts'
import type { Serde } from '../../lib/record.ts'
import { json } from '../../lib/serde/index.ts'
import { ExactRecords } from '../harness/expected.ts'
import type { Workload } from '../harness/types.ts'
import { keyOf, START } from './data.ts'

const KEYS = 10_000
const ROUND = ['add', 'pay', 'pack', 'ship'] as const

type Event = { type: 'add'; price: number } | { type: 'pay'; amount: number } | { type: 'pack' } | { type: 'ship' }
interface Invoice {
  readonly type: 'invoice'
  readonly paid: number
}

/** An order goes round: what was added is paid (which gives an invoice), packed, shipped. */
const order = setup({
  types: {
    context: {} as { total: number; paid: number; rounds: number },
    events: {} as Event,
    emitted: {} as Invoice
  },
  guards: { covered: ({ context, event }) => event.type === 'pay' && event.amount >= context.total }
}).createMachine({
  id: 'order',
  version: '1',
  context: { total: 0, paid: 0, rounds: 0 },
  initial: 'empty',
  states: {
    empty: { on: { add: { target: 'open', actions: assign({ total: ({ event }) => event.price }) } } },
    open: {
      on: {
        pay: {
          guard: 'covered',
          target: 'paid',
          actions: assign({ paid: ({ context, event }) => context.paid + event.amount })
        }
      }
    },
    paid: {
      entry: emit(({ context }): Invoice => ({ type: 'invoice', paid: context.paid })),
      on: { pack: 'packed' }
    },
    packed: { on: { ship: { target: 'empty', actions: assign({ rounds: ({ context }) => context.rounds + 1 }) } } }
  }
})

const price = (i: number): number => 10 + ((i * 7) % 90)

export const machine: Workload = {
  name: 'machine',
  about: 'four transitions a round and key of an XState machine, 10,000 keys; by hand on the JVM',
  inputs: 1,
  data(records, put) {
    const expected = new ExactRecords()
    const paid = new Array<number>(KEYS).fill(0)
    for (let i = 0; i < records; i++) {
      const [n, type] = [i % KEYS, ROUND[Math.floor(i / KEYS) % ROUND.length]!]
      const amount = price(i - KEYS) // what was added to the same key a round before
      const event: Event = type === 'add' ? { type, price: price(i) } : type === 'pay' ? { type, amount } : { type }
      put(0, START + i, keyOf(n), Buffer.from(JSON.stringify(event)))
      if (type !== 'pay') continue
      paid[n]! += amount
      expected.add(START + i, keyOf(n), Buffer.from(JSON.stringify({ type: 'invoice', paid: paid[n] })))
    }
    return expected
  },
  build(_t, { inputs, output }, _source, taken) {
    const events: Serde<Event> = json<Event>()
    // Each event is decoded once, when the machine gets it.
    const counted: Serde<Event> = {
      ...events,
      decode(bytes, start, end) {
        taken()
        return events.decode(bytes, start, end)
      }
    }
    return machineBehaviour(order, {
      input: { events: topic(inputs[0]!, counted) },
      output: { invoice: topic(output, json<Invoice>()) }
    })
  }
}
