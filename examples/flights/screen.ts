/** What the demo shows: a progress bar while it works, a table at the end. On a pipe: a line now and then. */
import { SingleBar } from 'cli-progress'
import Table, { type TableConstructorOptions } from 'cli-table3'
import type { Figures } from './expected.ts'

export interface Progress {
  update(done: number, note: string): void
  stop(): void
}

export function progressBar(total: number): Progress {
  if (!process.stderr.isTTY) {
    let tenth = -1
    return {
      update(done, note) {
        const now = Math.floor((done / total) * 10)
        if (now === tenth) return
        tenth = now
        console.error(`  ${String(Math.round((done / total) * 100)).padStart(3)} %  ${note}`.trimEnd())
      },
      stop() {}
    }
  }
  const bar = new SingleBar({
    format: '  {bar} {percentage} %  {value} of {total} flights counted  {note}',
    hideCursor: true,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 32
  })
  bar.start(total, 0, { note: '' })
  return { update: (done, note) => bar.update(done, { note }), stop: () => bar.stop() }
}

/** Columns without a box: reads well in a terminal and in a log. */
const plain = (head: string[]): TableConstructorOptions => ({
  head,
  style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  chars: Object.fromEntries(EDGES.map((edge) => [edge, ''])) as NonNullable<TableConstructorOptions['chars']>
})
const EDGES = ['top', 'bottom', 'left', 'mid', 'right', 'middle'].flatMap((part) => [
  part,
  `${part}-mid`,
  `${part}-left`,
  `${part}-right`
])

export function table(figures: Figures, names: Map<string, string>): string {
  const airports = new Map<
    string,
    { flights: number; delayed: number; minutes: number; worst: number; worstDay: string }
  >()
  for (const [key, day] of figures.airportDays) {
    const [iata, date] = key.split(' ') as [string, string]
    const sum = airports.get(iata) ?? {
      flights: 0,
      delayed: 0,
      minutes: 0,
      worst: Number.MIN_SAFE_INTEGER,
      worstDay: ''
    }
    sum.flights += day.flights
    sum.delayed += day.delayed
    sum.minutes += day.minutes
    if (day.worst > sum.worst) [sum.worst, sum.worstDay] = [day.worst, date]
    airports.set(iata, sum)
  }
  const n = (value: number): { content: string; hAlign: 'right' } => ({
    content: value.toLocaleString('en'),
    hAlign: 'right'
  })
  const busiest = new Table(plain(['airport', 'flights', 'late > 15 min', 'mean delay', 'worst (min)', 'on']))
  for (const [iata, sum] of [...airports].sort((a, b) => b[1].flights - a[1].flights).slice(0, 10)) {
    const late = `${((sum.delayed / sum.flights) * 100).toFixed(1)} %`
    const mean = `${(sum.minutes / sum.flights).toFixed(1)} min`
    busiest.push([
      `${iata} ${names.get(iata) ?? ''}`.slice(0, 40),
      n(sum.flights),
      { content: late, hAlign: 'right' },
      { content: mean, hAlign: 'right' },
      n(sum.worst),
      sum.worstDay
    ])
  }
  const states = new Table(plain(['state', 'flights', 'minutes of delay', 'miles flown']))
  for (const [state, sum] of [...figures.states].sort((a, b) => b[1].flights - a[1].flights).slice(0, 8)) {
    states.push([state, n(sum.flights), n(sum.minutes), n(sum.miles)])
  }
  return `The ten busiest airports of ${airports.size} (January to March 2001)\n${busiest}\n\nThe eight busiest states of ${figures.states.size}\n${states}`
}
