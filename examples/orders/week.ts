/** Nine days of a shop, made up by a seed: who orders, pays in time, in parts, too late or never, and when the parcel leaves. */
import { seededRandom } from '../../lib/time.ts'
import type { Input } from './job.ts'
import { DAY, HOUR, type Payment, type Placed, type Shipment } from './order.ts'

export interface Happening {
  readonly topic: Input
  readonly key: string
  readonly value: Placed | Payment | Shipment
  /** Event time, ms. */
  readonly at: number
}

export const START = Date.UTC(2026, 10, 2)
/** Orders come in for a week; two days more, and each has paid or lapsed. */
export const DAYS = 9
/** The latest timer is due before. */
export const END = START + DAYS * DAY

/** In the order of time. */
export function week(orders: number, seed = 2026): Happening[] {
  const random = seededRandom(seed)
  const happenings: Happening[] = []
  for (let i = 0; i < orders; i++) {
    const order = `order-${String(i + 1).padStart(5, '0')}`
    const placed = START + Math.floor(random() * 7 * DAY)
    const amount = 500 + Math.floor(random() * 200) * 50
    happenings.push({
      topic: 'orders',
      key: order,
      value: { order, customer: `c-${Math.floor(random() * 400)}`, amount },
      at: placed
    })
    const payments = paymentsOf(random, amount, placed)
    for (const { at, amount: part } of payments) {
      happenings.push({ topic: 'payments', key: order, value: { order, amount: part }, at })
    }
    const last = payments.at(-1)
    // The warehouse ships what was paid in time, a few hours later.
    if (last && last.at < placed + DAY && payments.reduce((sum, { amount: part }) => sum + part, 0) >= amount) {
      const at = last.at + 1 + Math.floor(random() * 20 * HOUR)
      happenings.push({ topic: 'shipments', key: order, value: { order, parcel: `p-${i + 1}` }, at })
    }
  }
  return happenings.sort((a, b) => a.at - b.at || (a.key < b.key ? -1 : 1))
}

function paymentsOf(random: () => number, amount: number, placed: number): { amount: number; at: number }[] {
  const within = (from: number, to: number): number => placed + Math.floor((from + random() * (to - from)) * HOUR) + 1
  const kind = random()
  if (kind < 0.62) return [{ amount, at: within(0, 10) }] // at once
  if (kind < 0.72) return [{ amount, at: within(13, 23.9) }] // after the reminder
  if (kind < 0.82)
    return [
      { amount: Math.floor(amount / 2), at: within(0, 8) },
      { amount: Math.ceil(amount / 2), at: within(9, 23) }
    ]
  if (kind < 0.88) return [{ amount: Math.floor(amount / 2), at: within(0, 20) }] // the rest never comes
  if (kind < 0.93) return [{ amount, at: within(24.1, 36) }] // too late
  return []
}
