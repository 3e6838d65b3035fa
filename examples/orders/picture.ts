/** What happened, for people: the days in a table, and the life of a few orders. */
import { DAY } from './order.ts'
import { DAYS, type Happening, START } from './week.ts'

const TOLD: Readonly<Record<string, string>> = {
  orders: 'placed',
  payments: 'payment',
  shipments: 'shipped',
  'order-reminders': 'reminded to pay',
  warehouse: 'paid in full, to the warehouse',
  'order-outcomes': 'closed'
}

/** @param lines of the outputs: `topic key time value` */
export function picture(happenings: readonly Happening[], lines: readonly string[]): string {
  const outputs = lines.map(parsed)
  return `${days(happenings, outputs)}\n\n${lives(happenings, outputs)}`
}

interface Told {
  readonly topic: string
  readonly key: string
  readonly at: number
  readonly value: Readonly<Record<string, unknown>>
}

function parsed(line: string): Told {
  const [topic, key, at] = line.split(' ', 3) as [string, string, string]
  return { topic, key, at: Date.parse(at), value: JSON.parse(line.slice(topic.length + key.length + at.length + 3)) }
}

function days(happenings: readonly Happening[], outputs: readonly Told[]): string {
  const columns = ['placed', 'payments', 'reminders', 'to warehouse', 'fulfilled', 'lapsed']
  const rows = Array.from({ length: DAYS }, (_, day) => {
    const on = (at: number): boolean => Math.floor((at - START) / DAY) === day
    const inputs = (topic: string): number => happenings.filter((h) => h.topic === topic && on(h.at)).length
    const out = (topic: string, outcome?: string): number =>
      outputs.filter((o) => o.topic === topic && on(o.at) && (!outcome || o.value.outcome === outcome)).length
    const figures = [
      inputs('orders'),
      inputs('payments'),
      out('order-reminders'),
      out('warehouse'),
      out('order-outcomes', 'fulfilled'),
      out('order-outcomes', 'lapsed')
    ]
    const name = new Date(START + day * DAY).toUTCString().slice(0, 11)
    return `  ${name}  ${figures.map((n, i) => `${n || '·'}`.padStart(columns[i]!.length)).join('  ')}`
  })
  return [`  ${'day'.padEnd(11)}  ${columns.join('  ')}`, ...rows].join('\n')
}

/** One order of each kind, with everything that came in and went out. */
function lives(happenings: readonly Happening[], outputs: readonly Told[]): string {
  const reminded = new Set(outputs.filter(({ topic }) => topic === 'order-reminders').map(({ key }) => key))
  const outcomes = outputs.filter(({ topic }) => topic === 'order-outcomes')
  const kinds = [
    outcomes.find(({ key, value }) => value.outcome === 'fulfilled' && !reminded.has(key)),
    outcomes.find(({ key, value }) => value.outcome === 'fulfilled' && reminded.has(key)),
    outcomes.find(({ value }) => value.outcome === 'lapsed' && value.paid === 0),
    outcomes.find(({ value }) => value.outcome === 'lapsed' && (value.paid as number) > 0)
  ]
  return kinds.flatMap((kind) => (kind ? [life(kind.key, happenings, outputs)] : [])).join('\n\n')
}

function life(order: string, happenings: readonly Happening[], outputs: readonly Told[]): string {
  const all = [
    ...happenings.map((h) => ({ ...h, value: h.value as unknown as Told['value'], mark: '→' })),
    ...outputs.map((o) => ({ ...o, mark: '←' }))
  ]
  const own = all.filter(({ key }) => key === order).sort((a, b) => a.at - b.at || (a.mark > b.mark ? -1 : 1))
  const lines = own.map(({ topic, at, value, mark }) => {
    const { order: _, customer: __, type: ___, ...facts } = value
    const shown = Object.entries(facts).map(([name, fact]) => `${name} ${fact ?? '–'}`)
    return `  ${new Date(at).toISOString().slice(5, 16).replace('T', ' ')}  ${mark} ${TOLD[topic]!.padEnd(31)} ${shown.join(', ')}`
  })
  return `  ${order}\n${lines.join('\n')}`
}
