/** The life of one order: placed, paid (perhaps in parts), shipped; or lapsed, when it is not paid within a day. */
import { assign, emit, setup } from 'xstate'

export interface Placed {
  readonly order: string
  readonly customer: string
  readonly amount: number
}
export interface Payment {
  readonly order: string
  readonly amount: number
}
export interface Shipment {
  readonly order: string
  readonly parcel: string
}

/** What an order came to. */
export interface Outcome {
  readonly order: string
  readonly outcome: 'fulfilled' | 'lapsed'
  readonly paid: number
  readonly parcel: string | null
}

export type OrderEvent =
  | ({ readonly type: 'placed' } & Placed)
  | { readonly type: 'paid'; readonly amount: number }
  | { readonly type: 'shipped'; readonly parcel: string }

/** A note to the customer, and the order to the warehouse to send the goods. */
export type OrderNote =
  | { readonly type: 'reminder'; readonly order: string; readonly due: number }
  | { readonly type: 'release'; readonly order: string; readonly paid: number }

export const HOUR = 3_600_000
export const DAY = 24 * HOUR

export const order = setup({
  types: {
    context: {} as { order: string; amount: number; paid: number; parcel: string | null },
    input: {} as Placed,
    events: {} as OrderEvent,
    emitted: {} as OrderNote,
    output: {} as Outcome
  },
  delays: { reminder: 12 * HOUR, payment: DAY },
  guards: {
    covered: ({ context, event }) => event.type === 'paid' && context.paid + event.amount >= context.amount
  },
  actions: {
    take: assign({ paid: ({ context, event }) => context.paid + (event.type === 'paid' ? event.amount : 0) })
  }
}).createMachine({
  id: 'order',
  version: '1',
  context: ({ input }) => ({ order: input.order, amount: input.amount, paid: 0, parcel: null }),
  initial: 'unpaid',
  states: {
    unpaid: {
      on: { paid: [{ guard: 'covered', target: 'paid', actions: 'take' }, { actions: 'take' }] },
      after: {
        reminder: {
          actions: emit(({ context }) => ({
            type: 'reminder',
            order: context.order,
            due: context.amount - context.paid
          }))
        },
        payment: 'lapsed'
      }
    },
    paid: {
      entry: emit(({ context }) => ({ type: 'release', order: context.order, paid: context.paid })),
      on: { shipped: { target: 'fulfilled', actions: assign({ parcel: ({ event }) => event.parcel }) } }
    },
    fulfilled: { type: 'final', output: 'fulfilled' },
    lapsed: { type: 'final', output: 'lapsed' }
  },
  output: ({ context, event }) => ({
    order: context.order,
    outcome: (event as unknown as { output: Outcome['outcome'] }).output,
    paid: context.paid,
    parcel: context.parcel
  })
})
