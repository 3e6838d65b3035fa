/** The order that the benches of machines step: what was added is paid (which gives an invoice), packed, shipped, and so on round. */
import { assign, emit, setup } from 'xstate'

/** Four transitions, and one record out. */
export const ROUND = ['add', 'pay', 'pack', 'ship'] as const

export type OrderEvent = { type: 'add'; price: number } | { type: 'pay'; amount: number } | { type: 'pack' | 'ship' }
export interface Invoice {
  readonly type: 'invoice'
  readonly paid: number
}

/** @param timers each round sets one and takes it back */
export const orderMachine = (timers: boolean) =>
  setup({
    types: {
      context: {} as { total: number; paid: number; rounds: number },
      events: {} as OrderEvent,
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
        },
        ...(timers ? { after: { 1800000: 'empty' } } : {})
      },
      paid: {
        entry: emit(({ context }): Invoice => ({ type: 'invoice', paid: context.paid })),
        on: { pack: 'packed' }
      },
      packed: { on: { ship: { target: 'empty', actions: assign({ rounds: ({ context }) => context.rounds + 1 }) } } }
    }
  })

const price = (n: number): number => 10 + ((n * 7) % 90)

/** Event `n` of all, where the keys take turns. A payment covers what was added to the same key a round before. */
export function eventAt(n: number, keys: number): OrderEvent {
  const type = ROUND[Math.floor(n / keys) % ROUND.length]!
  if (type === 'add') return { type, price: price(n) }
  return type === 'pay' ? { type, amount: price(n - keys) } : { type }
}
