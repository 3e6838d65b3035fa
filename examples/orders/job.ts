/** The job: three topics in, one machine per order, three topics out. */
import { type Behaviour, json, machineBehaviour, topic } from '../../actors/index.ts'
import { type OrderNote, type Outcome, order, type Payment, type Placed, type Shipment } from './order.ts'

/** Names of topics, perhaps with a prefix. */
export type Name = (topic: string) => string

export const INPUTS = ['orders', 'payments', 'shipments'] as const
export const OUTPUTS = ['order-reminders', 'warehouse', 'order-outcomes'] as const
export type Input = (typeof INPUTS)[number]
export type Output = (typeof OUTPUTS)[number]

type Note<T extends OrderNote['type']> = Extract<OrderNote, { type: T }>

export const orders = (name: Name): Behaviour =>
  machineBehaviour(order, {
    input: {
      orders: topic(name('orders'), json<Placed>()),
      payments: topic(name('payments'), json<Payment>()),
      shipments: topic(name('shipments'), json<Shipment>())
    },
    event: { orders: 'placed', payments: 'paid', shipments: 'shipped' },
    // A payment that comes after the order has lapsed starts nothing.
    startOn: ['placed'],
    startWith: ({ event }) => event as Placed & typeof event,
    output: {
      reminder: topic(name('order-reminders'), json<Note<'reminder'>>()),
      release: topic(name('warehouse'), json<Note<'release'>>()),
      done: topic(name('order-outcomes'), json<Outcome>())
    }
  })
