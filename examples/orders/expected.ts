/** The same shop by a plain loop over all events of an order: what each must have come to, and when. */
import { DAY, HOUR, type Payment, type Placed, type Shipment } from './order.ts'
import type { Happening } from './week.ts'

/** Lines `topic key time value`, sorted: what stands on the output topics. */
export function expected(happenings: readonly Happening[]): string[] {
  const byOrder = new Map<string, Happening[]>()
  for (const one of happenings) byOrder.set(one.key, [...(byOrder.get(one.key) ?? []), one])
  return [...byOrder].flatMap(([key, events]) => [...story(key, events)]).sort()
}

export const line = (topic: string, key: string, at: number, value: unknown): string =>
  `${topic} ${key} ${new Date(at).toISOString()} ${JSON.stringify(value)}`

function* story(order: string, events: readonly Happening[]): Generator<string> {
  const placed = events.find(({ topic }) => topic === 'orders')!
  const { amount } = placed.value as Placed
  const deadline = placed.at + DAY
  let paid = 0
  let paidAt = Number.POSITIVE_INFINITY
  for (const { topic, value, at } of events) {
    if (topic !== 'payments' || at >= deadline || paid >= amount) continue
    paid += (value as Payment).amount
    if (paid >= amount) paidAt = at
  }
  const before = (time: number): number =>
    events.reduce(
      (sum, { topic, value, at }) => sum + (topic === 'payments' && at < time ? (value as Payment).amount : 0),
      0
    )
  const reminderAt = placed.at + 12 * HOUR
  if (paidAt > reminderAt) {
    yield line('order-reminders', order, reminderAt, { type: 'reminder', order, due: amount - before(reminderAt) })
  }
  if (paid < amount) {
    yield line('order-outcomes', order, deadline, { order, outcome: 'lapsed', paid, parcel: null })
    return
  }
  yield line('warehouse', order, paidAt, { type: 'release', order, paid })
  const shipment = events.find(({ topic }) => topic === 'shipments')
  if (!shipment) return
  const { parcel } = shipment.value as Shipment
  yield line('order-outcomes', order, shipment.at, { order, outcome: 'fulfilled', paid, parcel })
}
