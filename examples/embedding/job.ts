/** The job that three kinds of services embed: what each customer has ordered, as a machine per customer. */
import { assign, emit, setup } from 'xstate'
import { json, machineBehaviour, topic } from '../../actors/index.ts'

export interface Order {
  readonly customer: string
  /** Cents. */
  readonly amount: number
}
export interface Totals {
  readonly orders: number
  readonly spent: number
}

export const ordersTopic = topic('shop-orders', json<Order>())
export const totalsTopic = topic('shop-totals', json<Totals>())

const customer = setup({
  types: {
    context: {} as Totals,
    events: {} as { type: 'ordered' } & Order,
    emitted: {} as { type: 'totals' } & Totals
  }
}).createMachine({
  id: 'customer',
  version: '1',
  context: { orders: 0, spent: 0 },
  on: {
    ordered: {
      actions: [
        assign({
          orders: ({ context }) => context.orders + 1,
          spent: ({ context, event }) => context.spent + event.amount
        }),
        emit(({ context }) => ({ type: 'totals', ...context }))
      ]
    }
  }
})

/** Keys are customers. */
export const customers = machineBehaviour(customer, {
  name: 'customers',
  input: { orders: ordersTopic },
  event: { orders: 'ordered' },
  output: { totals: totalsTopic },
  query: { totals: ({ context }) => context }
})

/** @returns undefined for what is no order */
export function orderOf(body: unknown): Order | undefined {
  const { customer: who, amount } = (body ?? {}) as Partial<Record<keyof Order, unknown>>
  return typeof who === 'string' && who !== '' && Number.isSafeInteger(amount)
    ? { customer: who, amount: amount as number }
    : undefined
}
